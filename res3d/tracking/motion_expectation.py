"""Prediction of tracks in single frames, by a motion model."""

import numpy as np

from res3d.structures import ClipDetections, FrameDetections
from res3d.tracking.candidates import Candidates
from res3d.tracking.matching import Expectation
from res3d.tracking.motion import MOTIONS
from res3d.tracking.objects import Mask, Objects, Rows
from res3d.tracking.pool import TrackPool
from res3d.tracking.settings import LinkSettings
from res3d.tracking.stages import FRAME_STAGES


class MotionExpectation(Expectation):
    """Expectation for the detections of single frames; ``settings.motion`` names the motion model."""

    stages = FRAME_STAGES
    allows_occlusion = True

    def __init__(self, settings: LinkSettings, pool: TrackPool) -> None:
        self._pool = pool
        self._motion = MOTIONS[settings.motion]()
        self._boxes = self._motion.boxes
        self._frame = -1

    def read(self, detections: FrameDetections | ClipDetections) -> FrameDetections:
        """Return the detections of one frame. Those of a clip of one frame all count as visible.

        Raises:
            ValueError: a clip of more than one frame.
        """
        if isinstance(detections, FrameDetections):
            return detections
        if len(detections.frames) != 1:
            raise ValueError(f"FrameLinker takes single frames: a clip must have 1 frame, not {len(detections.frames)}")
        return detections.frame(0)

    def advance(self, frames: Rows) -> None:
        """Predict boxes in ``frames`` [1]; frames may have been skipped."""
        for _ in range(int(frames[0]) - self._frame if len(self._pool) else 0):
            self._motion.predict()
        self._frame = int(frames[0])
        self._boxes = self._motion.boxes

    def predicted(self, rows: Rows) -> Objects:
        """Return the tracks at ``rows`` in their predicted boxes, with their keypoints shifted accordingly."""
        return self._pool.objects_at(rows, self._boxes.take(rows, axis=0)[:, None])

    def extrapolated(self, rows: Rows) -> Objects:
        """Return the same as ``predicted``."""
        return self.predicted(rows)

    def overlapping(self) -> Mask:
        """Return False for all tracks [N]: single frames do not overlap."""
        return np.zeros(len(self._pool), bool)

    def begin(self, candidates: Candidates, columns: Rows) -> None:
        """Add new tracks with velocity 0 at the detections at ``columns``."""
        self._motion.add(candidates.last_boxes[columns])

    def update(self, rows: Rows, candidates: Candidates, columns: Rows) -> None:
        """Correct the predictions of the tracks at ``rows`` with the detections at ``columns``."""
        self._motion.update(rows, candidates.last_boxes.take(columns, axis=0))

    def keep(self, rows: Mask) -> None:
        """Drop all tracks except those at ``rows`` [N]."""
        self._motion.keep(rows)
