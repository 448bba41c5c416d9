"""Ground truth and predictions of one class in one video, frame beside frame: what every metric starts from."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from res3d.evaluation.similarity import SIMILARITIES
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

    True objects with a score of 0 are not counted (MOTChallenge's flag, COCO's crowds): they, and the predictions that
    fit them best, are left out.
    """
    length = max(truth.num_frames, found.num_frames)
    shown = np.ones(length, bool)
    if truth.annotated is not None:
        shown = np.isin(np.arange(length), truth.annotated)
    both = zip(truth.renamed(num_frames=length).frames(), found.renamed(num_frames=length).frames(), strict=True)
    pairs = []
    for number, (one, other) in enumerate(both):
        if shown[number]:
            one, other = _select(one, one.labels == label), _select(other, other.labels == label)
            pair = FramePair(truth=one, found=other, similarity=SIMILARITIES[kind](one, other, category))
            pairs.append(_without_uncounted(pair))
    return pairs


def _without_uncounted(pair: FramePair) -> FramePair:
    counted = pair.truth.scores > 0
    if counted.all():
        return pair
    keep = np.ones(len(pair.found), bool)
    rows, columns = linear_sum_assignment(np.where(pair.similarity >= MATCH, -pair.similarity, 0))
    matched = pair.similarity[rows, columns] >= MATCH
    keep[columns[matched & ~counted[rows]]] = False
    return FramePair(
        truth=_select(pair.truth, counted),
        found=_select(pair.found, keep),
        similarity=pair.similarity[np.ix_(counted, keep)],
    )


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
