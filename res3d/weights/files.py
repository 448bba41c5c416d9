"""Weights files of res3d: safetensors with the spec in the metadata, so that a file alone rebuilds its model."""

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor, nn

from res3d.files import unfinished
from res3d.weights.kinds import kind_of, resolve_kind
from res3d.weights.reading import METADATA_KEY
from res3d.weights.report import WeightsError
from res3d.weights.source import WeightsSource, open_weights


def save_weights(model: nn.Module, path: str | Path, *, dtype: torch.dtype | None = None) -> None:
    """Write the weights and spec of ``model`` as safetensors; a failed write leaves an existing file unchanged.

    Args:
        model: a backbone, classifier or detector.
        path: the file to write.
        dtype: type of the floating-point weights in the file; ``torch.float16`` halves its size, and ``load_model``
            converts to float32. None: each tensor's own type.

    Raises:
        ValueError: ``dtype`` is not a floating-point type, or a weight is out of its range.
        TypeError: ``model`` is not a backbone, classifier or detector.
        OSError: the folder is not writable, or the disk is full.
    """
    kind = kind_of(model)
    metadata = json.dumps({"kind": kind.name, **kind.describe(model)})
    path = Path(path)
    # safetensors refuses tensors that are not contiguous, such as those of a model in channels_last_3d.
    tensors = {name: _to_stored(name, tensor, dtype).contiguous() for name, tensor in model.state_dict().items()}
    try:
        with unfinished(path) as temporary:
            temporary.touch()
            mode = temporary.stat().st_mode  # by the user's umask; safetensors would let only the user read the file
            save_file(tensors, temporary, metadata={METADATA_KEY: metadata})
            temporary.chmod(mode)
    except SafetensorError as error:  # safetensors raises it in place of OSError
        raise OSError(f"{path}: the weights cannot be written ({error})") from None


def _to_stored(name: str, tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    tensor = tensor.detach().cpu()
    if dtype is None or not tensor.is_floating_point():
        return tensor
    if not dtype.is_floating_point:
        raise ValueError(f"dtype must be a floating-point type, not {dtype}")
    cast = tensor.to(dtype)
    if not torch.equal(cast.isfinite(), tensor.isfinite()):
        raise ValueError(f"{name} has values out of the range of {dtype}")
    return cast


def load_model(path: str | Path | WeightsSource) -> Any:
    """Rebuild the model in a file that ``save_weights`` wrote: architecture and weights.

    Args:
        path: the file, or the source that ``open_weights`` returned for it.

    Returns:
        A backbone, classifier or detector, in train mode.

    Raises:
        FileNotFoundError: no such file.
        WeightsError: a file that ``save_weights`` did not write, a damaged file, or an unknown model kind.
    """
    source = open_weights(path)
    if source.kind is None or not source.is_saved:
        raise WeightsError(
            f"{source.name}: not a safetensors file that res3d wrote; load_weights reads other checkpoints"
        )
    tensors = source.tensors
    try:
        model = resolve_kind(source.kind).build(source.description)
        model.load_state_dict(dict(tensors))
    except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise WeightsError(f"{source.name}: its weights do not fit the model in its metadata ({error})") from None
    return model


@torch.no_grad()
def hash_weights(model: nn.Module) -> str:
    """Return the SHA-256 (hex) of the names, types, shapes and values of all parameters and buffers."""
    digest = sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
