"""Arrays and masks out of whatever holds numbers: lists, NumPy arrays, tensors on any device; checks of values."""

from typing import Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from res3d.ops import Rle

Array = NDArray[np.generic]
Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Integers = NDArray[np.int64]
S = TypeVar("S", bound=np.generic)
Numeric: TypeAlias = Any
"""What holds numbers or flags: nested lists, a NumPy array, a tensor on any device."""


def to_array(values: Numeric, dtype: type[S]) -> NDArray[S]:
    """Return a NumPy array of ``dtype``, not a copy where none is needed. A tensor is detached and moved to the CPU."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        if values.dtype.is_floating_point:
            values = values.float()  # NumPy has no bfloat16
        values = values.numpy()
    return np.asarray(values, dtype)


def encode_mask(mask: Numeric) -> Rle:
    """Return the run lengths of a mask.

    Args:
        mask: [H, W] or [1, H, W], bool or probabilities (inside from 0.5 on), or an ``Rle`` already.
    """
    if isinstance(mask, Rle):
        return mask
    if mask.ndim == 3 and mask.shape[0] == 1:
        mask = mask[0]
    inside = mask if mask.dtype == bool or str(mask.dtype) == "torch.bool" else mask >= 0.5
    return Rle.encode(to_array(inside, np.bool_))


def check_boxes(name: str, boxes: NDArray[np.float32]) -> None:
    """Refuse boxes [..., 4] xyxy that are not finite, or have x2 < x1 or y2 < y1; the message has the first."""
    if not np.isfinite(boxes).all() or not (boxes[..., 2:] >= boxes[..., :2]).all():
        wrong = ~(np.isfinite(boxes).all(axis=-1) & (boxes[..., 2:] >= boxes[..., :2]).all(axis=-1))
        raise ValueError(
            f"a box must be finite x1, y1, x2, y2 with x1 ≤ x2 and y1 ≤ y2, not {boxes[wrong][0].tolist()}"
        )


def check_finite(name: str, values: NDArray[np.float32]) -> None:
    """Refuse infinite values and NaN."""
    if not np.isfinite(values).all():
        raise ValueError(f"{name} must be finite")


def check_probability(name: str, values: NDArray[np.float32]) -> None:
    """Refuse values outside 0..1 and NaN."""
    if values.size and not (values.min() >= 0 and values.max() <= 1):
        raise ValueError(f"{name} must be in 0..1, not from {values.min()} to {values.max()}")


def check_frames(name: str, frames: NDArray[np.int64]) -> None:
    """Refuse frame numbers [F] that are negative or do not increase, and none at all."""
    if not len(frames) or frames[0] < 0 or (np.diff(frames) <= 0).any():
        raise ValueError(f"{name} must be ≥ 0 and increase, and there must be one at least, not {_shown(frames)}")


def _shown(values: NDArray[np.int64], most: int = 10) -> str:
    more = f" and {len(values) - most} more" if len(values) > most else ""
    return f"{values[:most].tolist()}{more}"
