"""Parallel decoding of a video in segments that begin at keyframes."""

import threading
from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av

from res3d.video.container import (
    READ_ERRORS,
    FrameDecoder,
    GapFinder,
    frame_rate,
    missing_seconds,
    open_container,
    timed_streams,
    update_end,
    video_stream,
)
from res3d.video.prefetch import Prefetcher
from res3d.video.pyav import Container

MIN_SEGMENT_FRAMES = 24  # opening a file and seeking take as long as decoding a few frames
WAITING_BYTES = 256 * 2**20  # budget for decoded frames that wait for output, all segments together


@dataclass(frozen=True, kw_only=True, slots=True)
class Segment:
    """Frames from a keyframe to the frame before a later keyframe."""

    stamps: tuple[int, ...]  # timestamps in presentation order, in ticks of the stream; the first is the keyframe's


def plan_segments(path: Path, number: int | None = None) -> list[Segment]:
    """Return the segments of a video, planned from its packets without decoding them.

    The list is empty if the packets do not determine the frames: timestamps are missing, guessed (AVI) or duplicate, or
    frames may be missing, so that a ``FrameDecoder`` has to say which.
    """
    with open_container(path) as container:
        stream = video_stream(container, number)
        if container.format.name == "avi":
            return []
        default_duration = 1 / frame_rate(stream)
        gaps = GapFinder(container, stream)
        ends: dict[int, Fraction] = {}
        stamps: list[int] = []
        keys: list[int] = []
        try:
            for packet in container.demux(timed_streams(container)):
                update_end(packet, ends, default_duration)
                gaps.add_packet(packet)
                if packet.stream is not stream or not packet.size:
                    continue
                if packet.pts is None or packet.is_corrupt or packet.is_discard:
                    return []
                stamps.append(packet.pts)
                if packet.is_keyframe:
                    keys.append(packet.pts)
        except READ_ERRORS:
            return []
        if missing_seconds(container, stream, ends) or len(set(stamps)) < len(stamps):
            return []
    stamps.sort()
    if any(gaps.add_frame(stamp * stream.time_base) for stamp in stamps) or gaps.num_missing:
        return []
    if not stamps or not keys or stamps[0] != min(keys) or len(stamps) < stream.frames:
        return []
    return _cut(stamps, sorted(keys))


def _cut(stamps: list[int], keys: list[int]) -> list[Segment]:
    """Cut sorted timestamps at those of keyframes; every segment but the last has at least MIN_SEGMENT_FRAMES."""
    indices = {stamp: index for index, stamp in enumerate(stamps)}
    starts = [0]
    for key in keys:
        if indices[key] - starts[-1] >= MIN_SEGMENT_FRAMES:
            starts.append(indices[key])
    return [
        Segment(stamps=tuple(stamps[start:end])) for start, end in zip(starts, [*starts[1:], len(stamps)], strict=True)
    ]


class SegmentedDecoder:
    """Iterator over the same frames and times as ``FrameDecoder``, decoded by several threads.

    Frames that are presented before a keyframe but stored after it are decoded with the previous segment. If the frames
    of a segment differ from those that its packets announce, the rest of the video is decoded by a ``FrameDecoder``.

    Args:
        path: the video.
        workers: number of segments that are decoded at the same time, each by one thread.
        allow_truncated: see ``FrameDecoder``.
        number: index of the video stream; see ``video_stream``.

    Raises:
        TruncatedVideoError: during iteration; see ``FrameDecoder``.
    """

    def __init__(self, path: Path, *, workers: int, allow_truncated: bool, number: int | None = None) -> None:
        self.damage: str | None = None
        self.notes: list[str] = []
        self._path = path
        self._workers = workers
        self._allow_truncated = allow_truncated
        self._number = number

    def __iter__(self) -> Generator[tuple[Fraction, av.VideoFrame], None, None]:
        segments = plan_segments(self._path, self._number)
        num_yielded = 0
        if len(segments) > 1:
            try:
                for timed in self._in_parallel(segments):
                    num_yielded += 1
                    yield timed
                return
            except _UnexpectedFrameError:
                pass
        with open_container(self._path) as container:
            decoder = FrameDecoder(container, self._path, allow_truncated=self._allow_truncated, number=self._number)
            try:
                for number, timed in enumerate(decoder):
                    if number >= num_yielded:
                        yield timed
            finally:
                self.damage, self.notes = decoder.damage, decoder.notes

    def _in_parallel(self, segments: list[Segment]) -> Iterator[tuple[Fraction, av.VideoFrame]]:
        stop = threading.Event()  # stops the threads of all segments
        remaining = iter(segments)
        running: deque[Prefetcher[tuple[Fraction, av.VideoFrame]]] = deque()

        def start_next() -> None:
            if (segment := next(remaining, None)) is not None:
                frames = _segment_frames(self._path, segment, self._number)
                running.append(Prefetcher(frames, depth=self._frames_ahead, stop=stop, name="res3d-segment"))

        try:
            for _ in range(self._workers):
                start_next()
            while running:
                yield from running[0]
                running.popleft()
                start_next()
        finally:
            stop.set()
            for frames in running:
                frames.close()

    def _frames_ahead(self, timed: tuple[Fraction, av.VideoFrame]) -> int:
        """Return how many frames of the size of ``timed`` may wait per segment."""
        size = sum(plane.buffer_size for plane in timed[1].planes)
        return max(1, WAITING_BYTES // self._workers // size)


class _UnexpectedFrameError(Exception):
    """Error for a segment whose frames are not those that its packets announce."""


def _segment_frames(path: Path, segment: Segment, number: int | None) -> Iterator[tuple[Fraction, av.VideoFrame]]:
    """Open the file and yield the timestamps and frames of a segment.

    Raises:
        _UnexpectedFrameError: the frames differ from those announced, or the file cannot be read.
    """
    try:
        with open_container(path) as container:
            yield from _decode_segment(container, segment, number)
    except (*READ_ERRORS, OSError) as error:
        raise _UnexpectedFrameError(str(error)) from None


def _decode_segment(
    container: Container, segment: Segment, number: int | None
) -> Iterator[tuple[Fraction, av.VideoFrame]]:
    stream = video_stream(container, number)
    stream.thread_type = "NONE"  # one thread per segment
    stream.codec_context.thread_count = 1
    first, expected = segment.stamps[0], iter(segment.stamps)
    container.seek(first, stream=stream)
    at_keyframe, remaining = False, len(segment.stamps)
    for packet in container.demux(stream):
        at_keyframe = at_keyframe or (packet.pts == first and packet.is_keyframe)
        if not at_keyframe:
            continue
        for frame in packet.decode():
            if frame.pts is not None and frame.pts < first:
                continue  # presented before the keyframe: it belongs to the previous segment
            if frame.is_corrupt or frame.pts != next(expected):
                raise _UnexpectedFrameError(f"frame at {frame.pts}")
            yield frame.pts * Fraction(frame.time_base or stream.time_base), frame
            remaining -= 1
            if not remaining:
                return
    raise _UnexpectedFrameError(f"{remaining} frames are missing")
