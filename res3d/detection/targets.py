"""Targets of clips: their checks, and ``ClipTargets``, the form that the losses use."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor

REQUIRED = {"boxes": "N T 4", "visible": "N T", "labels": "N"}
"""Shapes of the tensors that every target has."""
OPTIONAL = {"track_ids": "N"}
"""Shapes of the tensors that a target may have."""

TargetValues: TypeAlias = Literal["coordinates", "binary"]
"""Values of a target tensor. "coordinates": floats that are finite where their object is visible. "binary": bool, or 0
and 1 of any type."""


class TargetField(NamedTuple):
    """Description of the target tensor that a head is trained on."""

    shape: str
    """Letters and numbers like "N T 17 3": N objects, T frames, H rows, W columns."""
    values: TargetValues
    """Values that are accepted."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipTargets:
    """Checked targets of one clip: its G objects that are visible in at least one of T frames."""

    boxes: Tensor
    """[G, T, 4] xyxy; undefined in frames where the object is hidden."""
    visible: Tensor
    """[G, T] bool."""
    labels: Tensor
    """[G] int64 from 1."""
    extra: Mapping[str, Tensor]
    """Target tensors of the other heads, [G, ...], by ``TaskHead.field``."""


def check_clips(clips: Sequence[Tensor], channels: int, dtype: torch.dtype) -> None:
    """Check that clips are [channels, T, H, W] of one length T, with finite pixels of type ``dtype``.

    Raises:
        ValueError: an invalid clip; the message has its number in the list.
    """
    if not len(clips):
        raise ValueError("clips must be a list of at least one [C, T, H, W] tensor")
    for number, clip in enumerate(clips):
        if not isinstance(clip, Tensor) or clip.dim() != 4 or clip.shape[0] != channels:
            shape = list(clip.shape) if isinstance(clip, Tensor) else type(clip).__name__
            raise ValueError(f"clip {number}: must be [{channels}, T, H, W], not {shape}")
        if not clip.is_floating_point():
            raise ValueError(f"clip {number}: must be float in 0..1, not {str(clip.dtype).removeprefix('torch.')}")
        if clip.dtype != dtype:
            raise ValueError(f"clip {number}: must be {dtype} like the model, not {clip.dtype}")
        if min(clip.shape) == 0:
            raise ValueError(f"clip {number}: T, H and W must be ≥ 1, not {list(clip.shape[1:])}")
        if clip.shape[1] != clips[0].shape[1]:
            lengths = [c.shape[1] for c in clips]
            raise ValueError(f"clip {number}: all clips of a call must have one length T, not {lengths}")
        if not torch.isfinite(clip).all():
            raise ValueError(f"clip {number}: pixels must be finite, and some are NaN or infinite")


def check_sizes(sizes: Sequence[tuple[int, int, int]]) -> None:
    """Check that sizes are (T, height, width) of at least one clip, all of one length T.

    Raises:
        ValueError: an invalid size; the message has the number of its clip.
    """
    if not len(sizes):
        raise ValueError("sizes must hold (T, height, width) of at least one clip")
    for number, size in enumerate(sizes):
        if len(size) != 3 or any(not isinstance(n, int) or n < 1 for n in size):
            raise ValueError(f"clip {number}: size must be (T, height, width), each ≥ 1, not {size!r}")
        if size[0] != sizes[0][0]:
            lengths = [t for t, _, _ in sizes]
            raise ValueError(f"clip {number}: all clips of a call must have one length T, not {lengths}")


def check_targets(
    sizes: Sequence[tuple[int, int, int]],
    targets: Sequence[Mapping[str, Tensor]] | None,
    fields: Mapping[str, TargetField],
    num_classes: int,
    device: torch.device,
) -> list[ClipTargets]:
    """Check targets and return them on ``device``, without the objects that are never visible.

    Coordinates are checked only where their object is visible. Boxes may extend beyond the frame.

    Args:
        sizes: (T, height, width) of each clip.
        targets: boxes [N, T, 4], visible [N, T], labels [N], optionally track_ids [N], and ``fields``.
        fields: target tensors of the model's other heads, by name.
        num_classes: number of classes, including the background.
        device: device of the clips.

    Raises:
        ValueError: an invalid target; the message has the number of its clip and the name of the tensor.
    """
    if targets is None or len(targets) != len(sizes):
        count = "no" if targets is None else len(targets)
        raise ValueError(f"training needs one target per clip: {len(sizes)} clips, {count} targets")
    checked = []
    for number, (size, target) in enumerate(zip(sizes, targets, strict=True)):
        try:
            checked.append(_check(size, target, fields, num_classes, device))
        except ValueError as error:
            raise ValueError(f"clip {number}: {error}") from None
    return checked


