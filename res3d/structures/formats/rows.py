"""Tracks put together from rows in any order, one an object and frame: what every format's reader ends in."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from res3d.ops.rle import Rle
from res3d.structures.track import Track


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """One object in one frame."""

    id: int
    frame: int
    label: int
    box: NDArray[np.float32]  # [4] xyxy
    score: float
    keypoints: NDArray[np.float32] | None = None  # [K, 3]
    keypoints_scores: NDArray[np.float32] | None = None  # [K]
    mask: Rle | None = None


def tracks_from_rows(rows: Iterable[Row], source: str | Path) -> tuple[Track, ...]:
    """Tracks of all ids.

    Raises:
        ValueError: an id twice in a frame, or with two labels, or with another number of keypoints from one frame to
            the next; names ``source``.
    """
    by_id: dict[int, list[Row]] = {}
    for row in rows:
        by_id.setdefault(row.id, []).append(row)
    try:
        return tuple(_track(identity, sorted(own, key=lambda row: row.frame)) for identity, own in by_id.items())
    except ValueError as error:
        raise ValueError(f"{source}: {error}") from None


def _track(identity: int, rows: list[Row]) -> Track:
    for one, other in pairwise(rows):
        if one.frame == other.frame:
            raise ValueError(f"id {identity} is twice in frame {one.frame} (counted from 0)")
        if one.label != other.label:
            raise ValueError(f"id {identity} has the labels {one.label} and {other.label}")
    masks = tuple(row.mask for row in rows)
    return Track(
        id=identity,
        label=rows[0].label,
        frames=np.array([row.frame for row in rows], np.int64),
        boxes=np.stack([row.box for row in rows]).astype(np.float32),
        scores=np.array([row.score for row in rows], np.float32),
        keypoints=_stack([row.keypoints for row in rows], identity),
        keypoints_scores=_stack([row.keypoints_scores for row in rows], identity),
        masks=masks if any(mask is not None for mask in masks) else None,
    )


def _stack(arrays: list[NDArray[np.float32] | None], identity: int) -> NDArray[np.float32] | None:
    """[F, ...]; zeros where a row has none, None if none has any."""
    shapes = {array.shape for array in arrays if array is not None}
    if not shapes:
        return None
    if len(shapes) > 1:
        raise ValueError(f"id {identity} has keypoints of the shapes {sorted(shapes)}")
    nothing = np.zeros(shapes.pop(), np.float32)
    return np.stack([nothing if array is None else array for array in arrays]).astype(np.float32)
