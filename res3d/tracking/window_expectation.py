"""Tubes of overlapping clips: tracks are expected where earlier clips saw them, or where their velocity leads."""

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
    """Expectation for tubes: where the newest tube of each of N tracks is in the frames of the current clip."""

    stages = TUBE_STAGES
    allows_hiding = False
    arrays = ("boxes", "visible", "velocity")

    def __init__(self, settings: LinkSettings, pool: TrackPool) -> None:
        self._settings, self._pool = settings, pool
        self._frames = np.zeros(0, np.int64)  # [T]
        self.boxes: Array = np.zeros((0, 0, 4))  # [N, T, 4]
        self.visible: Array = np.zeros((0, 0))  # [N, T]; 0 where no tube covers the frame, or its object is not seen
        self.velocity = np.zeros((0, 4))  # [N, 4] pixels per frame, over the last tube
        self.fields: dict[str, Array] = {}  # [N, T, ...]

    def read(self, detections: FrameDetections | ClipDetections) -> FrameDetections | ClipDetections:
        """Return the detections."""
        return detections

    def move(self, frames: Rows) -> None:
        """Keep what is known of the frames that the next clip shares with this one."""
        _, old, new = np.intersect1d(self._frames, frames, assume_unique=True, return_indices=True)

        def moved(array: Array) -> Array:
            kept = np.zeros((len(array), len(frames), *array.shape[2:]))
            kept[:, new] = array[:, old]
            return kept

        self.boxes, self.visible = moved(self.boxes), moved(self.visible)
        self.fields = {name: moved(values) for name, values in self.fields.items()}
        self._frames = frames

    def expected(self, rows: Rows) -> Objects:
        """Return the tracks at ``rows`` as earlier clips saw them."""
        fields: dict[str, Array] = {}
        for name in self._settings.needed_fields:
            held = self.fields if name in fields_by_frame() else self._pool.fields
            if name in held:
                fields[name] = held[name][rows]
        return Objects(boxes=self.boxes.take(rows, axis=0), visible=self.visible.take(rows, axis=0), fields=fields)

    def moved(self, rows: Rows) -> Objects:
        """Return the tracks at ``rows`` if they kept their velocity since they were last seen."""
        unseen = self._frames - self._pool.last[rows, None]
        shift = self.velocity[rows, None] * unseen[..., None]
        boxes = self._pool.boxes[rows, None] + shift
        boxes[..., 2:] = np.maximum(boxes[..., 2:], boxes[..., :2])
        return self._pool.objects_at(rows, boxes, shift)

    def overlapping(self) -> Mask:
        """Return the tracks [N] that earlier clips saw in the current frames."""
        seen: Mask = self.visible.max(axis=1, initial=0) > 0
        return seen

    def begin(self, candidates: Candidates, columns: Rows) -> None:
        """Add tracks that began with the tubes at ``columns``."""
        count = len(self)
        self.append(len(columns), {})
        self.update(np.arange(count, len(self)), candidates, columns)

    def update(self, rows: Rows, candidates: Candidates, columns: Rows) -> None:
        """Take the tubes at ``columns`` for the tracks at ``rows``."""
        tubes = candidates.objects
        self.boxes[rows], self.visible[rows] = tubes.boxes.take(columns, axis=0), tubes.visible.take(columns, axis=0)
        self.velocity[rows] = candidates.velocity(columns)
        for name in tubes.fields.keys() & fields_by_frame():
            values = tubes.fields[name]
            held = self.fields.setdefault(name, np.zeros((*self.visible.shape, *values.shape[2:])))
            held[rows] = values[columns]
