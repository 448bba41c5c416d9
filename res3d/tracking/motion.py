"""Prediction of boxes from one frame to the next, for all tracks at once."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from res3d.tracking.objects import Array, Mask, Rows

POSITION_NOISE = 1 / 20  # of a box's side
VELOCITY_NOISE = 1 / 160  # of a box's side, per frame


class Motion(Protocol):
    """Predictor of N boxes, in the order in which they were added."""

    @property
    def boxes(self) -> Array:
        """[N, 4] xyxy pixels, as predicted; sides are never negative."""

    def add(self, boxes: Array) -> None:
        """Add boxes [n, 4] xyxy."""

    def keep(self, rows: Mask) -> None:
        """Drop all boxes but those at ``rows`` [N]."""

    def predict(self) -> None:
        """Advance by one frame."""

    def update(self, rows: Rows, boxes: Array) -> None:
        """Take in observed boxes [n, 4] xyxy for ``rows`` [n]."""


class BoxMotion:
    """Kalman filters of constant velocity.

    The center coordinates, width and height of a box are filtered independently, so that each filter is a position, a
    velocity and three numbers of covariance, and all filters together are five arrays. Noise grows with the box
    (DeepSORT's shares, of the side that lies in the direction of the motion, as in BoT-SORT).
    """

    def __init__(self) -> None:
        self._position = np.zeros((0, 4))  # center x, y, width, height in pixels
        self._velocity = np.zeros((0, 4))  # per frame
        self._covariance = np.zeros((3, 0, 4))  # of position with itself, with velocity, of velocity with itself

    def __len__(self) -> int:
        return len(self._position)

    @property
    def boxes(self) -> Array:
        """[N, 4] xyxy pixels, as predicted; sides are never negative."""
        half = np.maximum(self._position[:, 2:], 0) / 2
        return np.concatenate([self._position[:, :2] - half, self._position[:, :2] + half], axis=1)

    def add(self, boxes: Array) -> None:
        """Add filters at rest at ``boxes`` [n, 4] xyxy."""
        measured = _to_centers(boxes)
        size = _sizes(measured)
        position, velocity = (2 * POSITION_NOISE * size) ** 2, (10 * VELOCITY_NOISE * size) ** 2
        covariance = np.array([position, np.zeros_like(position), velocity])
        self._position = np.concatenate([self._position, measured])
        self._velocity = np.concatenate([self._velocity, np.zeros_like(measured)])
        self._covariance = np.concatenate([self._covariance, covariance], axis=1)

    def keep(self, rows: Mask) -> None:
        """Drop all filters but those at ``rows`` [N]."""
        self._position, self._velocity = self._position[rows], self._velocity[rows]
        self._covariance = self._covariance[:, rows]

    def predict(self) -> None:
        """Advance by one frame."""
        size = _sizes(self._position)
        p, pv, v = self._covariance
        self._position += self._velocity
        # A side may shrink, but not to nothing: an object that is lost would otherwise end as a point.
        np.maximum(self._position[:, 2:], size[:, :2] / 2, out=self._position[:, 2:])
        self._covariance = np.array(
            [p + 2 * pv + v + (POSITION_NOISE * size) ** 2, pv + v, v + (VELOCITY_NOISE * size) ** 2]
        )

    def update(self, rows: Rows, boxes: Array) -> None:
        """Take in observed boxes [n, 4] xyxy for the filters at ``rows`` [n]."""
        measured = _to_centers(boxes)
        p, pv, v = self._covariance.take(rows, axis=1)
        total = p + (POSITION_NOISE * _sizes(measured)) ** 2
        gain, velocity_gain = p / total, pv / total
        error = measured - self._position.take(rows, axis=0)
        self._position[rows] += gain * error
        self._velocity[rows] += velocity_gain * error
        self._covariance[:, rows] = np.array([(1 - gain) * p, (1 - gain) * pv, v - velocity_gain * pv])


class LastBoxes:
    """Boxes that stay where they were last observed."""

    def __init__(self) -> None:
        self.boxes: Array = np.zeros((0, 4))  # [N, 4] xyxy pixels

    def add(self, boxes: Array) -> None:
        """Add boxes [n, 4] xyxy."""
        self.boxes = np.concatenate([self.boxes, boxes])

    def keep(self, rows: Mask) -> None:
        """Drop all boxes but those at ``rows`` [N]."""
        self.boxes = self.boxes[rows]

    def predict(self) -> None:
        """Do nothing."""

    def update(self, rows: Rows, boxes: Array) -> None:
        """Replace the boxes at ``rows`` [n] by ``boxes`` [n, 4] xyxy."""
        self.boxes[rows] = boxes


MOTIONS: Mapping[str, type[Motion]] = {"velocity": BoxMotion, "none": LastBoxes}
"""Predictors by name."""


def _to_centers(boxes: Array) -> Array:
    sides = boxes[:, 2:] - boxes[:, :2]
    return np.concatenate([boxes[:, :2] + sides / 2, sides], axis=1)


def _sizes(centers: Array) -> Array:
    """[N, 4]: width, height, width, height, each at least one pixel."""
    sides = np.maximum(centers[:, 2:], 1)
    return np.concatenate([sides, sides], axis=1)
