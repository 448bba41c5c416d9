"""Frames in order, held back until they are final."""

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

LEAST_WEIGHT = 1e-6  # of a row in a merge: one that is not visible at all counts where no other does


@object_rows
class FrameRows(ObjectFields[Rle | None]):
    """Objects of one frame, made of detections that are checked already; their classes are those of their tracks."""

    axes = {"T": None}  # noqa: RUF012 (a ClassVar of the base)
    is_checked = False

    visible: Floats | None = rows("N", default=None, fill=1)
    """[N] probability that the object is seen; None: 1 for all."""


@dataclass(slots=True)
class _Frame:
    number: int
    time: float | None = None
    parts: list[tuple[Sequence[Identity], FrameRows]] = field(default_factory=list)


class Timeline:
    """Rows of frames that may still change: a track may be confirmed, dropped or merged, or a gap in it be filled.

    Overlapping clips see a frame several times: an object's rows there are merged (``field_rules``), and it is left out
    where its mean visibility is below ``visible_score``.
    """

    def __init__(self, visible_score: float) -> None:
        self._visible_score = visible_score
        self._frames: deque[_Frame] = deque()
        self._next = 0  # the frame after the last one that was opened

    def open(self, frames: Sequence[int], times: Sequence[float] | None = None) -> None:
        """Add all frames up to the last of ``frames``, of which ``times`` are the seconds."""
        while self._next <= frames[-1]:
            self._frames.append(_Frame(self._next))
            self._next += 1
        for frame, time in zip(frames, times or (), strict=False):
            self._at(frame).time = time

    def add(self, frame: int, identities: Sequence[Identity], rows: FrameRows) -> None:
        """Add rows, one per identity, to a frame that is open and not yet released."""
        self._at(frame).parts.append((identities, rows))

    def release(self, before: int | None = None) -> list[FrameTracks]:
        """Return, and forget, the frames below ``before``, by default all."""
        done = []
        while self._frames and (before is None or self._frames[0].number < before):
            done.append(self._finish(self._frames.popleft()))
        return done

    def _at(self, frame: int) -> _Frame:
        return self._frames[frame - self._frames[0].number]

    def _finish(self, frame: _Frame) -> FrameTracks:
        parts = [part for part in starmap(_confirmed, frame.parts) if part[0]]
        if not parts:
            return FrameTracks.empty(frame=frame.number, time=frame.time)
        numbers = [number for part in parts for number in part[0]]
        ids = np.array(numbers, np.int64)
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


def _confirmed(identities: Sequence[Identity], rows: FrameRows) -> tuple[list[int], list[int], FrameRows]:
    """(ids, labels, rows) of the tracks that were confirmed."""
    ids = [number for identity in identities if (number := identity.id) is not None]
    if len(ids) == len(identities):
        return ids, [identity.label for identity in identities], rows
    keep = [n for n, identity in enumerate(identities) if identity.id is not None]
    return ids, [identities[n].label for n in keep], rows[keep]


def _merge(ids: Rows, rows: FrameRows, visible: Floats) -> tuple[Rows, Rows, Array, FrameRows]:
    """(ids in their order, one row of each, its mean visibility, all its rows merged into one)."""
    unique, of_row = np.unique(ids, return_inverse=True)
    weights: Array = np.maximum(visible, LEAST_WEIGHT).astype(np.float64)
    best = np.lexsort((-weights, of_row))[np.searchsorted(np.sort(of_row), np.arange(len(unique)))]
    groups = Groups(of_row, weights, best, np.bincount(of_row, weights).astype(np.float64))
    values = {name: getattr(rows, name) for name, _ in declarations(FrameRows) if name != "visible"}
    merged = {name: groups.merge(name, value) for name, value in values.items() if value is not None}
    return unique, best, np.bincount(of_row, visible) / np.bincount(of_row), FrameRows(**merged)
