"""Assembly of tracks from rows in any order, one row per object and frame; the last step of every reader."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from res3d.structures.track import Track


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One object in one frame."""

    id: int
    frame: int
    label: int
    values: Mapping[str, object]
    """Entries of other fields of ``Track`` by name: boxes [4] xyxy, scores a number, ...; None for an absent field."""


def tracks_from_rows(rows: Iterable[Row], source: str | Path) -> tuple[Track, ...]:
    """Return the tracks of all ids.

    Raises:
        ValueError: an id appears twice in a frame, has two labels, or has different numbers of keypoints in different
            frames; the message begins with ``source``.
    """
    by_id: dict[int, list[Row]] = {}
    for row in rows:
        by_id.setdefault(row.id, []).append(row)
    try:
        return tuple(_track(identity, sorted(group, key=lambda row: row.frame)) for identity, group in by_id.items())
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from None


def _track(identity: int, rows: list[Row]) -> Track:
    for one, other in pairwise(rows):
        if one.frame == other.frame:
            raise ValueError(f"id {identity} appears twice in frame {one.frame} (counted from 0)")
        if one.label != other.label:
            raise ValueError(f"id {identity} has the labels {one.label} and {other.label}")
    frames = np.array([row.frame for row in rows], np.int64)
    try:
        return Track.from_rows([row.values for row in rows], id=identity, label=rows[0].label, frames=frames)
    except ValueError as error:
        prefix = "" if str(error).startswith("track ") else f"track {identity}: "
        raise ValueError(f"{prefix}{error}") from None
