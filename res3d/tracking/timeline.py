"""Buffer of frames that may still change."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import starmap

import numpy as np

from res3d.ops.rle import Rle
from res3d.structures import FrameTracks, ObjectFields, object_rows, rows
from res3d.structures.row_fields import declarations
from res3d.structures.rows import Floats
from res3d.tracking.field_rules import Groups
from res3d.tracking.identity import Identity
from res3d.tracking.objects import Array, Rows

MIN_WEIGHT = 1e-6  # of a row in a merge: rows with visibility 0 count only where all rows of the object have 0


@object_rows
class FrameRows(ObjectFields[Rle | None]):
    """Objects of one frame, from detections that are already checked. The tracks determine their classes."""

    axes = {"T": None}  # noqa: RUF012 (a ClassVar of the base)
    is_checked = False

    visible: Floats | None = rows("N", default=None, fill=1)
    """[N] probability that the object is visible; None: 1 for all."""


@dataclass(slots=True)
class _Frame:
    """Buffered rows of one frame, in the parts in which they were added."""

    number: int
    time: float | None = None
    """Seconds."""
    parts: list[tuple[Sequence[Identity], FrameRows]] = field(default_factory=list)
    """Identities of tracks, and one row per identity."""


class Timeline:
    """Buffer of frames that may still change: tracks are confirmed, dropped or merged later, and gaps are filled.

    Overlapping clips add several rows of an object to one frame. They are merged (``field_rules``). An object is left
    out of a frame where the mean visibility of its rows is below ``visible_score``.

    Args:
        visible_score: lowest mean visibility of an object in a frame, 0 to 1.
    """

    def __init__(self, visible_score: float) -> None:
        self._visible_score = visible_score
        self._frames: deque[_Frame] = deque()
        self._next = 0  # number of the next frame to add

    def open(self, frames: Sequence[int], times: Sequence[float] | None = None) -> None:
        """Add all missing frames up to the last of ``frames``.

        Args:
            frames: frame numbers, in order.
            times: seconds of each of ``frames``.
        """
        while self._next <= frames[-1]:
            self._frames.append(_Frame(self._next))
            self._next += 1
        for frame, time in zip(frames, times or (), strict=False):
            self._at(frame).time = time

    def add(self, frame: int, identities: Sequence[Identity], rows: FrameRows) -> None:
        """Add rows, one per identity, to a frame that was opened and is not released yet."""
        self._at(frame).parts.append((identities, rows))

    def release(self, before: int | None = None) -> list[FrameTracks]:
        """Remove the frames with numbers below ``before``, by default all, and return their tracked objects in order.

        Objects of tracks without an id are left out.
        """
        frames = []
        while self._frames and (before is None or self._frames[0].number < before):
            frames.append(self._finish(self._frames.popleft()))
        return frames

    def _at(self, frame: int) -> _Frame:
        return self._frames[frame - self._frames[0].number]

    def _finish(self, frame: _Frame) -> FrameTracks:
        """Return the visible objects of the confirmed tracks in a frame, sorted by id."""
        parts = [part for part in starmap(_select_confirmed, frame.parts) if part[0]]
        if not parts:
            return FrameTracks.empty(frame=frame.number, time=frame.time)
        ids = np.array([number for part in parts for number in part[0]], np.int64)
        labels = np.array([label for part in parts for label in part[1]], np.int64)
        rows = parts[0][2] if len(parts) == 1 else FrameRows.concatenate([part[2] for part in parts])
        if rows.visible is not None:
            ids, best, visible, rows = _merge(ids, rows, rows.visible)
            labels, order = labels[best], (visible >= self._visible_score).nonzero()[0]
        else:
            order = np.argsort(ids)
        return rows.convert(
            FrameTracks, order, frame=frame.number, time=frame.time, ids=ids[order], labels=labels[order]
        )


def _select_confirmed(identities: Sequence[Identity], rows: FrameRows) -> tuple[list[int], list[int], FrameRows]:
    """Return (ids, labels, rows) of the tracks that have an id."""
    ids = [number for identity in identities if (number := identity.id) is not None]
    if len(ids) == len(identities):
        return ids, [identity.label for identity in identities], rows
    indices = [n for n, identity in enumerate(identities) if identity.id is not None]
    return ids, [identities[n].label for n in indices], rows[indices]


def _merge(ids: Rows, rows: FrameRows, visible: Floats) -> tuple[Rows, Rows, Array, FrameRows]:
    """Merge the rows of each id into one row.

    Args:
        ids: [R] track ids.
        rows: R rows.
        visible: [R] visibility of the rows.

    Returns:
        (ids, best, visible, rows): the sorted unique ids [n], the index of the row with the best visibility of each id,
        its mean visibility, and its merged row.
    """
    unique_ids, of_row = np.unique(ids, return_inverse=True)
    weights: Array = np.maximum(visible, MIN_WEIGHT).astype(np.float64)
    best = np.lexsort((-weights, of_row))[np.searchsorted(np.sort(of_row), np.arange(len(unique_ids)))]
    groups = Groups(of_row, weights, best, np.bincount(of_row, weights).astype(np.float64))
    values = {name: getattr(rows, name) for name, _ in declarations(FrameRows) if name != "visible"}
    merged = {name: groups.merge(name, value) for name, value in values.items() if value is not None}
    return unique_ids, best, np.bincount(of_row, visible) / np.bincount(of_row), FrameRows(**merged)
