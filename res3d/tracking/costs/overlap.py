"""The cost that every tracker starts from: how little two boxes, or two tubes, overlap."""

from res3d.ops.similarity import box_iou
from res3d.tracking.costs.objects import Array, Objects, mean_over_frames


def overlap_cost(tracks: Objects, detections: Objects) -> Array:
    """1 - IoU [N, M]; of tubes, 1 - the mean over the frames they share, weighted by both sides' visibility."""
    iou = box_iou(tracks.boxes.transpose(1, 0, 2), detections.boxes.transpose(1, 0, 2))
    return 1 - mean_over_frames(iou, tracks, detections)
