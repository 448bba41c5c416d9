"""Similarities, from 0 to 1, between all pairs of N and M objects in a frame, in NumPy."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from res3d.ops.rle import Rle

Array = NDArray[np.floating]

# Standard deviation of each keypoint's annotations, relative to the object's scale: COCO's values for persons
# (cocodataset.org/#keypoints-eval), from nose to right ankle.
COCO_SIGMAS = (
    *(0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072, 0.062),
    *(0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089),
)
DEFAULT_SIGMA = 0.05  # for keypoints without a measured value; about the middle of COCO's


def box_area(boxes: Array) -> Array:
    """Return the areas of boxes xyxy, 0 where a side is negative: [..., 4] -> [...]."""
    sides: Array = np.maximum(boxes[..., 2:] - boxes[..., :2], 0)
    return sides[..., 0] * sides[..., 1]


def box_iou(a: Array, b: Array) -> Array:
    """Return the intersection over union of boxes xyxy: [..., N, 4] and [..., M, 4] -> [..., N, M].

    It is 0 where both boxes are empty.
    """
    shared = _shared_area(a, b)
    union = box_area(a)[..., :, None] + box_area(b)[..., None, :] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def box_cover(a: Array, b: Array) -> Array:
    """Return the part of the area of each box in ``a`` that each box in ``b`` covers, 0 to 1; 0 for empty boxes.

    Boxes are xyxy: [..., N, 4] and [..., M, 4] -> [..., N, M].
    """
    shared = _shared_area(a, b)
    area = np.broadcast_to(box_area(a)[..., :, None], shared.shape)
    return np.divide(shared, area, out=np.zeros_like(shared), where=area > 0)


def _shared_area(a: Array, b: Array) -> Array:
    """Return the areas of the intersections of boxes xyxy: [..., N, 4] and [..., M, 4] -> [..., N, M]."""
    a, b = a[..., :, None, :], b[..., None, :, :]
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    np.maximum(sides, 0, out=sides)
    shared: Array = sides[..., 0] * sides[..., 1]
    return shared


def mask_iou(a: Sequence[Rle | None], b: Sequence[Rle | None]) -> NDArray[np.float64]:
    """Return the intersection over union of N and M masks of one size: [N, M].

    It is 0 for missing masks (None) and for two empty masks. Masks are not decoded: the function compares run lengths,
    and only where the bounding boxes of two masks intersect.

    Raises:
        ValueError: masks of different sizes.
    """
    sizes = {mask.size for mask in (*a, *b) if mask is not None}
    if len(sizes) > 1:
        raise ValueError(f"masks of one frame must have one size, not {sorted(sizes)}")
    boxes = [np.array([(0, 0, 0, 0) if m is None else m.box for m in masks]).reshape(-1, 4) for masks in (a, b)]
    meet = box_iou(boxes[0].astype(float), boxes[1].astype(float)) > 0
    iou = np.zeros(meet.shape)
    for n, m in zip(*np.nonzero(meet), strict=True):
        one, other = a[n], b[m]
        assert one is not None  # the box of a missing mask is empty and intersects no other
        assert other is not None
        shared = _shared_pixels(one.runs, other.runs)
        iou[n, m] = shared / (one.area + other.area - shared)
    return iou


def _shared_pixels(a: NDArray[np.int64], b: NDArray[np.int64]) -> int:
    """Return the number of pixels that belong to both masks, from run lengths with the same sum."""
    ends_a, ends_b = np.cumsum(a), np.cumsum(b)
    ends = np.union1d(ends_a, ends_b)
    lengths = np.diff(np.concatenate([[0], ends]))
    # An interval that ends at e belongs to the first run with an end >= e; odd runs belong to the object.
    inside = (np.searchsorted(ends_a, ends) % 2 == 1) & (np.searchsorted(ends_b, ends) % 2 == 1)
    return int(lengths[inside].sum())


def keypoint_distance(a: Array, b: Array) -> Array:
    """Return the distances in pixels between corresponding keypoints: [N, K, 3] and [M, K, 3] -> [N, M, K].

    Keypoints are (x, y, v). The distance is NaN where v is 0 in either object.
    """
    distance: Array = np.hypot(a[:, None, :, 0] - b[None, :, :, 0], a[:, None, :, 1] - b[None, :, :, 1])
    return np.where((a[:, None, :, 2] > 0) & (b[None, :, :, 2] > 0), distance, np.nan)


def oks(distance: Array, area: Array, sigmas: Sequence[float] | float = DEFAULT_SIGMA) -> Array:
    """Return COCO's object keypoint similarity [N, M]: the mean over keypoints of ``exp(-d² / (2 area (2 sigma)²))``.

    Args:
        distance: [N, M, K] pixels. Keypoints with NaN are left out; the similarity is 0 if that leaves none.
        area: of the objects, in pixels², broadcast to [N, M].
        sigmas: one per keypoint, or one for all.
    """
    variance = (2 * np.asarray(sigmas, float)) ** 2 * np.maximum(np.asarray(area, float), np.spacing(1))[..., None]
    return _mean_where(np.exp(-(distance**2) / (2 * variance)), ~np.isnan(distance))


def pck(distance: Array, reach: Array) -> Array:
    """Return the percentage of correct keypoints (PCK) [N, M], as a number from 0 to 1.

    Args:
        distance: [N, M, K] pixels. Keypoints with NaN are left out; the result is 0 if that leaves none.
        reach: largest distance of a correct keypoint in pixels, broadcast to [N, M].
    """
    return _mean_where(distance <= np.asarray(reach)[..., None], ~np.isnan(distance))


def _mean_where(values: NDArray[np.floating | np.bool_], mask: NDArray[np.bool_]) -> Array:
    """Return the means over the last axis of the values where ``mask`` is True; 0 where it has no True."""
    total = np.where(mask, values, 0).sum(axis=-1)
    mean: Array = total / np.maximum(mask.sum(axis=-1), 1)
    return mean
