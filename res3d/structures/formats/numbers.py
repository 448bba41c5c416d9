"""Numbers as they are written: the shortest decimals that give the same float32 back, exact under + and -."""

from decimal import Decimal

import numpy as np
from numpy.typing import NDArray


def shortest(values: NDArray[np.float32]) -> list[float]:
    """[N] -> Python floats that print as short as the float32 they stand for: 0.1, not 0.10000000149."""
    return [float(str(value)) for value in values]


def to_xywh(box: NDArray[np.float32], *, origin: int = 0) -> tuple[Decimal, Decimal, Decimal, Decimal]:
    """xyxy [4] -> x, y, width, height in decimals; pixels are counted from ``origin``."""
    x1, y1, x2, y2 = (Decimal(str(value)) for value in box)
    return x1 + origin, y1 + origin, x2 - x1, y2 - y1


def to_xyxy(boxes: NDArray[np.float64], *, origin: int = 0) -> NDArray[np.float32]:
    """x, y, width, height [N, 4] with pixels counted from ``origin`` -> xyxy from 0."""
    corner = boxes[:, :2] - origin
    return np.concatenate([corner, corner + boxes[:, 2:]], axis=1).astype(np.float32)
