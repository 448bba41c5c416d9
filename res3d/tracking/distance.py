"""Distances between boxes, relative to the size of the objects."""

import numpy as np
from numpy.typing import NDArray

from res3d.ops.similarity import box_area
from res3d.tracking.objects import Array


def box_size(boxes: Array) -> Array:
    """Return the size of boxes, the square root of the area: [N, 4] xyxy -> [N] pixels."""
    return np.sqrt(box_area(boxes))


def distance_cost(
    tracks: Array, detections: Array, limit: NDArray[np.int64] | NDArray[np.float64] | float, sizes: Array
) -> Array:
    """Return the distance between box centers divided by the limit: [N, M] in 0..1, infinite beyond the limit.

    Args:
        tracks, detections: [N, 4] and [M, 4] xyxy pixels.
        limit: largest distance in object sizes: [N], one per track, or one number for all tracks.
        sizes: [N] pixels; sizes of the tracks, which may be larger than their last boxes. The object size of a pair is
            the maximum of this size and the sizes of its two boxes.
    """
    centers = [(boxes[:, :2] + boxes[:, 2:]) / 2 for boxes in (tracks, detections)]
    size = np.maximum(np.maximum(sizes, box_size(tracks))[:, None], box_size(detections))
    distance = np.hypot(*(centers[0][:, None] - centers[1]).transpose(2, 0, 1))
    farthest = np.broadcast_to(limit, (len(tracks),))[:, None] * size
    return np.where(distance <= farthest, distance / np.where(farthest > 0, farthest, 1), np.inf)
