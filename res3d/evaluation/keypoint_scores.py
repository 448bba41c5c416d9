"""PCK: the percentage of correct keypoints, joint by joint."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from res3d.evaluation.sequence import FramePair
from res3d.evaluation.similarity import pose_distance

REACH = 0.2
"""Largest distance of a correct keypoint, in longer sides of the true box: PCK@0.2 (Yang and Ramanan 2013)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class JointCounts:
    """Numbers of known and of correctly found instances of each of K keypoints."""

    known: NDArray[np.int64]
    """[K]"""
    correct: NDArray[np.int64]
    """[K]"""

    def __add__(self, other: "JointCounts") -> "JointCounts":
        return JointCounts(known=self.known + other.known, correct=self.correct + other.correct)


def count_joints(pairs: Sequence[FramePair]) -> JointCounts | None:
    """Count keypoints of one class in one video; None without true poses.

    Objects are matched by OKS in each frame; all keypoints of an unmatched object count as wrong.
    """
    posed = [pair for pair in pairs if pair.truth.keypoints is not None]
    if not posed:
        return None
    known, correct = (sum(part) for part in zip(*map(_count_frame, posed), strict=True))
    return JointCounts(known=np.asarray(known), correct=np.asarray(correct))


def _count_frame(pair: FramePair) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    assert pair.truth.keypoints is not None
    known = (pair.truth.keypoints[..., 2] > 0).sum(axis=0)
    if pair.found.keypoints is None:
        return known, np.zeros_like(known)
    rows, columns = linear_sum_assignment(-pair.similarity)
    matched = pair.similarity[rows, columns] > 0
    rows, columns = rows[matched], columns[matched]
    distance = pose_distance(pair.truth.keypoints, pair.found.keypoints)[rows, columns]
    reach = REACH * (pair.truth.boxes[rows, 2:] - pair.truth.boxes[rows, :2]).max(axis=1)
    return known, (distance <= reach[:, None]).sum(axis=0)
