"""Live tracks: their state, and the assignment of ids."""

import numpy as np

from res3d.tracking.assignment import assign_hungarian
from res3d.tracking.candidates import Candidates
from res3d.tracking.distance import box_size, distance_cost
from res3d.tracking.field_rules import RULES, fields_by_frame
from res3d.tracking.identity import Identity
from res3d.tracking.objects import Array, Mask, Objects, Rows
from res3d.tracking.settings import LinkSettings
from res3d.tracking.track_arrays import TrackArrays

MOMENTUM = 0.9  # weight of the previous value in the running means of appearance and size
REACH_PER_FRAME = 1.0  # object sizes per frame that a lost object may move, if all ``max_tracks`` ids are assigned


class TrackPool(TrackArrays):
    """N live tracks in the order in which they started.

    A track is tentative until it has been detected in ``min_length`` frames; then it is confirmed. Ids count from 1.

    A track that starts near a lost track may be the same object, which jumped, or turned while it was occluded. The
    lost track is its parent. If the parent is not detected again within ``max_lost`` frames, the new track inherits its
    id; otherwise it gets a new one.

    With ``max_tracks``, there are never more ids than that, and tracks with an id are not dropped.

    Args:
        settings: settings of linking.

    Attributes:
        identities: [N] the ``Identity`` of each track.
        labels: [N] classes.
        first_frames: [N] frame in which the track started.
        last_frames: [N] latest frame in which the object is visible.
        clip_ends: [N] last frame of the latest clip of the track, whether the object is visible there or not.
        hits: [N] number of frames in which the object is visible.
        confirmed: [N] True for confirmed tracks.
        superseded: [N] True for tracks whose id another track has inherited.
        parents: [N] identity of the lost track that may be the same object, or None.
        boxes: [N, 4] xyxy pixels in ``last_frames``.
        sizes: [N] pixels, a running mean. The last box alone is too small while an object leaves the picture or is
            being occluded.
        fields: [N, ...] other fields by name: the latest value, or a running mean (``field_rules``).
    """

    arrays = (
        *("labels", "first_frames", "last_frames", "clip_ends", "hits", "confirmed", "superseded", "parents"),
        *("identities", "boxes", "sizes"),
    )

    def __init__(self, settings: LinkSettings) -> None:
        self._settings = settings
        self._cost_fields = settings.needed_fields
        self._last_id = 0
        self.identities = np.zeros(0, object)
        self.labels = np.zeros(0, np.int64)
        self.first_frames = np.zeros(0, np.int64)
        self.last_frames = np.zeros(0, np.int64)
        self.clip_ends = np.zeros(0, np.int64)
        self.hits = np.zeros(0, np.int64)
        self.confirmed = np.zeros(0, bool)
        self.superseded = np.zeros(0, bool)
        self.parents = np.zeros(0, object)
        self.boxes = np.zeros((0, 4))
        self.sizes = np.zeros(0)
        self.fields: dict[str, Array] = {}

    @property
    def is_full(self) -> bool:
        """True if all ``max_tracks`` ids are assigned."""
        return self._settings.max_tracks is not None and self._last_id >= self._settings.max_tracks

    def begin(self, candidates: Candidates, columns: Rows, occluded: Mask) -> None:
        """Start a tentative track with each of the detections at ``columns``.

        Args:
            candidates: M detections.
            columns: [n] indices of the detections that start a track.
            occluded: [N] True for tracks that may be occluded. Such a track may continue, so it cannot be a parent.
        """
        identities = [Identity(candidates.votes[column]) for column in columns.tolist()]
        count = len(identities)
        labels = np.array([identity.label for identity in identities], np.int64)
        boxes = candidates.last_boxes[columns]
        rows = self._possible_parents(candidates.frames[0], labels, candidates.first_boxes[columns], occluded)
        # A track that may be the same object as its parent is at least as large.
        min_sizes = np.where(rows < 0, 0, self.sizes[rows] if len(self) else 0)
        self.append(
            count,
            candidates.last_fields(columns),
            labels=labels,
            first_frames=np.full(count, candidates.frames[0]),
            last_frames=candidates.last_frames[columns],
            clip_ends=np.full(count, candidates.frames[-1]),
            hits=candidates.is_visible[columns].sum(axis=1),
            parents=np.array([None if row < 0 else self.identities[row] for row in rows.tolist()], object),
            identities=np.array(identities, object),
            boxes=boxes,
            sizes=np.maximum(box_size(boxes), min_sizes),
        )

    def update(self, rows: Rows, candidates: Candidates, columns: Rows) -> None:
        """Continue the tracks at ``rows`` [n] with the detections at ``columns`` [n]."""
        identities = self.identities[rows].tolist()
        for identity, column in zip(identities, columns.tolist(), strict=True):
            identity.vote(candidates.votes[column])
        self.labels[rows] = [identity.label for identity in identities]
        previous_last, last_frames = self.last_frames[rows], candidates.last_frames[columns]
        boxes = candidates.last_boxes.take(columns, axis=0)
        self.hits[rows] += candidates.count_visible(columns, after=previous_last)
        # The previous clip may show the object in later frames than the new one: its last box is then the latest.
        if (is_earlier := last_frames < previous_last).any():
            boxes[is_earlier], last_frames[is_earlier] = self.boxes[rows[is_earlier]], previous_last[is_earlier]
        self.boxes[rows], self.last_frames[rows] = boxes, last_frames
        self.sizes[rows] = MOMENTUM * self.sizes[rows] + (1 - MOMENTUM) * box_size(boxes)
        self.clip_ends[rows] = candidates.frames[-1]
        for name, values in candidates.last_fields(columns).items():
            if name not in self.fields:
                continue
            field = self.fields[name]
            field[rows] = values if name in fields_by_frame() else MOMENTUM * field[rows] + (1 - MOMENTUM) * values

    def objects_at(self, rows: Rows, boxes: Array, shift: Array | None = None) -> Objects:
        """Return the tracks at ``rows`` [n] in new boxes, with their keypoints shifted accordingly.

        Args:
            rows: [n] rows of tracks.
            boxes: [n, T, 4] xyxy pixels.
            shift: [n, T, 4] difference from the last boxes. By default it is computed from ``boxes``, which adds a
                rounding error.
        """
        fields = {name: self.fields[name][rows] for name in self._cost_fields if name in self.fields}
        for name in fields.keys() & fields_by_frame():
            fields[name] = np.repeat(fields[name][:, None], boxes.shape[1], axis=1)
            if name in RULES and (shift_values := RULES[name].shift) is not None:
                box_shift = boxes - self.boxes[rows, None] if shift is None else shift
                shift_values(fields[name], (box_shift[..., :2] + box_shift[..., 2:]) / 2)
        return Objects(boxes=boxes, visible=np.ones(boxes.shape[:2]), fields=fields)

    def decide(self, now: int | None) -> None:
        """Resolve parents, then confirm tracks and assign ids.

        Args:
            now: number of the current frame; None at the end of the video, where all parents are resolved.
        """
        self._resolve_parents(now)
        (ready,) = (~self.confirmed & (self.hits >= self._settings.min_length)).nonzero()
        if not len(ready):
            return
        has_no_parent = np.array([parent is None for parent in self.parents[ready]])
        self.confirmed[ready[~has_no_parent]] = True  # without an id until the parent is resolved
        orphans = ready[has_no_parent]
        for row in orphans[np.argsort(-self.hits[orphans], kind="stable")].tolist():
            if not self.is_full:
                self._last_id += 1
                self.identities[row].confirm(self._last_id)
                self.confirmed[row] = True
        ready = ready[~self.confirmed[ready]]
        if now is not None and self.is_full and len(ready):
            self._inherit_ids(ready, now)

    def expired(self, now: int) -> Mask:
        """Return a mask [N] of the tracks to drop in frame ``now``.

        Confirmed tracks expire after more than ``max_lost`` frames without a detection (never with ``max_tracks``).
        Tentative tracks expire after more than ``min_length`` frames, or ``max_lost`` if that is less. Superseded
        tracks expire at once.
        """
        settings = self._settings
        lost_frames = now - self.last_frames
        is_expired = ~self.confirmed & (lost_frames > min(settings.min_length, settings.max_lost))
        if self.is_full:
            # A tentative track can only get the id of a track that was lost before the tentative one started.
            earliest = self.last_frames[self.confirmed & ~self.superseded].min(initial=now + 1)
            is_expired |= ~self.confirmed & (self.first_frames <= earliest)
        if settings.max_tracks is not None:
            return is_expired | self.superseded
        return is_expired | self.superseded | (lost_frames > settings.max_lost)

    def undecided_from(self, now: int) -> int:
        """Return the number of the first frame that may still change, at most ``now + 1``.

        A frame may change while a track in it may get an id or be dropped, and while a gap in it may be filled.
        """
        is_fillable = self.confirmed & (self.last_frames < now) & (now - self.last_frames <= self._settings.fill_gaps)
        is_undecided = ~self.confirmed | (self.parents != None)  # noqa: E711 (element by element)
        frames = np.concatenate([self.first_frames[is_undecided], self.last_frames[is_fillable] + 1])
        return int(frames.min(initial=now + 1))

    def _possible_parents(self, frame: int, labels: Rows, boxes: Array, occluded: Mask) -> Rows:
        """Return the row of the nearest lost track within reach of each new track, or -1: [n].

        Each lost track is the parent of one track at most. Lost tracks of the same class are assigned first.

        Args:
            frame: number of the frame in which the new tracks start.
            labels, boxes: [n] and [n, 4] of the new tracks.
            occluded: [N] True for tracks that may be occluded.
        """
        parents = np.full(len(labels), -1)
        # A tentative track without a detection in this frame does not reserve its parent: an object that jumps twice
        # starts two tracks, and the second one needs the same parent.
        reserves_parent = self.confirmed | (self.last_frames == frame)
        reserved = {id(parent) for parent in self.parents[reserves_parent] if parent is not None}
        is_available = np.array([id(identity) not in reserved for identity in self.identities], bool)
        lost = np.flatnonzero(self.confirmed & (self.last_frames < frame) & is_available & ~occluded)
        if len(lost) and self._settings.lost_reach > 0:
            cost = distance_cost(self.boxes[lost], boxes, self._settings.lost_reach, self.sizes[lost])
            is_same_class = self.labels[lost, None] == labels
            rows, columns = assign_hungarian(np.where(is_same_class, cost, np.inf))
            parents[columns] = lost[rows]
            if self._settings.class_overlap is not None:
                # The class of a new track may still change to that of the lost one.
                cost[rows] = cost[:, columns] = np.inf
                rows, columns = assign_hungarian(np.where(is_same_class, np.inf, cost))
                parents[columns] = lost[rows]
        return parents

    def _resolve_parents(self, now: int | None) -> None:
        """Drop the parent link if the parent was detected again; if the parent has expired, the child inherits its id.

        The child inherits the id only if its class, or the class of its first detection, is that of the parent.
        """
        for child in (self.parents != None).nonzero()[0].tolist():  # noqa: E711 (element by element)
            rows = [row for row, identity in enumerate(self.identities) if identity is self.parents[child]]
            parent = rows[0] if rows else -1
            is_unavailable = not rows or self.last_frames[parent] >= self.first_frames[child] or self.superseded[parent]
            if is_unavailable:
                self.parents[child] = None
                self.confirmed[child] = False  # ``decide`` confirms it again, with a new id
            elif now is None or now - self.last_frames[parent] > self._settings.max_lost:
                self.parents[child] = None
                if self.labels[parent] not in (self.labels[child], self.identities[child].first_label):
                    self.confirmed[child] = False
                elif self.hits[child] >= self._settings.min_length:
                    self.identities[child].merge_into(self.identities[parent])
                    self.confirmed[child] = True
                    self.superseded[parent] = True

    def _inherit_ids(self, new: Rows, now: int) -> None:
        """Let each new track inherit the id of the nearest lost track of its class, because all ids are assigned.

        The reach grows with the number of frames since the object was lost; in the end it covers the whole picture.

        Args:
            new: rows of the new tracks.
            now: number of the current frame.
        """
        lost = np.flatnonzero(self.confirmed & ~self.superseded & (self.last_frames < self.first_frames[new].max()))
        reach = REACH_PER_FRAME * np.maximum(now - self.last_frames[lost], 1)
        cost = distance_cost(self.boxes[lost], self.boxes[new], reach, self.sizes[lost])
        is_later = self.last_frames[lost, None] < self.first_frames[new]
        is_same_class = self.labels[lost, None] == self.labels[new]
        a, b = assign_hungarian(np.where(is_later & is_same_class, cost, np.inf))
        for lost_row, row in zip(lost[a].tolist(), new[b].tolist(), strict=True):
            self.identities[row].merge_into(self.identities[lost_row])
        self.confirmed[new[b]] = self.superseded[lost[a]] = True
