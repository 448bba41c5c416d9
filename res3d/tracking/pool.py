"""The live tracks: what is known of each, and which of them get an id."""

import numpy as np

from res3d.tracking.assignment import assign_hungarian
from res3d.tracking.candidates import Candidates
from res3d.tracking.distance import box_size, distance_cost
from res3d.tracking.field_rules import RULES, fields_by_frame
from res3d.tracking.identity import Identity
from res3d.tracking.objects import Array, Mask, Objects, Rows
from res3d.tracking.settings import LinkSettings
from res3d.tracking.track_arrays import TrackArrays

MEMORY = 0.9  # share of the old appearance and size that an update keeps
REACH_PER_FRAME = 1.0  # sizes that a lost object may move per frame when it must be one of ``max_tracks``


class TrackPool(TrackArrays):
    """N live tracks in the order in which they began.

    A track is tentative until it has been seen in ``min_length`` frames; then it is confirmed and gets an id, from 1.

    A track that begins near a lost one may be the same object, which jumped, or turned while it was hidden: the lost
    one is its parent. If the parent does not return within ``max_lost`` frames, the track inherits its id.

    With ``max_tracks``, there are never more ids, and tracks that have one are not dropped.
    """

    arrays = (
        *("labels", "first", "last", "covered", "hits", "confirmed", "given_up", "parents", "identities"),
        *("boxes", "sizes"),
    )

    def __init__(self, settings: LinkSettings) -> None:
        self._settings = settings
        self._needed = settings.needed_fields
        self._last_id = 0
        self.identities = np.zeros(0, object)
        self.labels = np.zeros(0, np.int64)
        self.first = np.zeros(0, np.int64)  # frame in which it began
        self.last = np.zeros(0, np.int64)  # frame in which it was last seen
        self.covered = np.zeros(0, np.int64)  # last frame of its last clip, seen or not
        self.hits = np.zeros(0, np.int64)  # number of frames in which it was seen
        self.confirmed = np.zeros(0, bool)
        self.given_up = np.zeros(0, bool)  # another track has its id
        self.parents = np.zeros(0, object)  # identity that it may turn out to be, or None
        self.boxes = np.zeros((0, 4))  # where it was last seen
        self.sizes = np.zeros(0)  # pixels, a running mean: boxes get small while an object leaves or is hidden
        self.fields: dict[str, Array] = {}  # as last seen, or a running mean

    @property
    def is_full(self) -> bool:
        """True when as many ids as ``max_tracks`` have been given."""
        return self._settings.max_tracks is not None and self._last_id >= self._settings.max_tracks

    def begin(self, candidates: Candidates, columns: Rows, hidden: Mask) -> None:
        """Start a tentative track with each of the detections at ``columns``.

        Args:
            hidden: [N] tracks that something is in front of: they may still be there, so they are nobody's parents.
        """
        made = [Identity(candidates.votes[column]) for column in columns.tolist()]
        labels = np.array([identity.label for identity in made], np.int64)
        start, boxes = np.full(len(made), candidates.frames[0]), candidates.last_boxes[columns]
        rows = self._possible_parents(candidates.frames[0], labels, candidates.first_boxes[columns], hidden)
        least = np.where(rows < 0, 0, self.sizes[rows] if len(self) else 0)  # it may be its parent, and as large
        self.append(
            len(made),
            candidates.last_fields(columns),
            labels=labels,
            first=start,
            last=candidates.last[columns],
            covered=np.full(len(made), candidates.frames[-1]),
            hits=candidates.seen[columns].sum(axis=1),
            parents=np.array([None if row < 0 else self.identities[row] for row in rows.tolist()], object),
            identities=np.array(made, object),
            boxes=boxes,
            sizes=np.maximum(box_size(boxes), least),
        )

    def update(self, rows: Rows, candidates: Candidates, columns: Rows) -> None:
        """Continue the tracks at ``rows`` [n] with the detections at ``columns`` [n]."""
        identities = self.identities[rows].tolist()
        for identity, column in zip(identities, columns.tolist(), strict=True):
            identity.vote(candidates.votes[column])
        self.labels[rows] = [identity.label for identity in identities]
        before, last, boxes = self.last[rows], candidates.last[columns], candidates.last_boxes.take(columns, axis=0)
        self.hits[rows] += candidates.count_seen(columns, after=before)
        if (earlier := last < before).any():  # an earlier clip saw more of the object
            boxes[earlier], last[earlier] = self.boxes[rows[earlier]], before[earlier]
        self.boxes[rows], self.last[rows] = boxes, last
        self.sizes[rows] = MEMORY * self.sizes[rows] + (1 - MEMORY) * box_size(boxes)
        self.covered[rows] = candidates.frames[-1]
        for name, values in candidates.last_fields(columns).items():
            if name not in self.fields:
                continue
            held = self.fields[name]
            held[rows] = values if name in fields_by_frame() else MEMORY * held[rows] + (1 - MEMORY) * values

    def objects_at(self, rows: Rows, boxes: Array, shift: Array | None = None) -> Objects:
        """Return the tracks at ``rows`` [n] as they were last seen, but moved to ``boxes`` [n, T, 4].

        Args:
            shift: [n, T, 4] difference to where they were last seen, where rounding makes it differ from that of boxes.
        """
        fields = {name: self.fields[name][rows] for name in self._needed if name in self.fields}
        for name in fields.keys() & fields_by_frame():
            fields[name] = np.repeat(fields[name][:, None], boxes.shape[1], axis=1)
            if name in RULES and (move := RULES[name].shift) is not None:
                moved = boxes - self.boxes[rows, None] if shift is None else shift
                move(fields[name], (moved[..., :2] + moved[..., 2:]) / 2)
        return Objects(boxes=boxes, visible=np.ones(boxes.shape[:2]), fields=fields)

    def decide(self, now: int | None) -> None:
        """Settle what can be settled in frame ``now``, or at the end of the video (None): parents, then new ids."""
        self._decide_parents(now)
        (ready,) = (~self.confirmed & (self.hits >= self._settings.min_length)).nonzero()
        if not len(ready):
            return
        orphan = np.array([parent is None for parent in self.parents[ready]])
        self.confirmed[ready[~orphan]] = True  # they get an id when it is known whether they are their parents
        for row in ready[orphan][np.argsort(-self.hits[ready[orphan]], kind="stable")].tolist():
            if not self.is_full:
                self._last_id += 1
                self.identities[row].confirm(self._last_id)
                self.confirmed[row] = True
        ready = ready[~self.confirmed[ready]]
        if now is not None and self.is_full and len(ready):
            self._take_over(ready, now)

    def expired(self, now: int) -> Mask:
        """Return the tracks [N] to drop in frame ``now``.

        A tentative one may go unseen for as many frames as it must be seen in, and for no longer than others.
        """
        settings = self._settings
        unseen = now - self.last
        tentative = ~self.confirmed & (unseen > min(settings.min_length, settings.max_lost))
        if self.is_full:  # a tentative one can only be an object that was lost before it began
            oldest = self.last[self.confirmed & ~self.given_up].min(initial=now + 1)
            tentative |= ~self.confirmed & (self.first <= oldest)
        if settings.max_tracks is not None:
            return tentative | self.given_up
        return tentative | self.given_up | (unseen > settings.max_lost)

    def undecided_from(self, now: int) -> int:
        """Return the first frame that may still change: a track may get an id or be dropped, or a gap be filled."""
        lost = self.confirmed & (self.last < now) & (now - self.last <= self._settings.fill_gaps)
        waiting = ~self.confirmed | (self.parents != None)  # noqa: E711 (element by element)
        return int(np.concatenate([self.first[waiting], self.last[lost] + 1]).min(initial=now + 1))

    def _possible_parents(self, frame: int, labels: Rows, boxes: Array, hidden: Mask) -> Rows:
        """[n] the nearest lost track within reach of each new one, or -1; each lost track has one child at most."""
        parents = np.full(len(labels), -1)
        # A tentative track that is not seen now has no claim: an object that jumps twice begins twice.
        firm = self.confirmed | (self.last == frame)
        claimed = {id(parent) for parent in self.parents[firm] if parent is not None}
        free = np.array([id(identity) not in claimed for identity in self.identities], bool)
        lost = np.flatnonzero(self.confirmed & (self.last < frame) & free & ~hidden)
        if len(lost) and self._settings.lost_reach > 0:
            cost = distance_cost(self.boxes[lost], boxes, self._settings.lost_reach, self.sizes[lost])
            other = np.inf if self._settings.class_overlap is None else cost + 1  # its class may yet turn out the same
            rows, columns = assign_hungarian(np.where(self.labels[lost, None] == labels, cost, other))
            parents[columns] = lost[rows]
        return parents

    def _decide_parents(self, now: int | None) -> None:
        """Drop the parent if it was detected again; if it has expired, its child inherits its id."""
        for child in (self.parents != None).nonzero()[0].tolist():  # noqa: E711 (element by element)
            rows = [row for row, identity in enumerate(self.identities) if identity is self.parents[child]]
            parent = rows[0] if rows else -1
            came_back = not rows or self.last[parent] >= self.first[child] or self.given_up[parent]
            if came_back:
                self.parents[child] = None
                self.confirmed[child] = False  # to be confirmed anew, with an id of its own
            elif now is None or now - self.last[parent] > self._settings.max_lost:
                self.parents[child] = None
                if self.labels[parent] not in (self.labels[child], self.identities[child].first_label):
                    self.confirmed[child] = False
                elif self.hits[child] >= self._settings.min_length:
                    self.identities[child].merge_into(self.identities[parent])
                    self.confirmed[child] = True
                    self.given_up[parent] = True

    def _take_over(self, new: Rows, now: int) -> None:
        """Give new tracks the ids of lost ones when there are no other ids: each takes that of the nearest in reach.

        The reach grows with the time since an object was lost, until it is the whole frame.
        """
        lost = np.flatnonzero(self.confirmed & ~self.given_up & (self.last < self.first[new].max()))
        reach = REACH_PER_FRAME * np.maximum(now - self.last[lost], 1)
        cost = distance_cost(self.boxes[lost], self.boxes[new], reach, self.sizes[lost])
        follows = self.last[lost, None] < self.first[new]
        same = self.labels[lost, None] == self.labels[new]
        a, b = assign_hungarian(np.where(follows & same, cost, np.inf))
        for old, row in zip(lost[a].tolist(), new[b].tolist(), strict=True):
            self.identities[row].merge_into(self.identities[old])
        self.confirmed[new[b]] = self.given_up[lost[a]] = True
