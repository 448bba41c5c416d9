"""Online linking of detections into tracks."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np

from res3d.structures import ClipDetections, FrameDetections, FrameTracks
from res3d.tracking.candidates import Candidates
from res3d.tracking.gaps import fill_gap
from res3d.tracking.matching import Expectation, Matching
from res3d.tracking.motion_expectation import MotionExpectation
from res3d.tracking.objects import Rows
from res3d.tracking.pool import TrackPool
from res3d.tracking.settings import LinkSettings
from res3d.tracking.timeline import Timeline
from res3d.tracking.window_expectation import WindowExpectation

Detections = FrameDetections | ClipDetections | Mapping[str, Any]
"""Detections of one frame or clip. ``FrameDetections.from_mapping`` reads mappings."""


class Linker:
    """Links the detections of a video and returns tracked frames as soon as they are final.

    Memory grows with the number of objects, the length of a clip and ``max_lost``, not with the length of the video.

    Args:
        settings: settings of linking.
        expectation: class that predicts the boxes of tracks: ``MotionExpectation`` for single frames,
            ``WindowExpectation`` for overlapping clips.
    """

    def __init__(self, settings: LinkSettings, expectation: type[Expectation]) -> None:
        self._settings = settings
        self._pool = TrackPool(settings)
        self._expectation = expectation(settings, self._pool)
        self._timeline = Timeline(settings.visible_score)
        self._start = -1  # first frame of the latest detections

    def push(self, detections: Detections) -> list[FrameTracks]:
        """Link the next detections; return the frames that are now final, in order.

        Args:
            detections: those of the next clip or frame. Those of a frame are a ``FrameDetections``, or a mapping that
                ``FrameDetections.from_mapping`` reads.

        Raises:
            ValueError: invalid detections, a clip that does not start later than the previous one, or detections
                without a field that a cost needs.
        """
        candidates = self._read(detections)
        self._expectation.advance(candidates.frames)
        matching = Matching(self._settings, self._pool, self._expectation, candidates)
        matching.run(self._expectation.stages)
        self._continue(candidates, *matching.pairs)
        self._begin(matching, (candidates.can_start & matching.is_unmatched).nonzero()[0])
        self._pool.decide(self._start)
        expired = self._pool.expired(self._start)
        if expired.any():
            self._pool.keep(~expired)
            self._expectation.keep(~expired)
        return self._timeline.release(self._pool.undecided_from(self._start))

    def finish(self) -> list[FrameTracks]:
        """End the video: return the remaining frames. Tracks that are still tentative are dropped."""
        self._pool.decide(None)
        return self._timeline.release()

    def link(self, detections: Iterable[Detections]) -> Iterator[FrameTracks]:
        """Link all detections of a video; yield frames in order, each as soon as it is final."""
        for item in detections:
            yield from self.push(item)
        yield from self.finish()

    def _read(self, detections: Detections) -> Candidates:
        """Prepare detections for linking; add their frames to the timeline."""
        if isinstance(detections, Mapping):
            detections = FrameDetections.from_mapping(detections)
        if isinstance(detections, FrameDetections):
            frames, times = np.array([self._start + 1]), None if detections.time is None else [detections.time]
        else:
            frames, times = detections.frames, None if detections.times is None else detections.times.tolist()
        if frames[0] <= self._start:
            raise ValueError(
                f"clips must be in order: a clip that starts at frame {frames[0]} follows one that starts at frame "
                f"{self._start}"
            )
        detections = self._expectation.read(detections)
        self._start = int(frames[0])
        self._timeline.open(frames.tolist(), times)
        return Candidates(detections, frames, self._settings)

    def _continue(self, candidates: Candidates, rows: Rows, columns: Rows) -> None:
        """Continue the tracks at ``rows`` with the detections at ``columns``."""
        self._fill_gaps(candidates, rows, columns)
        self._pool.update(rows, candidates, columns)
        self._expectation.update(rows, candidates, columns)
        self._record(candidates, rows, columns)

    def _begin(self, matching: Matching, columns: Rows) -> None:
        """Start tracks with the detections at ``columns``."""
        if not len(columns):
            return
        count = len(self._pool)
        self._pool.begin(matching.candidates, columns, matching.occluded())
        self._expectation.begin(matching.candidates, columns)
        self._record(matching.candidates, np.arange(count, len(self._pool)), columns)

    def _record(self, candidates: Candidates, rows: Rows, columns: Rows) -> None:
        """Add the detections at ``columns`` to the timeline, as objects of the tracks at ``rows``."""
        if not len(rows):
            return
        identities = self._pool.identities[rows].tolist()
        for frame, frame_rows in candidates.rows(columns):
            self._timeline.add(frame, identities, frame_rows)

    def _fill_gaps(self, candidates: Candidates, rows: Rows, columns: Rows) -> None:
        """Interpolate the tracks at ``rows`` over the frames between their latest clip and the new one.

        A gap is not filled if the object is invisible at the end of the latest clip or at the start of the new one.
        """
        pool = self._pool
        gaps = self._start - pool.clip_ends[rows] - 1
        for n in ((gaps > 0) & (gaps <= self._settings.fill_gaps)).nonzero()[0].tolist():
            row, column = rows[n], columns[n]
            if pool.last_frames[row] != pool.clip_ends[row] or not candidates.is_visible[column, 0]:
                continue
            before = {"boxes": pool.boxes[row], **{name: values[row] for name, values in pool.fields.items()}}
            after = candidates.first_fields(column)
            for frame, frame_rows in fill_gap((int(pool.last_frames[row]), self._start), before, after):
                self._timeline.add(frame, [pool.identities[row]], frame_rows)


class FrameLinker(Linker):
    """Linker of single frames: ``Linker(settings, MotionExpectation)``."""

    def __init__(self, settings: LinkSettings) -> None:
        super().__init__(settings, MotionExpectation)


class TubeLinker(Linker):
    """Linker of the tubes of overlapping clips: ``Linker(settings, WindowExpectation)``."""

    def __init__(self, settings: LinkSettings) -> None:
        super().__init__(settings, WindowExpectation)
