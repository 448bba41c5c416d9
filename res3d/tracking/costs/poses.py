"""Distances between the poses of two sides, which the costs of poses share."""

import numpy as np

from res3d.ops.similarity import box_area, keypoint_distance
from res3d.tracking.costs.objects import Array, Objects


def pose_distances(tracks: Objects, detections: Objects, name: str) -> tuple[Array, Array]:
    """(pixels between keypoints [T, N, M, K], area of the boxes [T, N, M]), the latter the geometric mean of both.

    Raises:
        ValueError: objects without keypoints; ``name`` is the cost's.
    """
    if tracks.keypoints is None or detections.keypoints is None:
        raise ValueError(f"the cost {name!r} needs detections with keypoints")
    frames = zip(tracks.keypoints.transpose(1, 0, 2, 3), detections.keypoints.transpose(1, 0, 2, 3), strict=True)
    distances = np.stack([keypoint_distance(a, b) for a, b in frames])
    areas = np.sqrt(box_area(tracks.boxes).T[:, :, None] * box_area(detections.boxes).T[:, None, :])
    return distances, areas
