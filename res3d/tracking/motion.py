"""Motion models that predict boxes from one frame to the next, for all tracks at once."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from res3d.tracking.objects import Array, Mask, Rows

# Standard deviations as fractions of a side of the box (DeepSORT's values)
POSITION_NOISE = 1 / 20
VELOCITY_NOISE = 1 / 160  # per frame


class Motion(Protocol):
    """Motion model of N boxes, in the order in which they were added."""

    @property
    def boxes(self) -> Array:
        """Predicted boxes [N, 4], xyxy pixels; sides are never negative."""

    def add(self, boxes: Array) -> None:
        """Add boxes [n, 4] xyxy."""

    def keep(self, rows: Mask) -> None:
        """Drop all boxes except those at ``rows`` [N]."""

    def predict(self) -> None:
        """Advance the prediction by one frame."""

    def update(self, rows: Rows, boxes: Array) -> None:
        """Correct the predictions at ``rows`` [n] with detected boxes [n, 4] xyxy."""


class BoxMotion:
    """Constant-velocity Kalman filters for N boxes.

    The center coordinates, width and height of a box are filtered independently. The state of each filter is a position
    and a velocity, with a symmetric 2 × 2 covariance (three numbers). All filters are updated together as arrays.

    The noise is proportional to the box (DeepSORT's factors). As in BoT-SORT, x and width use the width of the box, y
    and height use its height.
    """

    def __init__(self) -> None:
        self._position = np.zeros((0, 4))  # center x, y, width, height in pixels
        self._velocity = np.zeros((0, 4))  # per frame
        self._covariance = np.zeros((3, 0, 4))  # of position with itself, with velocity, of velocity with itself

    def __len__(self) -> int:
        return len(self._position)

    @property
    def boxes(self) -> Array:
        """Predicted boxes [N, 4], xyxy pixels; sides are never negative."""
        half = np.maximum(self._position[:, 2:], 0) / 2
        return np.concatenate([self._position[:, :2] - half, self._position[:, :2] + half], axis=1)

    def add(self, boxes: Array) -> None:
        """Add filters with velocity 0 at ``boxes`` [n, 4] xyxy."""
        measured = _to_centers(boxes)
        size = _sizes(measured)
        position, velocity = (2 * POSITION_NOISE * size) ** 2, (10 * VELOCITY_NOISE * size) ** 2
        covariance = np.array([position, np.zeros_like(position), velocity])
        self._position = np.concatenate([self._position, measured])
        self._velocity = np.concatenate([self._velocity, np.zeros_like(measured)])
        self._covariance = np.concatenate([self._covariance, covariance], axis=1)

    def keep(self, rows: Mask) -> None:
        """Drop all filters except those at ``rows`` [N]."""
        self._position, self._velocity = self._position[rows], self._velocity[rows]
        self._covariance = self._covariance[:, rows]

    def predict(self) -> None:
        """Advance the prediction by one frame."""
        size = _sizes(self._position)
        p, pv, v = self._covariance
        self._position += self._velocity
        # A side shrinks to half per frame at most; otherwise the predicted box of a lost object becomes a point.
        np.maximum(self._position[:, 2:], size[:, :2] / 2, out=self._position[:, 2:])
        self._covariance = np.array(
            [p + 2 * pv + v + (POSITION_NOISE * size) ** 2, pv + v, v + (VELOCITY_NOISE * size) ** 2]
        )

    def update(self, rows: Rows, boxes: Array) -> None:
        """Correct the filters at ``rows`` [n] with detected boxes [n, 4] xyxy."""
        measured = _to_centers(boxes)
        p, pv, v = self._covariance.take(rows, axis=1)
        total = p + (POSITION_NOISE * _sizes(measured)) ** 2
        gain, velocity_gain = p / total, pv / total
        error = measured - self._position.take(rows, axis=0)
        self._position[rows] += gain * error
        self._velocity[rows] += velocity_gain * error
        self._covariance[:, rows] = np.array([(1 - gain) * p, (1 - gain) * pv, v - velocity_gain * pv])


class LastBoxes:
    """Motion model that predicts the last detected box of each track."""

    def __init__(self) -> None:
        self.boxes: Array = np.zeros((0, 4))  # [N, 4] xyxy pixels

    def add(self, boxes: Array) -> None:
        """Add boxes [n, 4] xyxy."""
        self.boxes = np.concatenate([self.boxes, boxes])

    def keep(self, rows: Mask) -> None:
        """Drop all boxes except those at ``rows`` [N]."""
        self.boxes = self.boxes[rows]

    def predict(self) -> None:
        """Leave the boxes unchanged."""

    def update(self, rows: Rows, boxes: Array) -> None:
        """Replace the boxes at ``rows`` [n] with ``boxes`` [n, 4] xyxy."""
        self.boxes[rows] = boxes


MOTIONS: Mapping[str, type[Motion]] = {"velocity": BoxMotion, "none": LastBoxes}
"""Motion models by name (``LinkSettings.motion``)."""


def _to_centers(boxes: Array) -> Array:
    """[N, 4] xyxy -> [N, 4]: center x, center y, width, height."""
    sides = boxes[:, 2:] - boxes[:, :2]
    return np.concatenate([boxes[:, :2] + sides / 2, sides], axis=1)


def _sizes(centers: Array) -> Array:
    """[N, 4] as from ``_to_centers`` -> [N, 4]: width, height, width, height, each at least one pixel."""
    sides = np.maximum(centers[:, 2:], 1)
    return np.concatenate([sides, sides], axis=1)
