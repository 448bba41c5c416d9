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

COVERED = 0.2  # share of a box from which an object in front of it may hide it


class Expectation(Protocol):
    """Where the tracks of a pool are expected in the frames of the next detections; all that kinds of linker differ in.

    Rows are those of the pool.
    """

    stages: ClassVar[tuple["Stage", ...]]
    """How its tracks are matched."""
    allows_hiding: ClassVar[bool]
    """Whether a lost track that another object covers is taken to be hidden there."""

    def __init__(self, settings: LinkSettings, pool: TrackPool) -> None: ...

    def read(self, detections: FrameDetections | ClipDetections) -> FrameDetections | ClipDetections:
        """Return the detections as they are linked; ValueError for those that cannot be."""

    def move(self, frames: Rows) -> None:
        """Advance to the frames [T] of the next detections."""

    def expected(self, rows: Rows) -> Objects:
        """Return the tracks at ``rows`` in the current frames."""

    def moved(self, rows: Rows) -> Objects:
        """Return the tracks at ``rows`` in the current frames if they moved on from where they were last seen."""

    def overlapping(self) -> Mask:
        """Return the tracks [N] that earlier detections saw in the current frames."""

    def begin(self, candidates: Candidates, columns: Rows) -> None:
        """Add tracks that began with the detections at ``columns``."""

    def update(self, rows: Rows, candidates: Candidates, columns: Rows) -> None:
        """Continue the tracks at ``rows`` with the detections at ``columns``."""

    def keep(self, rows: Mask) -> None:
        """Drop all tracks but those at ``rows`` [N]."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """One round of matching; the tracks and detections that it leaves over take part in later ones."""

    tracks: Callable[["Matching"], Mask]
    """Returns which tracks [N] take part."""
    detections: Literal["high", "low"]
    """Which detections take part, by their scores."""
    cost: Callable[["Matching", Rows, Rows], Array]
    """Takes rows of n tracks and m detections; returns costs [n, m] in 0..1, infinite for pairs never matched."""
    any_class: bool = False
    """Whether a track and a detection of different classes may match."""


class Matching:
    """Pairs of N tracks and M detections, made stage by stage."""

    def __init__(
        self, settings: LinkSettings, pool: TrackPool, expectation: Expectation, candidates: Candidates
    ) -> None:
        self.settings, self.pool, self.expectation, self.candidates = settings, pool, expectation, candidates
        self._assign = ASSIGNMENTS[settings.assignment]
        self._detection_of = np.full(len(pool), -1)
        self.is_free = np.ones(len(candidates.labels), bool)
        """[M] detections without a track."""

    def run(self, stages: Sequence[Stage]) -> None:
        """Match in all stages, in order."""
        for stage in stages:
            self._match(stage)

    @property
    def pairs(self) -> tuple[Rows, Rows]:
        """(rows of tracks, rows of their detections)."""
        (rows,) = (self._detection_of >= 0).nonzero()
        return rows, self._detection_of[rows]

    def mixed_cost(self, terms: Sequence[CostTerm], rows: Rows, columns: Rows) -> Array:
        """Return the costs [n, m] of detections for tracks where they are expected; infinite if there are no terms."""
        if not terms:
            return np.full((len(rows), len(columns)), np.inf)
        return mixed_cost(terms, self.expectation.expected(rows), self.candidates.objects[columns])

    def hidden(self) -> Mask:
        """Return the tracks [N] that a matched detection covers where they were last seen: it may be in front of them.

        A track that is not seen there and not hidden must have moved.
        """
        if not self.expectation.allows_hiding:
            return np.zeros(len(self.pool), bool)
        others = self.candidates.first_boxes[~self.is_free]
        cover = box_cover(self.pool.boxes, others).max(axis=1, initial=0)
        return np.asarray(cover > COVERED)

    def _match(self, stage: Stage) -> None:
        (columns,) = (getattr(self.candidates, stage.detections) & self.is_free).nonzero()
        if not len(columns):
            return
        (rows,) = (stage.tracks(self) & (self._detection_of < 0)).nonzero()
        if not len(rows):
            return
        allowed = stage.any_class | (self.pool.labels[rows, None] == self.candidates.labels[columns])
        a, b = self._assign(np.where(allowed, stage.cost(self, rows, columns), np.inf))
        self._detection_of[rows[a]] = columns[b]
        self.is_free[columns[b]] = False
