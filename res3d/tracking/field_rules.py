"""Rules for the fields of detections in linking.

Defaults for all fields:

- A track stores the latest value of a field that has one entry per frame (keypoints), and a running mean of the values
  of other fields (embeddings).
- Where several tubes of a track cover a frame, arrays are averaged, weighted by visibility. Of other values (masks),
  the one with the best visibility is used.
- The frames of a filled gap have no value.

``RULES`` lists the fields with exceptions.
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
    """R rows of one frame, grouped into n objects."""

    of_row: Rows
    """[R] index of the object that each row shows, 0 to n - 1."""
    weights: Array
    """[R] visibility of each row, > 0."""
    best: Rows
    """[n] row with the best visibility of each object."""
    total: Array
    """[n] sum of the weights of each object."""

    def mean(self, values: Array, counted: Mask | None = None) -> Array:
        """Return the weighted mean of the values of each object: [R, ...] -> [n, ...].

        Args:
            counted: True for values that count, of a shape that broadcasts to that of the values; by default all count.
                The mean is 0 where no value of an object counts.
        """
        tail = (1,) * (values.ndim - 1)
        weights, total = self.weights.reshape(-1, *tail), self.total.reshape(-1, *tail)
        if counted is not None:
            weights = weights * counted
            total = self._sum(weights)
            total = np.where(total > 0, total, 1)
        mean: Array = (self._sum(weights * values) / total).astype(values.dtype)
        return mean

    def _sum(self, values: Array) -> Array:
        """Sum the values of each object: [R, ...] -> [n, ...]."""
        total = np.zeros((len(self.best), *values.shape[1:]))
        np.add.at(total, self.of_row, values)
        return total

    def merge(self, name: str, values: Any) -> Any:
        """Merge the values of the field ``name`` into one entry per object.

        Args:
            values: an array [R, ...], or a sequence of R values.
        """
        if not isinstance(values, np.ndarray):
            return tuple(values[row] for row in self.best.tolist())
        rule = RULES.get(name)
        return self.mean(values) if rule is None or rule.merge is None else rule.merge(values, self)


@dataclass(frozen=True, kw_only=True, slots=True)
class FieldRule:
    """Rules of one field. None selects the default that the module's docstring lists."""

    interpolate: Callable[[Array, Array, float], Array] | None = None
    """Function of one object's values before and after a gap and the elapsed fraction of the gap, 0 to 1.

    It returns the value at that point of the gap.
    """
    shift: Callable[[Array, Array], None] | None = None
    """Function of values [n, T, ...] and shifts of box centers [n, T, 2] in pixels; it shifts the values in place."""
    merge: Callable[[Array, Groups], Array] | None = None
    """Function of values [R, ...] and their groups that returns one entry per object."""


def _interpolate(before: Array, after: Array, fraction: float) -> Array:
    return (1 - fraction) * before + fraction * after


def _interpolate_pose(before: Array, after: Array, fraction: float) -> Array:
    """Interpolate keypoints [K, 3]. A keypoint that is missing (v = 0) before or after the gap is missing inside it."""
    points = _interpolate(before, after, fraction)
    points[:, 2] = np.minimum(before[:, 2], after[:, 2])
    points[points[:, 2] == 0] = 0
    return points


def _shift_poses(poses: Array, shifts: Array) -> None:
    """Shift keypoints [n, T, K, 3] in place by [n, T, 2] pixels."""
    poses[..., :2] += shifts[:, :, None]


def _merge_poses(poses: Array, groups: Groups) -> Array:
    """Average x and y of keypoints [R, K, 3] without missing ones (v = 0); take v from the row of best visibility."""
    merged = groups.mean(poses, counted=poses[..., 2:] > 0)
    merged[..., 2] = poses[groups.best, :, 2]
    return merged


RULES: Mapping[str, FieldRule] = {
    "boxes": FieldRule(interpolate=_interpolate),
    "keypoints": FieldRule(interpolate=_interpolate_pose, shift=_shift_poses, merge=_merge_poses),
}
"""Field name -> rules that differ from the defaults."""

INTERPOLATED_FIELDS = tuple(name for name, rule in RULES.items() if rule.interpolate is not None and name != "boxes")
"""Fields besides boxes that tracks store for filling gaps, even if no cost needs them."""


@cache
def fields_by_frame() -> frozenset[str]:
    """Return the names of the fields of ``ClipDetections`` that have one entry per frame of a tube."""
    return frozenset(name for name, declared in declarations(ClipDetections) if "T" in declared.axes)
