"""How far an object may have gone while it was lost."""

import numpy as np
from numpy.typing import NDArray

from res3d.tracking.costs import Array


def reach_cost(tracks: Array, detections: Array, sizes: NDArray[np.int64] | NDArray[np.float64] | float) -> Array:
    """Distance of the centers of boxes [N, 4] and [M, 4] as a share of the reach: [N, M], infinite beyond it.

    Args:
        sizes: the reach in sizes of an object, the square root of the larger box's area; [N], or one for all.
    """
    centers = [(boxes[:, :2] + boxes[:, 2:]) / 2 for boxes in (tracks, detections)]
    sides = [np.sqrt((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])) for boxes in (tracks, detections)]
    distance = np.hypot(*(centers[0][:, None] - centers[1]).transpose(2, 0, 1))
    reach = np.broadcast_to(sizes, (len(tracks),))[:, None] * np.maximum(sides[0][:, None], sides[1])
    return np.where(distance <= reach, distance / np.where(reach > 0, reach, 1), np.inf)
