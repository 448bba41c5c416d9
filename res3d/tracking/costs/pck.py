"""Detect-and-Track's cost of poses, for objects that need not have heads."""

import numpy as np

from res3d.ops.similarity import pck
from res3d.tracking.costs.objects import Array, Objects, mean_over_frames
from res3d.tracking.costs.poses import pose_distances

# A keypoint is the same within this share of the square root of the box's area. The original takes half a head, and a
# head is about 2/15 of a person's height, whose box is about 0.4 times as wide: 0.1 is the same for people.
REACH = 0.1


def pck_cost(tracks: Objects, detections: Objects) -> Array:
    """1 - share of keypoints that stay in place [N, M]; unlabelled ones do not count (with the original they do)."""
    distances, areas = pose_distances(tracks, detections, "pck")
    return 1 - mean_over_frames(pck(distances, REACH * np.sqrt(areas)), tracks, detections)
