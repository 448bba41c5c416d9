"""How far an object may have gone while it was lost."""

import numpy as np
from numpy.typing import NDArray

from res3d.ops.similarity import box_area
from res3d.tracking.costs import Array


def box_size(boxes: Array) -> Array:
    """[N, 4] -> [N], the square root of the area."""
    return np.sqrt(box_area(boxes))


def reach_cost(
    tracks: Array, detections: Array, reach: NDArray[np.int64] | NDArray[np.float64] | float, sizes: Array
) -> Array:
    """Distance of the centers of boxes [N, 4] and [M, 4] as a share of the reach: [N, M], infinite beyond it.

    Args:
        reach: in sizes of an object; [N], or one for all.
        sizes: [N] in pixels, of objects that may have been larger than their last boxes; the size that counts is the
            largest of these and of the two boxes.
    """
    centers = [(boxes[:, :2] + boxes[:, 2:]) / 2 for boxes in (tracks, detections)]
    size = np.maximum(np.maximum(sizes, box_size(tracks))[:, None], box_size(detections))
    distance = np.hypot(*(centers[0][:, None] - centers[1]).transpose(2, 0, 1))
    far = np.broadcast_to(reach, (len(tracks),))[:, None] * size
    return np.where(distance <= far, distance / np.where(far > 0, far, 1), np.inf)
