"""Similarities, from 0 to 1, of every pair of N and M objects of a frame, in NumPy."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from res3d.ops.rle import Rle

Array = NDArray[np.floating]

# Spread of each keypoint among annotators, as a share of an object's scale: COCO's for people
# (cocodataset.org/#keypoints-eval), from nose to right ankle.
COCO_SIGMAS = (
    *(0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072, 0.062),
    *(0.062, 0.107, 0.107, 0.087, 0.087, 0.089, 0.089),
)
DEFAULT_SIGMA = 0.05  # of keypoints nobody measured; about the middle of COCO's


def box_area(boxes: Array) -> Array:
    """[..., 4] xyxy -> [...]; 0 where a side is negative."""
    sides: Array = np.maximum(boxes[..., 2:] - boxes[..., :2], 0)
    return sides[..., 0] * sides[..., 1]


def box_iou(a: Array, b: Array) -> Array:
    """Intersection over union, xyxy: [..., N, 4] and [..., M, 4] -> [..., N, M]; 0 where both are empty."""
    shared = _shared_area(a, b)
    union = box_area(a)[..., :, None] + box_area(b)[..., None, :] - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def box_cover(a: Array, b: Array) -> Array:
    """Share of each box in ``a`` that lies in one in ``b``, xyxy: [N, 4] and [M, 4] -> [N, M]; 0 for empty boxes."""
    shared = _shared_area(a, b)
    area = np.broadcast_to(box_area(a)[..., :, None], shared.shape)
    return np.divide(shared, area, out=np.zeros_like(shared), where=area > 0)


def _shared_area(a: Array, b: Array) -> Array:
    a, b = a[..., :, None, :], b[..., None, :, :]
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    np.maximum(sides, 0, out=sides)
    shared: Array = sides[..., 0] * sides[..., 1]
    return shared


def mask_iou(a: Sequence[Rle | None], b: Sequence[Rle | None]) -> NDArray[np.float64]:
    """Intersection over union: N and M masks of one size -> [N, M]. A missing mask shares nothing with any other.

    Works on the runs where the boxes around two masks meet; nothing is decoded.

    Raises:
        ValueError: masks of two sizes.
    """
    sizes = {mask.size for mask in (*a, *b) if mask is not None}
    if len(sizes) > 1:
        raise ValueError(f"masks of one frame must have one size, not {sorted(sizes)}")
    boxes = [np.array([(0, 0, 0, 0) if m is None else m.box for m in masks]).reshape(-1, 4) for masks in (a, b)]
    meet = box_iou(boxes[0].astype(float), boxes[1].astype(float)) > 0
    iou = np.zeros(meet.shape)
    for n, m in zip(*np.nonzero(meet), strict=True):
        one, other = a[n], b[m]
        assert one is not None  # a missing one has an empty box, which meets none
        assert other is not None
        shared = _shared_pixels(one.runs, other.runs)
        iou[n, m] = shared / (one.area + other.area - shared)
    return iou


def _shared_pixels(a: NDArray[np.int64], b: NDArray[np.int64]) -> int:
    """Pixels inside both, from runs that cover the same number of pixels."""
    ends_a, ends_b = np.cumsum(a), np.cumsum(b)
    ends = np.union1d(ends_a, ends_b)
    lengths = np.diff(np.concatenate([[0], ends]))
    # A piece that ends at e lies in the run whose end is the first >= e; odd runs are inside.
    inside = (np.searchsorted(ends_a, ends) % 2 == 1) & (np.searchsorted(ends_b, ends) % 2 == 1)
    return int(lengths[inside].sum())


def keypoint_distance(a: Array, b: Array) -> Array:
    """Pixels between the same keypoints: [N, K, 3] and [M, K, 3] x, y, v -> [N, M, K]; NaN where either's v is 0."""
    distance: Array = np.hypot(a[:, None, :, 0] - b[None, :, :, 0], a[:, None, :, 1] - b[None, :, :, 1])
    return np.where((a[:, None, :, 2] > 0) & (b[None, :, :, 2] > 0), distance, np.nan)


def oks(distance: Array, area: Array, sigmas: Sequence[float] | float = DEFAULT_SIGMA) -> Array:
    """COCO's object keypoint similarity: mean over keypoints of ``exp(-d² / (2 area (2 sigma)²))``.

    Args:
        distance: [N, M, K] pixels; NaN leaves a keypoint out. A pair without any keypoint is 0.
        area: [N, M], or what broadcasts to it, in pixels².
        sigmas: one a keypoint, or one for all.
    """
    variance = (2 * np.asarray(sigmas, float)) ** 2 * np.maximum(np.asarray(area, float), np.spacing(1))[..., None]
    return _mean_where(np.exp(-(distance**2) / (2 * variance)), ~np.isnan(distance))


def pck(distance: Array, reach: Array) -> Array:
    """Percentage of correct keypoints, from 0 to 1: the share of those in ``distance`` [N, M, K] that are at most
    ``reach`` [N, M], or what broadcasts to it, pixels apart. NaN leaves a keypoint out; a pair without any is 0.
    """
    return _mean_where(distance <= np.asarray(reach)[..., None], ~np.isnan(distance))


def _mean_where(values: NDArray[np.floating | np.bool_], counted: NDArray[np.bool_]) -> Array:
    total = np.where(counted, values, 0).sum(axis=-1)
    mean: Array = total / np.maximum(counted.sum(axis=-1), 1)
    return mean
