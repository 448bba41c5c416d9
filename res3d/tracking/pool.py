"""The tracks that are alive, as arrays: a row each, in the order they began."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from res3d.tracking.assignment import assign_hungarian
from res3d.tracking.classes import Votes
from res3d.tracking.reach import box_size, reach_cost
from res3d.tracking.settings import LinkSettings
from res3d.tracking.timeline import Identity

MEMORY = 0.9  # share of the old appearance and size that an update keeps
REACH_PER_FRAME = 1.0  # sizes that a lost object may move, where it is known that there is no other

Array = NDArray[np.floating[Any]]
Rows = NDArray[np.int64]


class TrackPool:
    """N live tracks. They are tentative until they were seen in ``min_length`` frames; then they get an id, from 1 on.

    A track that begins near where another was just lost may be the same object, which jumped, or turned while it was
    hidden. That is decided when the other has been lost for too long to come back: then it has gone on as this one.

    With ``max_tracks``, that many ids are given out and no more, and the tracks that have them are kept for good.
    """

    def __init__(self, settings: LinkSettings) -> None:
        self._settings = settings
        self._given = 0
        self.identities: list[Identity] = []
        self.labels = np.zeros(0, np.int64)
        self.first = np.zeros(0, np.int64)  # frame
        self.last = np.zeros(0, np.int64)  # frame
        self.hits = np.zeros(0, np.int64)  # frames it was seen in
        self.confirmed = np.zeros(0, bool)
        self.given_up = np.zeros(0, bool)  # another track has its id
        self.parents = np.zeros(0, object)  # the identity it may turn out to have, or None
        self.boxes = np.zeros((0, 4))  # where it was last seen
        self.sizes = np.zeros(0)  # pixels, a running mean: what leaves or gets hidden has small boxes in the end
        self.embeddings: Array | None = None  # [N, E], a running mean
        self.keypoints: Array | None = None  # [N, K, 3], when it was last seen

    def __len__(self) -> int:
        return len(self.identities)

    @property
    def is_full(self) -> bool:
        """Whether every id that there may be is given out."""
        return self._settings.max_tracks is not None and self._given >= self._settings.max_tracks

    def begin(
        self,
        frame: int,
        boxes: Array,
        *,
        votes: Sequence[Votes],
        first_boxes: Array | None = None,
        last: Rows | int | None = None,
        seen: Rows | int = 1,
        hidden: NDArray[np.bool_] | None = None,
        embeddings: Array | None = None,
        keypoints: Array | None = None,
    ) -> list[Identity]:
        """Start n tentative tracks.

        Args:
            frame: where they begin, at ``first_boxes`` [n, 4] (by default ``boxes``).
            votes: for what each was taken.
            last: where they were last seen, at ``boxes`` [n, 4]; by default ``frame``.
            seen: in how many frames.
            hidden: [N] tracks that something is in front of: they are waited for, and did not go elsewhere.
        """
        made = [Identity() for _ in votes]
        for identity, own in zip(made, votes, strict=True):
            identity.vote(own)
        labels = np.array([identity.label for identity in made], np.int64)
        count, zeros = len(self), np.zeros(len(made), np.int64)
        rows = self._possible_parents(frame, labels, boxes if first_boxes is None else first_boxes, hidden)
        parents = np.array([None if row < 0 else self.identities[row] for row in rows.tolist()], object)
        least = np.where(rows < 0, 0, self.sizes[rows] if count else 0)  # it may be that one, and as large
        self.sizes = np.concatenate([self.sizes, np.maximum(box_size(boxes), least)])
        self.identities = self.identities + made
        self.labels = np.concatenate([self.labels, labels])
        self.first = np.concatenate([self.first, zeros + frame])
        self.last = np.concatenate([self.last, zeros + (frame if last is None else last)])
        self.hits = np.concatenate([self.hits, zeros + seen])
        self.confirmed = np.concatenate([self.confirmed, zeros > 0])
        self.given_up = np.concatenate([self.given_up, zeros > 0])
        self.parents = np.concatenate([self.parents, parents])
        self.boxes = np.concatenate([self.boxes, boxes])
        self.embeddings = _append(self.embeddings, count, embeddings, len(made))
        self.keypoints = _append(self.keypoints, count, keypoints, len(made))
        return made

    def go_on(
        self,
        rows: Rows,
        frame: Rows | int,
        boxes: Array,
        *,
        votes: Sequence[Votes],
        seen: Rows | int = 1,
        embeddings: Array | None = None,
        keypoints: Array | None = None,
    ) -> None:
        """Tracks at ``rows`` [n] were seen in ``seen`` frames more, last at ``boxes`` [n, 4] in ``frame``.

        ``votes`` say for what they were taken.
        """
        for row, own in zip(rows.tolist(), votes, strict=True):
            self.identities[row].vote(own)
            self.labels[row] = self.identities[row].label
        self.last[rows] = frame
        self.hits[rows] += seen
        self.boxes[rows] = boxes
        self.sizes[rows] = MEMORY * self.sizes[rows] + (1 - MEMORY) * box_size(boxes)
        if self.embeddings is not None and embeddings is not None:
            self.embeddings[rows] = MEMORY * self.embeddings[rows] + (1 - MEMORY) * embeddings
        if self.keypoints is not None and keypoints is not None:
            self.keypoints[rows] = keypoints

    def decide(self, now: int | None) -> None:
        """Settle what can be settled in frame ``now``, or at the end of the video: who is who, and who gets an id."""
        self._decide_parents(now)
        ready = np.flatnonzero(~self.confirmed & (self.hits >= self._settings.min_length))
        if not len(ready):
            return
        orphan = np.array([parent is None for parent in self.parents[ready]])
        self.confirmed[ready[~orphan]] = True  # the id comes when it is known whose
        for row in ready[orphan][np.argsort(-self.hits[ready[orphan]], kind="stable")].tolist():
            if not self.is_full:
                self._given += 1
                self.identities[row].name(self._given)
                self.confirmed[row] = True
        ready = ready[~self.confirmed[ready]]
        if now is not None and self.is_full and len(ready):
            self._take_over(ready, now)

    def expired(self, now: int) -> NDArray[np.bool_]:
        """[N]: tracks to give up. Tentative ones get as many frames as they need sightings, and no more than others."""
        settings = self._settings
        unseen = now - self.last
        tentative = ~self.confirmed & (unseen > min(settings.min_length, settings.max_lost))
        if self.is_full:  # and there must be somebody they can be
            oldest = self.last[self.confirmed & ~self.given_up].min(initial=now + 1)
            tentative |= ~self.confirmed & (self.first <= oldest)
        if settings.max_tracks is not None:
            return tentative | self.given_up
        return tentative | self.given_up | (unseen > settings.max_lost)

    def keep(self, rows: NDArray[np.bool_]) -> None:
        """Drop all tracks but those at ``rows`` [N]."""
        self.identities = [identity for identity, kept in zip(self.identities, rows.tolist(), strict=True) if kept]
        for name in ("labels", "first", "last", "hits", "confirmed", "given_up", "parents", "boxes", "sizes"):
            setattr(self, name, getattr(self, name)[rows])
        self.embeddings = None if self.embeddings is None else self.embeddings[rows]
        self.keypoints = None if self.keypoints is None else self.keypoints[rows]

    def undecided_from(self, now: int) -> int:
        """The first frame that may still change: a track may get an id or be dropped, or a gap in it be filled."""
        lost = self.confirmed & (self.last < now) & (now - self.last <= self._settings.fill_gaps)
        waiting = ~self.confirmed | (self.parents != None)  # noqa: E711 (element by element)
        return int(np.concatenate([self.first[waiting], self.last[lost] + 1]).min(initial=now + 1))

    def _possible_parents(self, frame: int, labels: Rows, boxes: Array, hidden: NDArray[np.bool_] | None) -> Rows:
        """[n] rows of lost tracks, or -1: each is the nearest within reach, and of one new track only."""
        parents = np.full(len(labels), -1)
        # A tentative track that is not seen now has no claim: what jumps twice begins twice.
        firm = self.confirmed | (self.last == frame)
        claimed = {id(parent) for parent in self.parents[firm] if parent is not None}
        free = np.array([id(identity) not in claimed for identity in self.identities], bool)
        in_sight = True if hidden is None else ~hidden
        lost = np.flatnonzero(self.confirmed & (self.last < frame) & free & in_sight)
        if len(lost) and self._settings.lost_reach > 0:
            cost = reach_cost(self.boxes[lost], boxes, self._settings.lost_reach, self.sizes[lost])
            other = np.inf if self._settings.class_overlap is None else cost + 1  # its class may yet turn out the same
            rows, columns = assign_hungarian(np.where(self.labels[lost, None] == labels, cost, other))
            parents[columns] = lost[rows]
        return parents

    def _decide_parents(self, now: int | None) -> None:
        """A parent that was seen again is none; one that cannot be seen again any more gives its id."""
        for child in np.flatnonzero(self.parents != None).tolist():  # noqa: E711 (element by element)
            rows = [row for row, identity in enumerate(self.identities) if identity is self.parents[child]]
            parent = rows[0] if rows else -1
            came_back = not rows or self.last[parent] >= self.first[child] or self.given_up[parent]
            if came_back:
                self.parents[child] = None
                self.confirmed[child] = False  # to be confirmed anew, under an id of its own
            elif now is None or now - self.last[parent] > self._settings.max_lost:
                self.parents[child] = None
                if self.labels[parent] not in (self.labels[child], self.identities[child].first_label):
                    self.confirmed[child] = False
                elif self.hits[child] >= self._settings.min_length:
                    self.identities[child].become(self.identities[parent])
                    self.confirmed[child] = True
                    self.given_up[parent] = True

    def _take_over(self, new: Rows, now: int) -> None:
        """Where no id is left, a new object must be one of those that are lost: the nearest within reach takes its id.

        The longer an object is lost, the farther it may be; in the end it is anywhere.
        """
        lost = np.flatnonzero(self.confirmed & ~self.given_up & (self.last < self.first[new].max()))
        reach = REACH_PER_FRAME * np.maximum(now - self.last[lost], 1)
        cost = reach_cost(self.boxes[lost], self.boxes[new], reach, self.sizes[lost])
        follows = self.last[lost, None] < self.first[new]
        same = self.labels[lost, None] == self.labels[new]
        a, b = assign_hungarian(np.where(follows & same, cost, np.inf))
        for old, row in zip(lost[a].tolist(), new[b].tolist(), strict=True):
            self.identities[row].become(self.identities[old])
        self.confirmed[new[b]] = self.given_up[lost[a]] = True


def _append(held: Array | None, count: int, new: Array | None, more: int) -> Array | None:
    """[count, ...] and [more, ...] in one; zeros for a side that has nothing, None where neither has."""
    if held is None and new is None:
        return None
    tail = (held if held is not None else new).shape[1:]  # type: ignore[union-attr]
    return np.concatenate(
        [np.zeros((count, *tail)) if held is None else held, np.zeros((more, *tail)) if new is None else new]
    )
