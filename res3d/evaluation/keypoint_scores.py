"""PCK, the percentage of correct keypoints (Yang and Ramanan 2013), for each keypoint of a class."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from res3d.evaluation.sequence import FramePair
from res3d.evaluation.similarity import pose_distance

PCK_THRESHOLD = 0.2
"""Maximum distance of a correct keypoint, as a fraction of the longer side of the ground-truth box: PCK@0.2."""


@dataclass(frozen=True, kw_only=True, slots=True)
class JointCounts:
    """Numbers of annotated and of correctly predicted instances of each of K keypoints."""

    annotated: NDArray[np.int64]
    """[K] instances in the ground truth."""
    correct: NDArray[np.int64]
    """[K] of them, those with a correct prediction."""

    def __add__(self, other: "JointCounts") -> "JointCounts":
        return JointCounts(annotated=self.annotated + other.annotated, correct=self.correct + other.correct)


def count_joints(pairs: Sequence[FramePair]) -> JointCounts | None:
    """Return the counts of one class in one video; None if the ground truth has no poses.

    Objects are matched by their OKS in each frame. All keypoints of an unmatched object count as wrong.

    Args:
        pairs: ground truth and predictions of the class, frame by frame, with the OKS as similarity.
    """
    pairs = [pair for pair in pairs if pair.truth.keypoints is not None]
    if not pairs:
        return None
    annotated, correct = (sum(part) for part in zip(*map(_count_frame, pairs), strict=True))
    return JointCounts(annotated=np.asarray(annotated), correct=np.asarray(correct))


def _count_frame(pair: FramePair) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the numbers of annotated and of correct keypoints of one frame, [K] each."""
    assert pair.truth.keypoints is not None
    annotated = (pair.truth.keypoints[..., 2] > 0).sum(axis=0)
    if pair.predictions.keypoints is None:
        return annotated, np.zeros_like(annotated)
    rows, columns = linear_sum_assignment(-pair.similarity)
    matched = pair.similarity[rows, columns] > 0
    rows, columns = rows[matched], columns[matched]
    distance = pose_distance(pair.truth.keypoints, pair.predictions.keypoints)[rows, columns]
    threshold = PCK_THRESHOLD * (pair.truth.boxes[rows, 2:] - pair.truth.boxes[rows, :2]).max(axis=1)
    return annotated, (distance <= threshold[:, None]).sum(axis=0)  # unannotated keypoints have a distance of NaN
