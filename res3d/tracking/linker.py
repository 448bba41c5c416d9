"""Linking of detections into tracks, as they come."""

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


class Linker:
    """Takes the detections of a video and returns tracked frames as soon as they are final.

    Memory grows with the number of objects, the length of a clip and ``max_lost``, not with the length of the video.

    Args:
        settings: how detections are linked.
        expectation: where tracks are expected: by their motion in single frames, or in the frames that clips share.
    """

    def __init__(self, settings: LinkSettings, expectation: type[Expectation]) -> None:
        self._settings = settings
        self._pool = TrackPool(settings)
        self._expectation = expectation(settings, self._pool)
        self._timeline = Timeline(settings.visible_score)
        self._start = -1  # first frame of the last detections

    def push(self, detections: Detections) -> list[FrameTracks]:
        """Add the next detections; return the frames that no later ones can change, in order.

        Args:
            detections: of a clip, or of the frame after the last one: ``FrameDetections``, or a mapping that
                ``FrameDetections.from_mapping`` reads.

        Raises:
            ValueError: invalid detections, a clip that starts no later than the one before it, or detections without a
                field that a cost needs.
        """
        candidates = self._read(detections)
        self._expectation.move(candidates.frames)
        matching = Matching(self._settings, self._pool, self._expectation, candidates)
        matching.run(self._expectation.stages)
        self._continue(candidates, *matching.pairs)
        self._begin(matching, (candidates.new & matching.is_free).nonzero()[0])
        self._pool.decide(self._start)
        expired = self._pool.expired(self._start)
        if expired.any():
            self._pool.keep(~expired)
            self._expectation.keep(~expired)
        return self._timeline.release(self._pool.undecided_from(self._start))

    def finish(self) -> list[FrameTracks]:
        """Return the frames that are left when the video is over; tracks that are still tentative are dropped."""
        self._pool.decide(None)
        return self._timeline.release()

    def link(self, detections: Iterable[Detections]) -> Iterator[FrameTracks]:
        """Link all detections of a video, frame by frame as they become final."""
        for item in detections:
            yield from self.push(item)
        yield from self.finish()

    def _read(self, detections: Detections) -> Candidates:
        if isinstance(detections, Mapping):
            detections = FrameDetections.from_mapping(detections)
        if isinstance(detections, FrameDetections):
            frames, times = np.array([self._start + 1]), None if detections.time is None else [detections.time]
        else:
            frames, times = detections.frames, None if detections.times is None else detections.times.tolist()
        if frames[0] <= self._start:
            raise ValueError(f"clips must come in order: one from frame {frames[0]} after one from {self._start}")
        found = self._expectation.read(detections)
        self._start = int(frames[0])
        self._timeline.open(frames.tolist(), times)
        return Candidates(found, frames, self._settings)

    def _continue(self, candidates: Candidates, rows: Rows, columns: Rows) -> None:
        """Continue the tracks at ``rows`` with the detections at ``columns``."""
        self._fill_gaps(candidates, rows, columns)
        self._pool.update(rows, candidates, columns)
        self._expectation.update(rows, candidates, columns)
        self._show(candidates, rows, columns)

    def _begin(self, matching: Matching, columns: Rows) -> None:
        """Start tracks with the detections at ``columns``."""
        if not len(columns):
            return
        count = len(self._pool)
        self._pool.begin(matching.candidates, columns, matching.hidden())
        self._expectation.begin(matching.candidates, columns)
        self._show(matching.candidates, np.arange(count, len(self._pool)), columns)

    def _show(self, candidates: Candidates, rows: Rows, columns: Rows) -> None:
        """Enter the detections at ``columns`` into the timeline."""
        if not len(rows):
            return
        identities = self._pool.identities[rows].tolist()
        for frame, seen in candidates.rows(columns):
            self._timeline.add(frame, identities, seen)

    def _fill_gaps(self, candidates: Candidates, rows: Rows, columns: Rows) -> None:
        """Fill the frames between the last and the new clips of tracks, unless one says that the object is not seen."""
        pool = self._pool
        gaps = self._start - pool.covered[rows] - 1
        for n in ((gaps > 0) & (gaps <= self._settings.fill_gaps)).nonzero()[0].tolist():
            row, column = rows[n], columns[n]
            if pool.last[row] != pool.covered[row] or not candidates.seen[column, 0]:
                continue
            before = {"boxes": pool.boxes[row], **{name: values[row] for name, values in pool.fields.items()}}
            after = candidates.first_entry(column)
            for frame, interpolated in fill_gap((int(pool.last[row]), self._start), before, after):
                self._timeline.add(frame, [pool.identities[row]], interpolated)


class FrameLinker(Linker):
    """Linker of single frames: ``Linker(settings, MotionExpectation)``."""

    def __init__(self, settings: LinkSettings) -> None:
        super().__init__(settings, MotionExpectation)


class TubeLinker(Linker):
    """Linker of the tubes of overlapping clips: ``Linker(settings, WindowExpectation)``."""

    def __init__(self, settings: LinkSettings) -> None:
        super().__init__(settings, WindowExpectation)
