"""Who got whom, while the stages of a linker run over one frame or clip."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from res3d.tracking.assignment import ASSIGNMENTS
from res3d.tracking.costs import Array

Rows = NDArray[np.int64]
Mask = NDArray[np.bool_]


class Matching:
    """Pairs of N tracks and M detections, made stage by stage: who is taken stays taken."""

    def __init__(self, track_labels: Rows, detection_labels: Rows, assignment: str) -> None:
        self._labels = track_labels, detection_labels
        self._assign = ASSIGNMENTS[assignment]
        self._detection_of = np.full(len(track_labels), -1)
        self.is_free = np.ones(len(detection_labels), bool)  # [M]

    def stage(
        self, tracks: Mask, detections: Mask, cost: Callable[[Rows, Rows], Array], *, any_class: bool = False
    ) -> None:
        """Match those among ``tracks`` [N] and ``detections`` [M] that are free, and of the same class or of any.

        Args:
            cost: given n row numbers of tracks and m of detections, [n, m] in 0..1, infinite for what must not be.
        """
        rows, columns = np.flatnonzero(tracks & (self._detection_of < 0)), np.flatnonzero(detections & self.is_free)
        if not len(rows) or not len(columns):
            return
        may = any_class | (self._labels[0][rows, None] == self._labels[1][columns])
        a, b = self._assign(np.where(may, cost(rows, columns), np.inf))
        self._detection_of[rows[a]] = columns[b]
        self.is_free[columns[b]] = False

    @property
    def pairs(self) -> tuple[Rows, Rows]:
        """(rows of tracks, rows of their detections)."""
        rows = np.flatnonzero(self._detection_of >= 0)
        return rows, self._detection_of[rows]
