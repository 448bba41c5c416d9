"""Weights into a model that exists: checked as a whole first, so a refused file changes nothing."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from res3d.backbone import ResNet3d
from res3d.weights.files import read_weights
from res3d.weights.report import LoadReport, WeightsError

LATER_STAGES = ("conv2.", "conv3.", "conv4.", "conv5.")


def load_weights(model: nn.Module, source: str | Path | Mapping[str, Tensor], *, strict: bool = True) -> LoadReport:
    """Copy weights into ``model``, all or nothing.

    Args:
        model: a backbone or classifier.
        source: a file that ``save_weights`` wrote, or a state dict with res3d's names. A classifier's weights load into
            a backbone (its head is ignored), a longer backbone's into a shorter body.
        strict: refuse missing and unexpected tensors.

    Raises:
        FileNotFoundError: no such file.
        WeightsError: an unreadable file, a tensor of another shape, or (strict) missing or unexpected tensors.
    """
    if isinstance(source, Mapping):
        name, tensors = "a state dict", dict(source)
    else:
        name, tensors = str(source), dict(read_weights(source).tensors)
    own = model.state_dict()
    loaded: dict[str, Tensor] = {}
    unexpected, ignored = [], []
    from_classifier = isinstance(model, ResNet3d) and any(key.startswith("backbone.") for key in tensors)
    for theirs, tensor in tensors.items():
        ours = theirs.removeprefix("backbone.") if from_classifier else theirs
        if ours in own:
            if own[ours].shape != tensor.shape:
                raise WeightsError(
                    f"{name}: {theirs} is {tuple(tensor.shape)}, the model's {ours} {tuple(own[ours].shape)}"
                )
            loaded[ours] = tensor
        elif (from_classifier and not theirs.startswith("backbone.")) or _is_spare(ours, own):
            ignored.append(theirs)
        else:
            unexpected.append(theirs)
    missing = [key for key in own if key not in loaded and not key.endswith("num_batches_tracked")]
    if strict and (missing or unexpected):
        what = [
            f"{len(keys)} {kind}, first {keys[0]!r}"
            for kind, keys in [("missing", missing), ("unexpected", unexpected)]
            if keys
        ]
        raise WeightsError(f"{name}: not the weights of this model ({'; '.join(what)})")
    with torch.no_grad():
        for key, tensor in loaded.items():
            own[key].copy_(tensor)
    return LoadReport(
        source=name,
        loaded=tuple(loaded),
        missing=tuple(missing),
        unexpected=tuple(unexpected),
        ignored=tuple(ignored),
    )


def _is_spare(key: str, own: Mapping[str, Tensor]) -> bool:
    """Whether the model can do without: a count of batches, or a tensor of a stage beyond its body."""
    beyond_body = key.startswith(LATER_STAGES) and not any(k.startswith(key.split(".")[0] + ".") for k in own)
    return key.endswith("num_batches_tracked") or beyond_body
