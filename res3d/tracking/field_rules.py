"""How the fields of detections behave in linking; ``RULES`` has the fields that need rules of their own.

- A track has, of a field with the axis of frames (keypoints), what was last seen, and of others (embeddings) a running
  mean.
- Where several tubes of a track cover a frame, arrays become their mean, weighted by visibility, and of items (masks)
  the best visible one is taken.
- In the frames of a filled gap, fields are absent.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from res3d.structures import ClipDetections
from res3d.structures.row_fields import declarations
from res3d.tracking.objects import Array, Mask, Rows


@dataclass(frozen=True, slots=True)
class Groups:
    """R rows of one frame, grouped by the object that they show."""

    of_row: Rows
    """[R] number of the object, from 0."""
    weights: Array
    """[R] visibility, > 0."""
    best: Rows
    """[n] row of each object where it is best visible."""
    total: Array
    """[n] sum of the weights."""

    def mean(self, values: Array, counted: Mask | None = None) -> Array:
        """Return the weighted mean of values [R, ...] for each object: [n, ...]; 0 where nothing counts.

        Args:
            counted: bool, of a shape that broadcasts to that of the values; by default all count.
        """
        tail = (1,) * (values.ndim - 1)
        shares, weight = self.weights.reshape(-1, *tail), self.total.reshape(-1, *tail)
        if counted is not None:
            shares = shares * counted
            weight = self._sum(shares)
            weight = np.where(weight > 0, weight, 1)
        mean: Array = (self._sum(shares * values) / weight).astype(values.dtype)
        return mean

    def _sum(self, values: Array) -> Array:
        """[R, ...] -> [n, ...]."""
        total = np.zeros((len(self.best), *values.shape[1:]))
        np.add.at(total, self.of_row, values)
        return total

    def merge(self, name: str, values: Any) -> Any:
        """Return one entry per object of the field ``name``, from an array [R, ...] or R items."""
        if not isinstance(values, np.ndarray):
            return tuple(values[row] for row in self.best.tolist())
        rule = RULES.get(name)
        return self.mean(values) if rule is None or rule.merge is None else rule.merge(values, self)


@dataclass(frozen=True, kw_only=True, slots=True)
class FieldRule:
    """Rules of one field; None: as for other fields."""

    interpolate: Callable[[Array, Array, float], Array] | None = None
    """Takes a row's values before and after a gap, and the share of the gap that is over; returns the values there."""
    shift: Callable[[Array, Array], None] | None = None
    """Takes values [n, T, ...] and shifts of the box centers [n, T, 2] in pixels; shifts the values in place."""
    merge: Callable[[Array, Groups], Array] | None = None
    """Takes values [R, ...] and how they are grouped; returns one entry per object."""


def _between(before: Array, after: Array, share: float) -> Array:
    return (1 - share) * before + share * after


def _pose_between(before: Array, after: Array, share: float) -> Array:
    """A keypoint [K, 3] that is unknown on one side is unknown in between."""
    points = _between(before, after, share)
    points[:, 2] = np.minimum(before[:, 2], after[:, 2])
    points[points[:, 2] == 0] = 0
    return points


def _shift_poses(poses: Array, shifts: Array) -> None:
    poses[..., :2] += shifts[:, :, None]


def _merge_poses(poses: Array, groups: Groups) -> Array:
    """Unknown keypoints do not count; how sure a keypoint is (v) comes from the best visible row."""
    merged = groups.mean(poses, counted=poses[..., 2:] > 0)
    merged[..., 2] = poses[groups.best, :, 2]
    return merged


RULES: Mapping[str, FieldRule] = {
    "boxes": FieldRule(interpolate=_between),
    "keypoints": FieldRule(interpolate=_pose_between, shift=_shift_poses, merge=_merge_poses),
}
"""Fields with rules of their own, by name."""

REMEMBERED = tuple(name for name, rule in RULES.items() if rule.interpolate is not None and name != "boxes")
"""Fields besides boxes that a track remembers for the gaps in it, whether or not a cost needs them."""


@cache
def fields_by_frame() -> frozenset[str]:
    """Return the names of the fields with an entry per frame of a tube."""
    return frozenset(name for name, declared in declarations(ClipDetections) if "T" in declared.axes)
