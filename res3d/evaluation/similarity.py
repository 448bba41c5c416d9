"""Similarity of ground-truth objects and predictions by boxes, masks or poses; ``SIMILARITIES`` lists the kinds."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from res3d.ops import COCO_SIGMAS, DEFAULT_SIGMA, box_area, box_iou, keypoint_distance, mask_iou, oks
from res3d.structures import COCO_KEYPOINTS, Category, FrameTracks, VideoTracks

Array = NDArray[np.float64]


def sigmas_of(category: Category | None) -> Sequence[float] | float:
    """Return the OKS sigmas of a class: COCO's if it has COCO's 17 keypoints by name, else one sigma for all."""
    return COCO_SIGMAS if category is not None and category.keypoints == COCO_KEYPOINTS else DEFAULT_SIGMA


def areas_of(frame: FrameTracks) -> Array:
    """Return the areas [N] in pixels² by which OKS is scaled: of the mask, or of the box where there is no mask."""
    areas = box_area(frame.boxes).astype(np.float64)
    for n, mask in enumerate(frame.masks or ()):
        if mask is not None:
            areas[n] = mask.area
    return areas


def box_similarity(truth: FrameTracks, predictions: FrameTracks, category: Category | None) -> Array:
    """Return the IoU of boxes [N, M]."""
    return box_iou(truth.boxes.astype(np.float64), predictions.boxes.astype(np.float64)).astype(np.float64)


def mask_similarity(truth: FrameTracks, predictions: FrameTracks, category: Category | None) -> Array:
    """Return the IoU of masks [N, M]."""
    return mask_iou(truth.masks or (), predictions.masks or ())


def pose_similarity(truth: FrameTracks, predictions: FrameTracks, category: Category | None) -> Array:
    """Return the OKS [N, M] over the annotated keypoints. A keypoint without a prediction is infinitely far away."""
    if truth.keypoints is None or predictions.keypoints is None:  # that side has no objects in the frame
        return np.zeros((len(truth), len(predictions)))
    distance = pose_distance(truth.keypoints, predictions.keypoints)
    similarity = oks(distance, areas_of(truth)[:, None], sigmas_of(category))
    return similarity.astype(np.float64)


def pose_distance(truth: NDArray[np.float32], predictions: NDArray[np.float32]) -> Array:
    """Return the distances [N, M, K] in pixels of the keypoints of poses [N, K, 3] and [M, K, 3].

    They are NaN where the keypoint is not annotated, and infinite where it is not predicted (third value 0).

    Raises:
        ValueError: the two sides have different numbers of keypoints.
    """
    if truth.shape[1] != predictions.shape[1]:
        counts = f"{truth.shape[1]} keypoints per object, the predictions {predictions.shape[1]}"
        raise ValueError(f"the ground truth has {counts}")
    points = np.ones_like(predictions)  # all visible, so that only the ground truth decides which keypoints count
    points[..., :2] = np.where(predictions[..., 2:] > 0, predictions[..., :2], np.inf)
    return keypoint_distance(truth, points).astype(np.float64)


Similarity = Callable[[FrameTracks, FrameTracks, Category | None], Array]

SIMILARITIES: Mapping[str, Similarity] = {"box": box_similarity, "mask": mask_similarity, "pose": pose_similarity}
"""Functions of (ground truth, predictions, category) that return similarities [N, M] in 0..1, by kind."""


def kinds_of(video: VideoTracks) -> set[str]:
    """Return the kinds of ``SIMILARITIES`` that a video has data for: "box" always, "mask" and "pose" if any track."""
    kinds = {"box"}
    if any(track.masks is not None for track in video.tracks):
        kinds.add("mask")
    if any(track.keypoints is not None for track in video.tracks):
        kinds.add("pose")
    return kinds