def _check(
    size: tuple[int, int, int],
    target: Mapping[str, Tensor],
    fields: Mapping[str, TargetField],
    num_classes: int,
    device: torch.device,
) -> ClipTargets:
    """Return the checked target of one clip."""
    if not isinstance(target, Mapping):
        raise ValueError(f"target must be a dictionary, not {type(target).__name__}")
    shapes = {**REQUIRED, **OPTIONAL, **{name: field.shape for name, field in fields.items()}}
    if unknown := [name for name in target if name not in shapes]:
        raise ValueError(f"{unknown[0]!r} is not a target of this model (accepted: {', '.join(shapes)})")
    if missing := [name for name in shapes if name not in target and name not in OPTIONAL]:
        raise ValueError(f"{missing[0]} is missing")
    labels = target["labels"]
    letters = dict(zip("THW", size, strict=True))
    if isinstance(labels, Tensor) and labels.dim() == 1:
        letters["N"] = len(labels)
    for name, value in target.items():
        _check_shape(name, value, shapes[name], letters)
    if target["visible"].dtype != torch.bool:
        raise ValueError(f"visible must be bool, not {target['visible'].dtype}")
    if labels.dtype != torch.int64:
        raise ValueError(f"labels must be int64, not {labels.dtype}")
    if len(labels) and (int(labels.min()) < 1 or int(labels.max()) >= num_classes):
        raise ValueError(f"labels must be in [1, {num_classes}), not {labels.tolist()}")
    _check_coordinates("boxes", target["boxes"], target["visible"])
    _check_sides(target["boxes"], target["visible"])
    for name, field in fields.items():
        if field.values == "coordinates":
            _check_coordinates(name, target[name], target["visible"])
        else:
            _check_binary(name, target[name])
    return _visible_objects(target, fields, device)


def _check_shape(name: str, value: Tensor, expected: str, sizes: dict[str, int]) -> None:
    """Check the shape of a tensor. ``sizes`` of letters are completed with the letters that it defines first."""
    words = expected.split()
    shape = list(value.shape) if isinstance(value, Tensor) else type(value).__name__
    fits = isinstance(shape, list) and len(shape) == len(words)
    if isinstance(shape, list) and fits:
        for word, size in zip(words, shape, strict=True):
            fits = fits and size == (int(word) if word.isdigit() else sizes.setdefault(word, size))
    if not fits:
        values = ", ".join(f"{word} = {sizes[word]}" for word in words if word in sizes)
        raise ValueError(f"{name} must be [{', '.join(words)}]{f' with {values}' if values else ''}, not {shape}")


def _check_coordinates(name: str, value: Tensor, visible: Tensor) -> None:
    if not value.is_floating_point():
        raise ValueError(f"{name} must be float, not {value.dtype}")
    if not torch.isfinite(value[visible]).all():
        raise ValueError(f"{name} must be finite where visible, and some are NaN or infinite")


def _check_binary(name: str, value: Tensor) -> None:
    if value.dtype != torch.bool and not ((value == 0) | (value == 1)).all():
        raise ValueError(f"{name} must be bool, or 0 and 1, not {value.dtype} with other values")


def _check_sides(boxes: Tensor, visible: Tensor) -> None:
    empty = visible & (boxes[..., 2:] <= boxes[..., :2]).any(dim=2)
    if empty.any():
        n, t = (int(i) for i in torch.where(empty.flatten())[0][:1].repeat(2))
        n, t = n // boxes.shape[1], t % boxes.shape[1]
        raise ValueError(f"boxes must have x1 < x2 and y1 < y2 where visible, not {boxes[n, t].tolist()} (object {n})")


def _visible_objects(target: Mapping[str, Tensor], fields: Iterable[str], device: torch.device) -> ClipTargets:
    ever_visible = target["visible"].any(dim=1)
    tensors = {name: target[name][ever_visible].to(device) for name in (*REQUIRED, *fields)}
    return ClipTargets(
        boxes=tensors["boxes"],
        visible=tensors["visible"],
        labels=tensors["labels"],
        extra={name: tensors[name] for name in fields},
    )
