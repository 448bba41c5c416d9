"""res3d's weight files: safetensors whose metadata says what they are, so that a file alone rebuilds its model."""

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
    """Write the weights and spec of ``model`` as safetensors; the file appears whole or not at all.

    Args:
        model: a backbone, classifier or detector.
        path: the file.
        dtype: of floating-point weights in the file; ``torch.float16`` halves it. ``load_model`` gives float32.

    Raises:
        ValueError: a ``dtype`` that is none of floats, or that cannot hold a weight.
        TypeError: a model that is no backbone, classifier or detector.
        OSError: the folder cannot be written to, or the disk is full.
    """
    kind = kind_of(model)
    metadata = json.dumps({"kind": kind.name, **kind.describe(model)})
    path = Path(path)
    # Contiguous copies: safetensors stores plain memory, whatever layout the model computes in.
    tensors = {name: _stored(name, tensor, dtype).contiguous() for name, tensor in model.state_dict().items()}
    try:
        with unfinished(path) as place:
            place.touch()
            mode = place.stat().st_mode  # what the user's umask lets others do; safetensors lets them do nothing
            save_file(tensors, place, metadata={METADATA_KEY: metadata})
            place.chmod(mode)
    except SafetensorError as error:  # its own kind of error for what the system refuses
        raise OSError(f"{path}: the weights cannot be written ({error})") from None


def _stored(name: str, tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    tensor = tensor.detach().cpu()
    if dtype is None or not tensor.is_floating_point():
        return tensor
    if not dtype.is_floating_point:
        raise ValueError(f"dtype must be one of floats, not {dtype}")
    cast = tensor.to(dtype)
    if not torch.equal(cast.isfinite(), tensor.isfinite()):
        raise ValueError(f"{name} has values that {dtype} cannot hold")
    return cast


def load_model(path: str | Path | WeightsSource) -> Any:
    """The model that ``save_weights`` wrote, of whatever kind: architecture and weights.

    Args:
        path: the file, or what ``open_weights`` made of it.

    Raises:
        FileNotFoundError: no such file.
        WeightsError: not such a file, a damaged one, or one of a kind this version does not know.
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
        raise WeightsError(f"{source.name}: its weights do not fit its own description ({error})") from None
    return model


@torch.no_grad()
def hash_weights(model: nn.Module) -> str:
    """SHA-256 over names, types and bytes of all parameters and buffers; with the spec, it fixes the function."""
    digest = sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
