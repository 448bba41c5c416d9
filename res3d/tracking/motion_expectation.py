"""Single frames: tracks are expected where their motion leads."""

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
    """Expectation for the detections of single frames; ``settings.motion`` names the predictor."""

    stages = FRAME_STAGES
    allows_hiding = True

    def __init__(self, settings: LinkSettings, pool: TrackPool) -> None:
        self._pool = pool
        self._motion = MOTIONS[settings.motion]()
        self._boxes = self._motion.boxes
        self._frame = -1

    def read(self, detections: FrameDetections | ClipDetections) -> FrameDetections:
        """Return the detections of a frame. Those of a clip of one frame all count as seen in it."""
        if isinstance(detections, FrameDetections):
            return detections
        if len(detections.frames) != 1:
            raise ValueError(f"single frames are linked: a clip must have 1 frame, not {len(detections.frames)}")
        return detections.frame(0)

    def move(self, frames: Rows) -> None:
        """Predict boxes in the next frame, or in a later one."""
        for _ in range(int(frames[0]) - self._frame if len(self._pool) else 0):
            self._motion.predict()
        self._frame = int(frames[0])
        self._boxes = self._motion.boxes

    def expected(self, rows: Rows) -> Objects:
        """Return the tracks at ``rows`` in their predicted boxes, poses moved along with them."""
        return self._pool.objects_at(rows, self._boxes.take(rows, axis=0)[:, None])

    def moved(self, rows: Rows) -> Objects:
        """Return the same."""
        return self.expected(rows)

    def overlapping(self) -> Mask:
        """Return no track: each frame comes once."""
        return np.zeros(len(self._pool), bool)

    def begin(self, candidates: Candidates, columns: Rows) -> None:
        """Add tracks at rest."""
        self._motion.add(candidates.last_boxes[columns])

    def update(self, rows: Rows, candidates: Candidates, columns: Rows) -> None:
        """Correct the predictions for the tracks at ``rows``."""
        self._motion.update(rows, candidates.last_boxes.take(columns, axis=0))

    def keep(self, rows: Mask) -> None:
        """Drop all tracks but those at ``rows`` [N]."""
        self._motion.keep(rows)
