"""What is known of each frame so far, and when it is final: the memory of a linker that streams."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from res3d.ops.rle import Rle
from res3d.structures import FrameTracks

Rows = NDArray[np.int64]


class Identity:
    """An object that may turn out to be none, or another one: it has no id until that is settled.

    Its class is the one for which the scores of its detections add up to most.
    """

    __slots__ = ("_id", "_other", "_votes")

    def __init__(self) -> None:
        self._id: int | None = None
        self._other: Identity | None = None
        self._votes: dict[int, float] = {}

    @property
    def id(self) -> int | None:
        """From 1; None as long as, or because, it is none."""
        return self._id if self._other is None else self._other.id

    @property
    def label(self) -> int:
        """Its class, as far as it was seen."""
        if self._other is not None:
            return self._other.label
        return max(self._votes, key=self._votes.__getitem__)

    @property
    def first_label(self) -> int:
        """The class that it was first taken for."""
        return next(iter(self._votes))

    def vote(self, votes: Iterable[tuple[int, float]]) -> None:
        """Detections of these (class, score) were of it."""
        if self._other is not None:
            self._other.vote(votes)
            return
        for label, score in votes:
            self._votes[label] = self._votes.get(label, 0.0) + score

    def name(self, number: int) -> None:
        """It is an object of its own."""
        self._id = number

    def become(self, other: "Identity") -> None:
        """It is the other one."""
        other.vote(self._votes.items())
        self._other = other


@dataclass(kw_only=True, slots=True)
class Sighting:
    """Rows of one frame: n objects, each with the identity it belongs to, which has the class."""

    identities: list[Identity]
    boxes: NDArray[np.float32]  # [n, 4] xyxy
    scores: NDArray[np.float32]  # [n]
    visible: NDArray[np.float32] | None = None  # [n] probability; None where all are seen
    keypoints: NDArray[np.float32] | None = None  # [n, K, 3]
    keypoints_scores: NDArray[np.float32] | None = None  # [n, K]
    masks: tuple[Rle | None, ...] | None = None


@dataclass(slots=True)
class _Frame:
    number: int
    sightings: list[Sighting] = field(default_factory=list)


class Timeline:
    """Frames in order, held back until nothing can change them any more.

    A frame can be seen several times (overlapping clips): an object's boxes there are merged by their mean weighted by
    visibility, and it is left out where its visibility is below ``visible_score`` on average.
    """

    def __init__(self, visible_score: float) -> None:
        self._visible_score = visible_score
        self._frames: deque[_Frame] = deque()
        self._next = 0  # the frame after the last one that was opened

    def open(self, number: int) -> None:
        """Make all frames up to ``number``."""
        while self._next <= number:
            self._frames.append(_Frame(self._next))
            self._next += 1

    def add(self, number: int, sighting: Sighting) -> None:
        """Rows for a frame that is open and not yet released."""
        self._frames[number - self._frames[0].number].sightings.append(sighting)

    def release(self, before: int) -> list[FrameTracks]:
        """Give out, and forget, the frames below ``before``."""
        done = []
        while self._frames and self._frames[0].number < before:
            done.append(self._finish(self._frames.popleft()))
        return done

    def _finish(self, frame: _Frame) -> FrameTracks:
        sightings = [s for s in map(_confirmed, frame.sightings) if s is not None]
        if not sightings:
            return FrameTracks(
                frame=frame.number,
                ids=np.zeros(0, np.int64),
                labels=np.zeros(0, np.int64),
                boxes=np.zeros((0, 4), np.float32),
                scores=np.zeros(0, np.float32),
            )
        rows = sightings[0] if len(sightings) == 1 else _join(sightings)
        ids, labels = np.array([(identity.id, identity.label) for identity in rows.identities], np.int64).T
        if rows.visible is not None:
            return _merge(frame.number, ids, labels, rows, self._visible_score)
        return _pick(frame.number, ids, labels, rows, np.argsort(ids))


def _confirmed(rows: Sighting) -> Sighting | None:
    """The rows whose identity turned out to be one."""
    keep = [n for n, identity in enumerate(rows.identities) if identity.id is not None]
    if len(keep) == len(rows.identities):
        return rows if keep else None
    if not keep:
        return None
    return Sighting(
        identities=[rows.identities[n] for n in keep],
        boxes=rows.boxes[keep],
        scores=rows.scores[keep],
        visible=None if rows.visible is None else rows.visible[keep],
        keypoints=None if rows.keypoints is None else rows.keypoints[keep],
        keypoints_scores=None if rows.keypoints_scores is None else rows.keypoints_scores[keep],
        masks=None if rows.masks is None else tuple(rows.masks[n] for n in keep),
    )


def _join(parts: list[Sighting]) -> Sighting:
    """All rows in one; what some lack is filled: seen, without keypoint scores, without a mask."""
    sizes = [len(part.identities) for part in parts]

    def joined(name: str, filler: float) -> NDArray[np.float32] | None:
        arrays = [getattr(part, name) for part in parts]
        tails = {array.shape[1:] for array in arrays if array is not None}
        if not tails:
            return None
        tail = tails.pop()
        filled = [
            np.full((n, *tail), filler, np.float32) if a is None else a for n, a in zip(sizes, arrays, strict=True)
        ]
        return np.concatenate(filled)

    has_masks = any(part.masks is not None for part in parts)
    masks = tuple(mask for part, n in zip(parts, sizes, strict=True) for mask in part.masks or (None,) * n)
    return Sighting(
        identities=[identity for part in parts for identity in part.identities],
        boxes=np.concatenate([part.boxes for part in parts]),
        scores=np.concatenate([part.scores for part in parts]),
        visible=joined("visible", 1),
        keypoints=joined("keypoints", 0),
        keypoints_scores=joined("keypoints_scores", 0),
        masks=masks if has_masks else None,
    )


def _pick(number: int, ids: Rows, labels: Rows, rows: Sighting, order: Rows) -> FrameTracks:
    return FrameTracks(
        frame=number,
        ids=ids[order],
        labels=labels[order],
        boxes=rows.boxes[order],
        scores=rows.scores[order],
        keypoints=None if rows.keypoints is None else rows.keypoints[order],
        keypoints_scores=None if rows.keypoints_scores is None else rows.keypoints_scores[order],
        masks=None if rows.masks is None else tuple(rows.masks[n] for n in order),
    )


def _merge(number: int, ids: Rows, labels: Rows, rows: Sighting, visible_score: float) -> FrameTracks:
    """Boxes, scores and keypoints of an id: means weighted by visibility; its mask: that of its most visible row."""
    assert rows.visible is not None
    unique, group = np.unique(ids, return_inverse=True)
    weight = np.maximum(rows.visible, 1e-6).astype(np.float64)

    def mean(values: NDArray[np.float32], counted: NDArray[np.bool_] | None = None) -> NDArray[np.float32]:
        shares = weight.reshape(-1, *(1,) * (values.ndim - 1)) * (np.ones(values.shape) if counted is None else counted)
        summed, total = np.zeros((2, len(unique), *values.shape[1:]))
        np.add.at(summed, group, shares * values)
        np.add.at(total, group, shares)
        averaged: NDArray[np.float32] = (summed / np.where(total > 0, total, 1)).astype(np.float32)
        return averaged

    best = np.lexsort((-weight, group))[np.searchsorted(np.sort(group), np.arange(len(unique)))]
    keypoints = None
    if rows.keypoints is not None:
        keypoints = mean(rows.keypoints, counted=rows.keypoints[..., 2:] > 0)
        keypoints[..., 2] = rows.keypoints[best, :, 2]
    visible = np.bincount(group, rows.visible) / np.bincount(group)
    merged = Sighting(
        identities=[],
        boxes=mean(rows.boxes),
        scores=mean(rows.scores),
        keypoints=keypoints,
        keypoints_scores=None if rows.keypoints_scores is None else mean(rows.keypoints_scores),
        masks=None if rows.masks is None else tuple(rows.masks[n] for n in best),
    )
    return _pick(number, unique, labels[best], merged, np.flatnonzero(visible >= visible_score))
