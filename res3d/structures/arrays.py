"""Conversion of lists, NumPy arrays and tensors to arrays and masks, and checks of array values."""

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
"""Array-like values, numbers or bool: nested lists, a NumPy array, or a tensor on any device."""


def to_array(values: Numeric, dtype: type[S]) -> NDArray[S]:
    """Return a NumPy array of ``dtype``; copy only if needed. A tensor is detached and moved to the CPU."""
    if hasattr(values, "detach"):
        values = values.detach().cpu()
        if values.dtype.is_floating_point:
            values = values.float()  # NumPy has no bfloat16
        values = values.numpy()
    return np.asarray(values, dtype)


def encode_mask(mask: Numeric) -> Rle:
    """Return a mask as run lengths.

    Args:
        mask: [H, W] or [1, H, W], bool or probabilities (a pixel is inside from 0.5 on); an ``Rle`` is returned as is.
    """
    if isinstance(mask, Rle):
        return mask
    if mask.ndim == 3 and mask.shape[0] == 1:
        mask = mask[0]
    inside = mask if mask.dtype == bool or str(mask.dtype) == "torch.bool" else mask >= 0.5
    return Rle.encode(to_array(inside, np.bool_))


def check_boxes(name: str, boxes: NDArray[np.float32]) -> None:
    """Raise ValueError if any box [..., 4] xyxy is not finite or has x2 < x1 or y2 < y1; name the first such box."""
    if not np.isfinite(boxes).all() or not (boxes[..., 2:] >= boxes[..., :2]).all():
        wrong = ~(np.isfinite(boxes).all(axis=-1) & (boxes[..., 2:] >= boxes[..., :2]).all(axis=-1))
        raise ValueError(
            f"a box must be finite x1, y1, x2, y2 with x1 ≤ x2 and y1 ≤ y2, not {boxes[wrong][0].tolist()}"
        )


def check_finite(name: str, values: NDArray[np.float32]) -> None:
    """Raise ValueError if any value is infinite or NaN."""
    if not np.isfinite(values).all():
        raise ValueError(f"{name} must be finite")


def check_probability(name: str, values: NDArray[np.float32]) -> None:
    """Raise ValueError if any value is outside 0..1 or NaN."""
    if values.size and not (values.min() >= 0 and values.max() <= 1):
        raise ValueError(f"{name} must be in 0..1, not from {values.min()} to {values.max()}")


def check_frames(name: str, frames: NDArray[np.int64]) -> None:
    """Raise ValueError if frame numbers [F] are empty, negative or do not increase."""
    if not len(frames) or frames[0] < 0 or (np.diff(frames) <= 0).any():
        raise ValueError(f"{name} must be at least one number, ≥ 0 and increasing, not {_abbreviate(frames)}")


def _abbreviate(values: NDArray[np.int64], most: int = 10) -> str:
    more = f" and {len(values) - most} more" if len(values) > most else ""
    return f"{values[:most].tolist()}{more}"
