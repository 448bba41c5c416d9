"""Detections of one frame or clip, prepared for linking."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from res3d.ops.similarity import box_area
from res3d.structures import ClipDetections, FrameDetections
from res3d.tracking.classes import settle_classes
from res3d.tracking.field_rules import REMEMBERED, fields_by_frame
from res3d.tracking.objects import Array, Mask, Objects, Rows
from res3d.tracking.settings import LinkSettings
from res3d.tracking.timeline import FrameRows


class Candidates:
    """M detections over T frames: the tubes of a clip, or the boxes of one frame (T = 1), where all are seen.

    A detection that is seen in no frame is not matched and starts no track.

    Attributes:
        frames: [T] numbers.
        labels: [M]
        votes: for each detection, the (class, score) of all detections of the same object.
        seen: [M, T] whether the object is seen.
        last: [M] frame in which it is last seen.
        first_boxes, last_boxes: [M, 4] xyxy where it is first and last seen.
        high, low, new: [M] detections that are matched first, that only continue tracks, that may start tracks.
        objects: M objects as costs compare them.
    """

    def __init__(self, detections: FrameDetections | ClipDetections, frames: Rows, settings: LinkSettings) -> None:
        seen, visible = _visibility(detections, settings)
        found = Objects(boxes=_with_frames(detections, detections.boxes), visible=visible)
        kept, self.votes = settle_classes(detections, found, settings)
        if kept is not None:
            detections, seen, found = detections[kept], seen[kept], found[kept]
        self._detections = detections
        self.frames, self.labels, self.seen = frames, detections.labels, seen
        self._first, self._last = _ends(seen)
        self.last = frames[self._last]
        boxes = found.boxes.astype(np.float64)
        self.first_boxes, self.last_boxes = _at(boxes, self._first), _at(boxes, self._last)
        needed = settings.needed_fields
        self._fields = {
            name: (_with_frames(detections, values) if name in fields_by_frame() else values).astype(np.float64)
            for name in dict.fromkeys((*needed, *REMEMBERED))
            if (values := getattr(detections, name)) is not None
        }
        compared = {name: values for name, values in self._fields.items() if name in needed}
        self.objects = Objects(boxes=boxes, visible=found.visible.astype(np.float64), fields=compared)
        ignored = ~_at(seen, self._first)
        if settings.min_area > 0:
            ignored |= box_area(self.first_boxes) < settings.min_area
        scores = np.where(ignored, -1, detections.scores)
        self.high = scores >= settings.high_score
        self.low = (scores >= settings.min_score) & ~self.high
        self.new = scores >= settings.new_score

    def at_first_sight(self, columns: Rows) -> Objects:
        """Return the objects at ``columns``, visible only in the frame in which each is first seen."""
        objects = self.objects[columns]
        at_first = (np.arange(len(self.frames)) == self._first[columns, None]) & self.seen[columns]
        return Objects(boxes=objects.boxes, visible=at_first.astype(np.float64), fields=objects.fields)

    def count_seen(self, columns: Rows, after: Rows) -> Rows:
        """Return in how many frames later than ``after`` [n] the (matched) objects at ``columns`` [n] are seen."""
        if len(self.frames) == 1:
            return np.ones(len(columns), np.int64)
        counts: Rows = (self.seen[columns] & (self.frames > after[:, None])).sum(axis=1)
        return counts

    def first_entry(self, column: int) -> dict[str, Array]:
        """Return the fields of one object where it is first seen, by name: boxes [4], keypoints [K, 3], ..."""
        fields = {name: values[0] for name, values in self._fields_at(np.array([column]), self._first).items()}
        return {"boxes": self.first_boxes[column], **fields}

    def last_fields(self, columns: Rows) -> dict[str, Array]:
        """Return the fields besides boxes where the objects at ``columns`` are last seen, one entry per object."""
        return self._fields_at(columns, self._last)

    def velocity(self, columns: Rows) -> Array:
        """Return the mean velocity of boxes between where they are first and last seen: [n, 4] pixels per frame."""
        elapsed = np.maximum(self.last[columns] - self.frames[self._first[columns]], 1)[:, None]
        velocity: Array = (self.last_boxes[columns] - self.first_boxes[columns]) / elapsed
        return velocity

    def rows(self, columns: Rows) -> Iterator[tuple[int, FrameRows]]:
        """Yield (number, the detections at ``columns`` in it) for every frame, whether they are seen there or not."""
        if isinstance(self._detections, FrameDetections):
            yield int(self.frames[0]), self._detections.convert(FrameRows, columns)
            return
        for t, frame in enumerate(self.frames.tolist()):
            yield frame, self._detections.at_frame(t, FrameRows, columns)

    def _fields_at(self, columns: Rows, places: Rows) -> dict[str, Array]:
        by_frame = fields_by_frame()
        return {
            name: values[columns, places[columns]] if name in by_frame else values[columns]
            for name, values in self._fields.items()
        }


def _visibility(detections: FrameDetections | ClipDetections, settings: LinkSettings) -> tuple[Mask, Array]:
    """(whether each is seen, its probability where it is and 0 elsewhere), each [M, T]."""
    if isinstance(detections, FrameDetections):
        return np.ones((len(detections), 1), bool), np.ones((len(detections), 1))
    seen = detections.visible >= settings.visible_score
    return seen, np.where(seen, detections.visible, 0)


def _ends(seen: Mask) -> tuple[Rows, Rows]:
    """(first, last) of the frames [M, T] in which each is seen; the first and the last of all where it never is."""
    count, length = seen.shape
    if length == 1:
        return np.zeros(count, np.int64), np.zeros(count, np.int64)
    return seen.argmax(axis=1), length - 1 - seen[:, ::-1].argmax(axis=1)


def _at(values: NDArray[Any], places: Rows) -> NDArray[Any]:
    """[M, T, ...] and places [M] in T -> [M, ...]."""
    return values[:, 0] if values.shape[1] == 1 else values[np.arange(len(values)), places]


def _with_frames(detections: FrameDetections | ClipDetections, values: Array) -> Array:
    """[M, ...] or [M, T, ...] -> [M, T, ...]."""
    return values[:, None] if isinstance(detections, FrameDetections) else values
