"""``FramePair`` and ``pair_frames``: ground truth and predictions of one class, frame by frame, for the metrics."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from res3d.evaluation.similarity import SIMILARITIES, box_similarity
from res3d.structures import Category, FrameTracks, VideoTracks

MATCH_THRESHOLD = 0.5
"""Minimum similarity of two objects that match, as in the CLEAR and identity metrics."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FramePair:
    """One frame: N ground-truth objects, M predictions, and their similarities."""

    truth: FrameTracks
    predictions: FrameTracks
    similarity: NDArray[np.float64]
    """[N, M] in 0..1, see ``SIMILARITIES``."""


def pair_frames(
    truth: VideoTracks, predictions: VideoTracks, *, label: int, kind: str, category: Category | None = None
) -> list[FramePair]:
    """Pair ground truth and predictions of one class, frame by frame, over the annotated frames.

    Some objects are excluded, as they are neither right nor wrong:

    - Ground-truth objects with a score of 0 (MOTChallenge's flag, COCO's crowds), and those without a mask or an
      annotated keypoint where masks or poses are compared. The predictions whose boxes match them are excluded too.
    - Predictions without a mask or a pose where masks or poses are compared.

    Args:
        truth: ground truth of the video.
        predictions: predictions in the same video.
        label: the class, by its label on both sides.
        kind: "box", "mask" or "pose".
        category: the class; poses need it for their keypoint sigmas, see ``sigmas_of``.
    """
    length = max(truth.num_frames, predictions.num_frames)
    is_annotated = np.ones(length, bool)
    if truth.annotated is not None:
        is_annotated = np.isin(np.arange(length), truth.annotated)
    frames = (video.renamed(num_frames=length, tracks=video.of(label)).frames() for video in (truth, predictions))
    pairs = []
    for number, (true, predicted) in enumerate(zip(*frames, strict=True)):
        if is_annotated[number]:
            true, predicted = _exclude(true, predicted[_has(predicted, kind)], kind)
            similarity = SIMILARITIES[kind](true, predicted, category)
            pairs.append(FramePair(truth=true, predictions=predicted, similarity=similarity))
    return pairs


def _exclude(truth: FrameTracks, predictions: FrameTracks, kind: str) -> tuple[FrameTracks, FrameTracks]:
    """Return one frame without the ground-truth objects that do not count, and the predictions that match them."""
    counted = (truth.scores > 0) & _has(truth, kind)
    if counted.all():
        return truth, predictions
    iou = box_similarity(truth, predictions, None)
    rows, columns = linear_sum_assignment(np.where(iou >= MATCH_THRESHOLD, -iou, 0))
    matched = iou[rows, columns] >= MATCH_THRESHOLD
    keep = np.ones(len(predictions), bool)
    keep[columns[matched & ~counted[rows]]] = False
    return truth[counted], predictions[keep]


def _has(frame: FrameTracks, kind: str) -> NDArray[np.bool_]:
    """Return a mask [N] of the objects that have a box, a mask or a pose, depending on ``kind``."""
    if kind == "mask" and frame.masks is not None:
        return np.array([mask is not None for mask in frame.masks], bool)
    if kind == "pose" and frame.keypoints is not None:
        return np.asarray((frame.keypoints[..., 2] > 0).any(axis=1))
    return np.full(len(frame), kind == "box")
