"""Where boxes will be: a Kalman filter of constant velocity for all tracks at once.

Center, width and height of a box are filtered each for itself, so that a filter is a position, a velocity and three
numbers of covariance, and all filters together are five arrays. Noise grows with the box (DeepSORT's shares, of the
side that lies in the direction of the motion, as in BoT-SORT).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]

POSITION_NOISE = 1 / 20  # of a box's side
VELOCITY_NOISE = 1 / 160  # of a box's side, per frame


class BoxMotion:
    """The filters of N boxes, in the order they were added."""

    def __init__(self) -> None:
        self._position = np.zeros((0, 4))  # center x, y, width, height in pixels
        self._velocity = np.zeros((0, 4))  # per frame
        self._covariance = np.zeros((3, 0, 4))  # of position with itself, with velocity, of velocity with itself

    def __len__(self) -> int:
        return len(self._position)

    @property
    def boxes(self) -> Array:
        """[N, 4] xyxy, where the filters are now; sides are never negative."""
        half = np.maximum(self._position[:, 2:], 0) / 2
        return np.concatenate([self._position[:, :2] - half, self._position[:, :2] + half], axis=1)

    def add(self, boxes: Array) -> None:
        """Start filters at rest at ``boxes`` [n, 4] xyxy."""
        measured = _to_centers(boxes)
        size = _sizes(measured)
        position, velocity = (2 * POSITION_NOISE * size) ** 2, (10 * VELOCITY_NOISE * size) ** 2
        covariance = np.stack([position, np.zeros_like(position), velocity])
        self._position = np.concatenate([self._position, measured])
        self._velocity = np.concatenate([self._velocity, np.zeros_like(measured)])
        self._covariance = np.concatenate([self._covariance, covariance], axis=1)

    def keep(self, rows: NDArray[np.bool_]) -> None:
        """Drop all filters but those at ``rows`` [N]."""
        self._position, self._velocity = self._position[rows], self._velocity[rows]
        self._covariance = self._covariance[:, rows]

    def predict(self) -> None:
        """Go one frame on."""
        size = _sizes(self._position)
        p, pv, v = self._covariance
        self._position = self._position + self._velocity
        # A side may shrink, not vanish: what is lost from sight would otherwise end as a point.
        self._position[:, 2:] = np.maximum(self._position[:, 2:], size[:, :2] / 2)
        p = p + 2 * pv + v + (POSITION_NOISE * size) ** 2
        self._covariance = np.stack([p, pv + v, v + (VELOCITY_NOISE * size) ** 2])

    def update(self, rows: NDArray[np.int64], boxes: Array) -> None:
        """The boxes [n, 4] xyxy of the filters at ``rows`` [n] were seen."""
        measured = _to_centers(boxes)
        p, pv, v = self._covariance[:, rows]
        total = p + (POSITION_NOISE * _sizes(measured)) ** 2
        gain, velocity_gain = p / total, pv / total
        error = measured - self._position[rows]
        self._position[rows] += gain * error
        self._velocity[rows] += velocity_gain * error
        self._covariance[:, rows] = np.stack([(1 - gain) * p, (1 - gain) * pv, v - velocity_gain * pv])


def _to_centers(boxes: Array) -> Array:
    sides = boxes[:, 2:] - boxes[:, :2]
    return np.concatenate([boxes[:, :2] + sides / 2, sides], axis=1)


def _sizes(centers: Array) -> Array:
    """[N, 4]: width, height, width, height, of a pixel at least."""
    sides = np.maximum(centers[:, 2:], 1)
    return np.concatenate([sides, sides], axis=1)
