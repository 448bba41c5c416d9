"""The cost of poses that COCO's measure gives."""

from res3d.ops.similarity import oks
from res3d.tracking.costs.objects import Array, Objects, mean_over_frames
from res3d.tracking.costs.poses import pose_distances


def oks_cost(tracks: Objects, detections: Objects) -> Array:
    """1 - object keypoint similarity [N, M], at one spread for every keypoint (``DEFAULT_SIGMA``)."""
    return 1 - mean_over_frames(oks(*pose_distances(tracks, detections, "oks")), tracks, detections)
