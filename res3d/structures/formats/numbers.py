"""Numbers in files: the shortest decimals that give the same float32 back, exact under + and -."""

from collections.abc import Iterable
from decimal import Decimal

import numpy as np
from numpy.typing import NDArray


def shortest(values: Iterable[np.float32]) -> list[float]:
    """Return Python floats that print as short as the float32 they stand for: 0.1, not 0.10000000149."""
    return [float(str(value)) for value in values]


def to_xywh(box: NDArray[np.float32], *, origin: int = 0) -> tuple[Decimal, Decimal, Decimal, Decimal]:
    """Return xyxy [4] as x, y, width, height in decimals, with pixels counted from ``origin``."""
    x1, y1, x2, y2 = (Decimal(str(value)) for value in box)
    return x1 + origin, y1 + origin, x2 - x1, y2 - y1


def to_xyxy(boxes: NDArray[np.float64], *, origin: int = 0) -> NDArray[np.float32]:
    """Return x, y, width, height [..., 4] with pixels counted from ``origin`` as xyxy [..., 4] from 0."""
    corner = boxes[..., :2] - origin
    return np.concatenate([corner, corner + boxes[..., 2:]], axis=-1).astype(np.float32)
