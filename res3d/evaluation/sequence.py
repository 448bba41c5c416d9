"""Ground truth and predictions of one class in one video, frame beside frame: what every metric starts from."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from res3d.evaluation.similarity import SIMILARITIES, box_similarity
from res3d.structures import Category, FrameTracks, VideoTracks

MATCH = 0.5  # similarity from which on two objects count as the same, as in CLEAR and ID metrics


@dataclass(frozen=True, kw_only=True, slots=True)
class FramePair:
    """One frame: N true objects, M predicted ones, and how alike they are."""

    truth: FrameTracks
    found: FrameTracks
    similarity: NDArray[np.float64]  # [N, M]


def pair_frames(
    truth: VideoTracks, found: VideoTracks, *, label: int, kind: str, category: Category | None = None
) -> list[FramePair]:
    """The annotated frames of a video with what was found in them, of one label.

    True objects with a score of 0 are not counted (MOTChallenge's flag, COCO's crowds), nor those without a mask or a
    known keypoint where masks or poses are compared: they, and the predictions whose boxes fit them best, are left out.
    A prediction without a mask, or pose, is none of that kind.
    """
    length = max(truth.num_frames, found.num_frames)
    shown = np.ones(length, bool)
    if truth.annotated is not None:
        shown = np.isin(np.arange(length), truth.annotated)
    sides = (side.renamed(num_frames=length, tracks=side.of(label)).frames() for side in (truth, found))
    pairs = []
    for number, (one, other) in enumerate(zip(*sides, strict=True)):
        if shown[number]:
            one, other = _counted(one, _select(other, _has(other, kind)), kind)
            pairs.append(FramePair(truth=one, found=other, similarity=SIMILARITIES[kind](one, other, category)))
    return pairs


def _counted(truth: FrameTracks, found: FrameTracks, kind: str) -> tuple[FrameTracks, FrameTracks]:
    counted = (truth.scores > 0) & _has(truth, kind)
    if counted.all():
        return truth, found
    iou = box_similarity(truth, found, None)
    rows, columns = linear_sum_assignment(np.where(iou >= MATCH, -iou, 0))
    matched = iou[rows, columns] >= MATCH
    keep = np.ones(len(found), bool)
    keep[columns[matched & ~counted[rows]]] = False
    return _select(truth, counted), _select(found, keep)


def _has(frame: FrameTracks, kind: str) -> NDArray[np.bool_]:
    """[N]: objects that have what is compared."""
    if kind == "mask" and frame.masks is not None:
        return np.array([mask is not None for mask in frame.masks], bool)
    if kind == "pose" and frame.keypoints is not None:
        return np.asarray((frame.keypoints[..., 2] > 0).any(axis=1))
    return np.full(len(frame), kind == "box")


def _select(frame: FrameTracks, rows: NDArray[np.bool_]) -> FrameTracks:
    if rows.all():
        return frame
    return replace(
        frame,
        ids=frame.ids[rows],
        labels=frame.labels[rows],
        boxes=frame.boxes[rows],
        scores=frame.scores[rows],
        keypoints=None if frame.keypoints is None else frame.keypoints[rows],
        keypoints_scores=None if frame.keypoints_scores is None else frame.keypoints_scores[rows],
        masks=None if frame.masks is None else tuple(frame.masks[n] for n in np.flatnonzero(rows)),
    )
