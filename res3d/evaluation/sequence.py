"""Ground truth and predictions of one class in one video, frame by frame: the input of every metric."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from res3d.evaluation.similarity import SIMILARITIES, box_similarity
from res3d.structures import Category, FrameTracks, VideoTracks

MATCH = 0.5
"""Similarity from which on two objects count as the same, as in CLEAR and ID metrics."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FramePair:
    """One frame: N true objects, M predicted ones, and their similarity."""

    truth: FrameTracks
    found: FrameTracks
    similarity: NDArray[np.float64]
    """[N, M]"""


def pair_frames(
    truth: VideoTracks, found: VideoTracks, *, label: int, kind: str, category: Category | None = None
) -> list[FramePair]:
    """Pair ground truth and predictions of one class, frame by frame, over the annotated frames.

    True objects with a score of 0 are not counted (MOTChallenge's flag, COCO's crowds), nor those without a mask or a
    known keypoint where masks or poses are compared: they, and the predictions whose boxes fit them best, are left out.
    So are predictions without a mask or a pose.
    """
    length = max(truth.num_frames, found.num_frames)
    shown = np.ones(length, bool)
    if truth.annotated is not None:
        shown = np.isin(np.arange(length), truth.annotated)
    sides = (side.renamed(num_frames=length, tracks=side.of(label)).frames() for side in (truth, found))
    pairs = []
    for number, (one, other) in enumerate(zip(*sides, strict=True)):
        if shown[number]:
            one, other = _counted(one, other[_has(other, kind)], kind)
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
    return truth[counted], found[keep]


def _has(frame: FrameTracks, kind: str) -> NDArray[np.bool_]:
    """Return a mask [N] of the objects that have what is compared."""
    if kind == "mask" and frame.masks is not None:
        return np.array([mask is not None for mask in frame.masks], bool)
    if kind == "pose" and frame.keypoints is not None:
        return np.asarray((frame.keypoints[..., 2] > 0).any(axis=1))
    return np.full(len(frame), kind == "box")
