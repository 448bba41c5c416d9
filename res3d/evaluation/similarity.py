"""Similarity of objects by boxes, masks or poses; ``SIMILARITIES`` lists the kinds."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from res3d.ops import COCO_SIGMAS, DEFAULT_SIGMA, box_area, box_iou, keypoint_distance, mask_iou, oks
from res3d.structures import COCO_KEYPOINTS, Category, FrameTracks, VideoTracks

Array = NDArray[np.float64]


def sigmas_of(category: Category | None) -> Sequence[float] | float:
    """Return COCO's sigmas for its seventeen keypoints of people, recognised by name, else one sigma for all."""
    return COCO_SIGMAS if category is not None and category.keypoints == COCO_KEYPOINTS else DEFAULT_SIGMA


def areas_of(frame: FrameTracks) -> Array:
    """Return the areas [N] in pixels² of the masks, else of the boxes: the scale of poses."""
    areas = box_area(frame.boxes).astype(np.float64)
    for n, mask in enumerate(frame.masks or ()):
        if mask is not None:
            areas[n] = mask.area
    return areas


def box_similarity(truth: FrameTracks, found: FrameTracks, category: Category | None) -> Array:
    """Return the IoU of boxes [N, M]."""
    return box_iou(truth.boxes.astype(np.float64), found.boxes.astype(np.float64)).astype(np.float64)


def mask_similarity(truth: FrameTracks, found: FrameTracks, category: Category | None) -> Array:
    """Return the IoU of masks [N, M]."""
    return mask_iou(truth.masks or (), found.masks or ())


def pose_similarity(truth: FrameTracks, found: FrameTracks, category: Category | None) -> Array:
    """Return OKS [N, M] over the keypoints known in the truth; one that was not found counts as infinitely far."""
    if truth.keypoints is None or found.keypoints is None:  # nothing is in the frame on that side
        return np.zeros((len(truth), len(found)))
    distance = pose_distance(truth.keypoints, found.keypoints)
    similarity = oks(distance, areas_of(truth)[:, None], sigmas_of(category))
    return similarity.astype(np.float64)


def pose_distance(truth: NDArray[np.float32], found: NDArray[np.float32]) -> Array:
    """Return distances [N, M, K] in pixels of poses [N, K, 3] and [M, K, 3].

    They are NaN where the true keypoint is unknown, and infinite where it was not found.

    Raises:
        ValueError: poses with another number of keypoints.
    """
    if truth.shape[1] != found.shape[1]:
        raise ValueError(f"the ground truth has {truth.shape[1]} keypoints an object, the predictions {found.shape[1]}")
    known = np.ones_like(found)
    known[..., :2] = np.where(found[..., 2:] > 0, found[..., :2], np.inf)
    return keypoint_distance(truth, known).astype(np.float64)


Similarity = Callable[[FrameTracks, FrameTracks, Category | None], Array]

SIMILARITIES: Mapping[str, Similarity] = {"box": box_similarity, "mask": mask_similarity, "pose": pose_similarity}


def kinds_of(video: VideoTracks) -> set[str]:
    """Return the kinds of ``SIMILARITIES`` whose fields the tracks of a video have."""
    kinds = {"box"}
    if any(track.masks is not None for track in video.tracks):
        kinds.add("mask")
    if any(track.keypoints is not None for track in video.tracks):
        kinds.add("pose")
    return kinds
