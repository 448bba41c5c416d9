"""Conversion of float32 numbers to the shortest decimals that read back as the same float32, with exact arithmetic."""

from collections.abc import Iterable
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray


def to_short_floats(values: Iterable[np.float32]) -> list[float]:
    """Return float32 numbers as Python floats that print as short: 0.1, not 0.10000000149."""
    return [float(str(value)) for value in values]


def to_xywh(box: NDArray[np.float32], *, origin: int = 0) -> tuple[Decimal, Decimal, Decimal, Decimal]:
    """Return a box xyxy [4] as exact decimals x, y, width, height, with pixels counted from ``origin``."""
    x1, y1, x2, y2 = (Decimal(str(value)) for value in box)
    return x1 + origin, y1 + origin, x2 - x1, y2 - y1


def to_xyxy(boxes: NDArray[np.float64], *, origin: int = 0) -> NDArray[np.float32]:
    """Return boxes x, y, width, height [..., 4], with pixels counted from ``origin``, as xyxy [..., 4] from 0."""
    corner = boxes[..., :2] - origin
    return np.concatenate([corner, corner + boxes[..., 2:]], axis=-1).astype(np.float32)
