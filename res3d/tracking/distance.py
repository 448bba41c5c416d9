"""Distances between boxes, in sizes of the objects."""

import numpy as np
from numpy.typing import NDArray

from res3d.ops.similarity import box_area
from res3d.tracking.objects import Array


def box_size(boxes: Array) -> Array:
    """Return the square root of the area: [N, 4] xyxy -> [N] pixels."""
    return np.sqrt(box_area(boxes))


def distance_cost(
    tracks: Array, detections: Array, limit: NDArray[np.int64] | NDArray[np.float64] | float, sizes: Array
) -> Array:
    """Return the distance between the centers of boxes as a share of the limit: [N, M], infinite beyond it.

    Args:
        tracks, detections: [N, 4] and [M, 4] xyxy pixels.
        limit: in sizes of an object; [N], or one for all.
        sizes: [N] pixels, of objects that may have been larger than their last boxes; the size that counts is the
            largest of these and of the two boxes.
    """
    centers = [(boxes[:, :2] + boxes[:, 2:]) / 2 for boxes in (tracks, detections)]
    size = np.maximum(np.maximum(sizes, box_size(tracks))[:, None], box_size(detections))
    distance = np.hypot(*(centers[0][:, None] - centers[1]).transpose(2, 0, 1))
    farthest = np.broadcast_to(limit, (len(tracks),))[:, None] * size
    return np.where(distance <= farthest, distance / np.where(farthest > 0, farthest, 1), np.inf)
