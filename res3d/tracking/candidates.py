"""Detections of one frame or clip, prepared for linking."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from res3d.ops.similarity import box_area
from res3d.structures import ClipDetections, FrameDetections
from res3d.tracking.classes import suppress_across_classes
from res3d.tracking.field_rules import INTERPOLATED_FIELDS, fields_by_frame
from res3d.tracking.objects import Array, Mask, Objects, Rows
from res3d.tracking.settings import LinkSettings
from res3d.tracking.timeline import FrameRows


class Candidates:
    """M detections over T frames: the tubes of a clip, or the boxes of one frame (T = 1).

    All detections of a single frame count as visible. A tube is visible in the frames where its probability is at least
    ``settings.visible_score``. A tube that is visible in no frame matches no track and starts no track. The same holds
    for a detection whose first visible box is smaller than ``settings.min_area``.

    Attributes:
        frames: [T] frame numbers.
        labels: [M] classes.
        votes: for each detection, the (class, score) of all detections of the same object.
        is_visible: [M, T] True where the object is visible.
        last_frames: [M] number of the last frame in which the object is visible.
        first_boxes, last_boxes: [M, 4] xyxy pixels in the first and in the last frame where the object is visible.
        high: [M] True for detections that are matched first.
        low: [M] True for detections that only continue tracks.
        can_start: [M] True for detections that may start tracks.
        objects: the M detections in the form that the costs compare.
    """

    def __init__(self, detections: FrameDetections | ClipDetections, frames: Rows, settings: LinkSettings) -> None:
        is_visible, visible = _visibility(detections, settings)
        objects = Objects(boxes=_with_frames(detections, detections.boxes), visible=visible)
        best, self.votes = suppress_across_classes(detections, objects, settings)
        if best is not None:
            detections, is_visible, objects = detections[best], is_visible[best], objects[best]
        self._detections = detections
        self.frames, self.labels, self.is_visible = frames, detections.labels, is_visible
        self._first, self._last = _ends(is_visible)  # [M] indices in T
        self.last_frames = frames[self._last]
        boxes = objects.boxes.astype(np.float64)
        self.first_boxes, self.last_boxes = _at(boxes, self._first), _at(boxes, self._last)
        cost_fields = settings.needed_fields
        self._fields = {
            name: (_with_frames(detections, values) if name in fields_by_frame() else values).astype(np.float64)
            for name in dict.fromkeys((*cost_fields, *INTERPOLATED_FIELDS))
            if (values := getattr(detections, name)) is not None
        }
        compared_fields = {name: values for name, values in self._fields.items() if name in cost_fields}
        self.objects = Objects(boxes=boxes, visible=objects.visible.astype(np.float64), fields=compared_fields)
        ignored = ~_at(is_visible, self._first)
        if settings.min_area > 0:
            ignored |= box_area(self.first_boxes) < settings.min_area
        scores = np.where(ignored, -1, detections.scores)
        self.high = scores >= settings.high_score
        self.low = (scores >= settings.min_score) & ~self.high
        self.can_start = scores >= settings.new_score

    def at_first_visible_frame(self, columns: Rows) -> Objects:
        """Return the objects at ``columns``, each with a weight in the first frame where it is visible only."""
        objects = self.objects[columns]
        is_first = (np.arange(len(self.frames)) == self._first[columns, None]) & self.is_visible[columns]
        return Objects(boxes=objects.boxes, visible=is_first.astype(np.float64), fields=objects.fields)

    def count_visible(self, columns: Rows, after: Rows) -> Rows:
        """Count the frames later than ``after`` [n] in which the objects at ``columns`` [n] are visible: [n].

        The objects must be visible in at least one frame, as all matched ones are.
        """
        if len(self.frames) == 1:
            return np.asarray(self.frames[0] > after, np.int64)
        counts: Rows = (self.is_visible[columns] & (self.frames > after[:, None])).sum(axis=1)
        return counts

    def first_fields(self, column: int) -> dict[str, Array]:
        """Return the fields of one object in the first frame where it is visible, by name.

        Shapes are those of one object in one frame: boxes [4], keypoints [K, 3], ...
        """
        fields = {name: values[0] for name, values in self._fields_at(np.array([column]), self._first).items()}
        return {"boxes": self.first_boxes[column], **fields}

    def last_fields(self, columns: Rows) -> dict[str, Array]:
        """Return the fields of the objects at ``columns`` in the last frame where each is visible, by name.

        Boxes are left out (``last_boxes``). The first axis of each array is that of the objects.
        """
        return self._fields_at(columns, self._last)

    def velocity(self, columns: Rows) -> Array:
        """Return the mean velocity of boxes from the first to the last visible frame: [n, 4] pixels per frame."""
        elapsed = np.maximum(self.last_frames[columns] - self.frames[self._first[columns]], 1)[:, None]
        velocity: Array = (self.last_boxes[columns] - self.first_boxes[columns]) / elapsed
        return velocity

    def rows(self, columns: Rows) -> Iterator[tuple[int, FrameRows]]:
        """Yield (frame number, rows of the detections at ``columns``) for every frame.

        Rows of frames in which the object is not visible are included.
        """
        if isinstance(self._detections, FrameDetections):
            yield int(self.frames[0]), self._detections.convert(FrameRows, columns)
            return
        for t, frame in enumerate(self.frames.tolist()):
            yield frame, self._detections.at_frame(t, FrameRows, columns)

    def _fields_at(self, columns: Rows, indices: Rows) -> dict[str, Array]:
        """Return the fields of the objects at ``columns`` in the frames at ``indices`` [M] in T."""
        by_frame = fields_by_frame()
        return {
            name: values[columns, indices[columns]] if name in by_frame else values[columns]
            for name, values in self._fields.items()
        }


def _visibility(detections: FrameDetections | ClipDetections, settings: LinkSettings) -> tuple[Mask, Array]:
    """Return (is_visible, weights), each [M, T]: the weight is the probability where visible, and 0 elsewhere."""
    if isinstance(detections, FrameDetections):
        return np.ones((len(detections), 1), bool), np.ones((len(detections), 1))
    is_visible = detections.visible >= settings.visible_score
    return is_visible, np.where(is_visible, detections.visible, 0)


def _ends(is_visible: Mask) -> tuple[Rows, Rows]:
    """Return the indices [M] of the first and last visible frames, from [M, T]; 0 and T - 1 where no frame is."""
    count, length = is_visible.shape
    if length == 1:
        return np.zeros(count, np.int64), np.zeros(count, np.int64)
    return is_visible.argmax(axis=1), length - 1 - is_visible[:, ::-1].argmax(axis=1)


def _at(values: NDArray[Any], indices: Rows) -> NDArray[Any]:
    """[M, T, ...] and indices [M] in T -> [M, ...]."""
    return values[:, 0] if values.shape[1] == 1 else values[np.arange(len(values)), indices]


def _with_frames(detections: FrameDetections | ClipDetections, values: Array) -> Array:
    """Return values [M, ...] of a single frame, or [M, T, ...] of a clip, as [M, T, ...]."""
    return values[:, None] if isinstance(detections, FrameDetections) else values
