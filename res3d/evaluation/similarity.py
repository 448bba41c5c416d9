"""What "the same object" means: by boxes, masks or poses. A kind is a row of ``SIMILARITIES``."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from res3d.ops.similarity import COCO_SIGMAS, DEFAULT_SIGMA, box_area, box_iou, keypoint_distance, mask_iou, oks
from res3d.structures import COCO_KEYPOINTS, Category, FrameTracks, VideoTracks

Array = NDArray[np.float64]


def sigmas_of(category: Category | None) -> Sequence[float] | float:
    """COCO's spreads for COCO's seventeen keypoints of people, known by their names; one for all of any others."""
    return COCO_SIGMAS if category is not None and category.keypoints == COCO_KEYPOINTS else DEFAULT_SIGMA


def areas_of(frame: FrameTracks) -> Array:
    """[N] pixels² of the masks, of the boxes where there is none: the scale of poses."""
    areas = box_area(frame.boxes).astype(np.float64)
    for n, mask in enumerate(frame.masks or ()):
        if mask is not None:
            areas[n] = mask.area
    return areas


def box_similarity(truth: FrameTracks, found: FrameTracks, category: Category | None) -> Array:
    """IoU of boxes [N, M]."""
    return box_iou(truth.boxes.astype(np.float64), found.boxes.astype(np.float64)).astype(np.float64)


def mask_similarity(truth: FrameTracks, found: FrameTracks, category: Category | None) -> Array:
    """IoU of masks [N, M]."""
    return mask_iou(truth.masks or (), found.masks or ())


def pose_similarity(truth: FrameTracks, found: FrameTracks, category: Category | None) -> Array:
    """OKS [N, M] over the keypoints that the truth knows; one that was not found counts as far off."""
    if truth.keypoints is None or found.keypoints is None:  # nothing is in the frame on that side
        return np.zeros((len(truth), len(found)))
    distance = pose_distance(truth.keypoints, found.keypoints)
    similarity = oks(distance, areas_of(truth)[:, None], sigmas_of(category))
    return similarity.astype(np.float64)


def pose_distance(truth: NDArray[np.float32], found: NDArray[np.float32]) -> Array:
    """[N, K, 3] and [M, K, 3] -> pixels [N, M, K]: NaN where the truth is unknown, infinite where nothing was found.

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
    """Which of ``SIMILARITIES`` the tracks of a video have what it takes for."""
    kinds = {"box"}
    if any(track.masks is not None for track in video.tracks):
        kinds.add("mask")
    if any(track.keypoints is not None for track in video.tracks):
        kinds.add("pose")
    return kinds
