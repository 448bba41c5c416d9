"""Cascaded matching of tracks and detections for one frame or clip."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

import numpy as np

from res3d.ops.similarity import box_cover
from res3d.structures import ClipDetections, FrameDetections
from res3d.tracking.assignment import ASSIGNMENTS
from res3d.tracking.candidates import Candidates
from res3d.tracking.mixed_cost import CostTerm, mixed_cost
from res3d.tracking.objects import Array, Mask, Objects, Rows
from res3d.tracking.pool import TrackPool
from res3d.tracking.settings import LinkSettings

OCCLUDED_FRACTION = 0.2  # of a box's area; above it, an object that covers the box may occlude it


class Expectation(Protocol):
    """Predicts the boxes of a pool's tracks in the frames of the next detections.

    Linkers of single frames and of clips differ in their expectation only. ``rows`` are rows of the pool, ``columns``
    are indices of detections.
    """

    stages: ClassVar[tuple["Stage", ...]]
    """Matching stages, in order."""
    allows_occlusion: ClassVar[bool]
    """True if a lost track that another object covers may be occluded (``Matching.occluded``)."""

    def __init__(self, settings: LinkSettings, pool: TrackPool) -> None: ...

    def read(self, detections: FrameDetections | ClipDetections) -> FrameDetections | ClipDetections:
        """Convert detections to the form that is linked.

        Raises:
            ValueError: detections of another number of frames than the expectation supports.
        """

    def advance(self, frames: Rows) -> None:
        """Advance to the frames [T] of the next detections."""

    def predicted(self, rows: Rows) -> Objects:
        """Return the tracks at ``rows`` in their predicted boxes in the current frames."""

    def extrapolated(self, rows: Rows) -> Objects:
        """Return the tracks at ``rows`` in the current frames, extrapolated from their last boxes."""

    def overlapping(self) -> Mask:
        """Return a mask [N]: True for tracks that earlier detections saw in the current frames."""

    def begin(self, candidates: Candidates, columns: Rows) -> None:
        """Add new tracks, which start with the detections at ``columns``."""

    def update(self, rows: Rows, candidates: Candidates, columns: Rows) -> None:
        """Continue the tracks at ``rows`` with the detections at ``columns``."""

    def keep(self, rows: Mask) -> None:
        """Drop all tracks except those at ``rows`` [N]."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """One matching stage. Tracks and detections that it leaves unmatched take part in the next stages."""

    tracks: Callable[["Matching"], Mask]
    """Function that returns a mask [N] of the tracks that take part."""
    detections: Literal["high", "low"]
    """Detections that take part, by their scores (``Candidates.high``, ``Candidates.low``)."""
    cost: Callable[["Matching", Rows, Rows], Array]
    """Function of the rows of n tracks and the columns of m detections.

    It returns costs [n, m] in 0..1, infinite for forbidden pairs.
    """
    any_class: bool = False
    """True if a track and a detection of different classes may match."""


class Matching:
    """Matching of N tracks and M detections, stage by stage.

    Args:
        settings: settings of linking.
        pool: the N live tracks.
        expectation: predicted boxes of the tracks in the frames of the detections.
        candidates: the M detections.
    """

    def __init__(
        self, settings: LinkSettings, pool: TrackPool, expectation: Expectation, candidates: Candidates
    ) -> None:
        self.settings, self.pool, self.expectation, self.candidates = settings, pool, expectation, candidates
        self._assign = ASSIGNMENTS[settings.assignment]
        self._detection_of = np.full(len(pool), -1)
        self.is_unmatched = np.ones(len(candidates.labels), bool)
        """[M] True for detections without a track."""

    def run(self, stages: Sequence[Stage]) -> None:
        """Run the stages in order."""
        for stage in stages:
            self._match(stage)

    @property
    def pairs(self) -> tuple[Rows, Rows]:
        """Rows of the matched tracks, and the columns of their detections."""
        (rows,) = (self._detection_of >= 0).nonzero()
        return rows, self._detection_of[rows]

    def mixed_cost(self, terms: Sequence[CostTerm], rows: Rows, columns: Rows) -> Array:
        """Return the costs [n, m] of the predicted tracks at ``rows`` and the detections at ``columns``.

        Without terms, all costs are infinite.
        """
        if not terms:
            return np.full((len(rows), len(columns)), np.inf)
        return mixed_cost(terms, self.expectation.predicted(rows), self.candidates.objects[columns])

    def occluded(self) -> Mask:
        """Return a mask [N] of the tracks that may be occluded: a matched detection covers their last box.

        A track that has no detection and is not occluded must have moved.
        """
        if not self.expectation.allows_occlusion:
            return np.zeros(len(self.pool), bool)
        others = self.candidates.first_boxes[~self.is_unmatched]
        cover = box_cover(self.pool.boxes, others).max(axis=1, initial=0)
        return np.asarray(cover > OCCLUDED_FRACTION)

    def _match(self, stage: Stage) -> None:
        """Match the tracks and detections of one stage that are still unmatched."""
        (columns,) = (getattr(self.candidates, stage.detections) & self.is_unmatched).nonzero()
        if not len(columns):
            return
        (rows,) = (stage.tracks(self) & (self._detection_of < 0)).nonzero()
        if not len(rows):
            return
        allowed = stage.any_class | (self.pool.labels[rows, None] == self.candidates.labels[columns])
        a, b = self._assign(np.where(allowed, stage.cost(self, rows, columns), np.inf))
        self._detection_of[rows[a]] = columns[b]
        self.is_unmatched[columns[b]] = False
