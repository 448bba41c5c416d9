"""Prediction of tracks in overlapping clips, from the frames that clips share and from velocities."""

import numpy as np

from res3d.structures import ClipDetections, FrameDetections
from res3d.tracking.candidates import Candidates
from res3d.tracking.field_rules import fields_by_frame
from res3d.tracking.matching import Expectation
from res3d.tracking.objects import Array, Mask, Objects, Rows
from res3d.tracking.pool import TrackPool
from res3d.tracking.settings import LinkSettings
from res3d.tracking.stages import TUBE_STAGES
from res3d.tracking.track_arrays import TrackArrays


class WindowExpectation(TrackArrays, Expectation):
    """Expectation for tubes: the boxes of the latest tube of each of N tracks in the frames of the current clip.

    Args:
        settings: settings of linking.
        pool: the live tracks.

    Attributes:
        boxes: [N, T, 4] xyxy pixels.
        visible: [N, T] visibility; 0 where the latest tube does not cover the frame, or its object is not visible.
        velocity: [N, 4] pixels per frame: the mean velocity of the latest tube.
        fields: [N, T, ...] other fields by name.
    """

    stages = TUBE_STAGES
    allows_occlusion = False
    arrays = ("boxes", "visible", "velocity")

    def __init__(self, settings: LinkSettings, pool: TrackPool) -> None:
        self._settings, self._pool = settings, pool
        self._frames = np.zeros(0, np.int64)  # [T] frame numbers of the current clip
        self.boxes: Array = np.zeros((0, 0, 4))
        self.visible: Array = np.zeros((0, 0))
        self.velocity = np.zeros((0, 4))
        self.fields: dict[str, Array] = {}

    def read(self, detections: FrameDetections | ClipDetections) -> FrameDetections | ClipDetections:
        """Return the detections unchanged."""
        return detections

    def advance(self, frames: Rows) -> None:
        """Advance to the frames [T] of the next clip. Values in shared frames are copied, those in new frames are 0."""
        _, old, new = np.intersect1d(self._frames, frames, assume_unique=True, return_indices=True)

        def shift_frames(array: Array) -> Array:
            shifted = np.zeros((len(array), len(frames), *array.shape[2:]))
            shifted[:, new] = array[:, old]
            return shifted

        self.boxes, self.visible = shift_frames(self.boxes), shift_frames(self.visible)
        self.fields = {name: shift_frames(values) for name, values in self.fields.items()}
        self._frames = frames

    def predicted(self, rows: Rows) -> Objects:
        """Return the tracks at ``rows`` as their latest tubes show them in the shared frames."""
        fields: dict[str, Array] = {}
        for name in self._settings.needed_fields:
            source = self.fields if name in fields_by_frame() else self._pool.fields
            if name in source:
                fields[name] = source[name][rows]
        return Objects(boxes=self.boxes.take(rows, axis=0), visible=self.visible.take(rows, axis=0), fields=fields)

    def extrapolated(self, rows: Rows) -> Objects:
        """Return the tracks at ``rows`` moved on from their last boxes at constant velocity."""
        elapsed = self._frames - self._pool.last_frames[rows, None]
        shift = self.velocity[rows, None] * elapsed[..., None]
        boxes = self._pool.boxes[rows, None] + shift
        boxes[..., 2:] = np.maximum(boxes[..., 2:], boxes[..., :2])
        return self._pool.objects_at(rows, boxes, shift)

    def overlapping(self) -> Mask:
        """Return a mask [N]: True for tracks whose latest tube is visible in a frame of the current clip."""
        is_visible: Mask = self.visible.max(axis=1, initial=0) > 0
        return is_visible

    def begin(self, candidates: Candidates, columns: Rows) -> None:
        """Add new tracks, which start with the tubes at ``columns``."""
        count = len(self)
        self.append(len(columns), {})
        self.update(np.arange(count, len(self)), candidates, columns)

    def update(self, rows: Rows, candidates: Candidates, columns: Rows) -> None:
        """Replace the latest tubes of the tracks at ``rows`` with the tubes at ``columns``."""
        tubes = candidates.objects
        self.boxes[rows], self.visible[rows] = tubes.boxes.take(columns, axis=0), tubes.visible.take(columns, axis=0)
        self.velocity[rows] = candidates.velocity(columns)
        for name in tubes.fields.keys() & fields_by_frame():
            values = tubes.fields[name]
            field = self.fields.setdefault(name, np.zeros((*self.visible.shape, *values.shape[2:])))
            field[rows] = values[columns]
