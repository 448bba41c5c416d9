"""A video decoded in several places at once: segments that begin at keyframes, put together in order."""

import threading
from collections import deque
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av

from res3d.video.container import (
    FrameDecoder,
    frame_rate,
    missing_seconds,
    note_end,
    open_container,
    timed_streams,
    video_stream,
)
from res3d.video.prefetch import Prefetcher
from res3d.video.pyav import Container

MIN_SEGMENT_FRAMES = 24  # opening the file and seeking in it cost as much as decoding a few frames
WAITING_BYTES = 256 * 2**20  # decoded frames that wait for their turn, of all segments together


@dataclass(frozen=True, kw_only=True, slots=True)
class Segment:
    """Frames from a keyframe up to a later one, by their timestamps in presentation order."""

    stamps: tuple[int, ...]  # in ticks of the stream; the first is the keyframe's


def plan_segments(path: Path) -> list[Segment]:
    """The segments of a video, from its packets alone; none where they do not say for sure which frames come out.

    That is so where timestamps are missing, guessed (AVI) or double, and where the file looks damaged.
    """
    with open_container(path) as container:
        stream = video_stream(container)
        if container.format.name == "avi":
            return []
        usual = 1 / frame_rate(stream)
        ends: dict[int, Fraction] = {}
        stamps: list[int] = []
        keys: list[int] = []
        try:
            for packet in container.demux(timed_streams(container)):
                note_end(packet, ends, usual)
                if packet.stream is not stream or not packet.size:
                    continue
                if packet.pts is None or packet.is_corrupt:
                    return []
                stamps.append(packet.pts)
                if packet.is_keyframe:
                    keys.append(packet.pts)
        except av.FFmpegError:
            return []
        if missing_seconds(container, stream, ends) or len(set(stamps)) < len(stamps):
            return []
    stamps.sort()
    if not stamps or not keys or stamps[0] != min(keys):
        return []
    return _cut(stamps, sorted(keys))


def _cut(stamps: list[int], keys: list[int]) -> list[Segment]:
    places = {stamp: place for place, stamp in enumerate(stamps)}
    begins = [0]
    for key in keys:
        if places[key] - begins[-1] >= MIN_SEGMENT_FRAMES:
            begins.append(places[key])
    return [
        Segment(stamps=tuple(stamps[begin:end])) for begin, end in zip(begins, [*begins[1:], len(stamps)], strict=True)
    ]


class SegmentedDecoder:
    """Iterates once over the very frames and times that a ``FrameDecoder`` gives, decoded by several threads.

    Frames that lead a keyframe and need those before it are decoded with the segment before. Where a segment's frames
    are not those that its packets announce, the rest of the video is decoded in one piece.

    Args:
        path: the video.
        workers: segments that are decoded at the same time, each by one thread.
        allow_truncated: see ``FrameDecoder``.
    """

    def __init__(self, path: Path, *, workers: int, allow_truncated: bool) -> None:
        self.damage: str | None = None
        self._path = path
        self._workers = workers
        self._allow_truncated = allow_truncated

    def __iter__(self) -> Generator[tuple[Fraction, av.VideoFrame], None, None]:
        segments = plan_segments(self._path)
        given = 0
        if len(segments) > 1:
            try:
                for timed in self._in_parallel(segments):
                    given += 1
                    yield timed
                return
            except _NotAsAnnouncedError:
                pass
        with open_container(self._path) as container:
            decoder = FrameDecoder(container, self._path, allow_truncated=self._allow_truncated)
            try:
                for number, timed in enumerate(decoder):
                    if number >= given:
                        yield timed
            finally:
                self.damage = decoder.damage

    def _in_parallel(self, segments: list[Segment]) -> Iterator[tuple[Fraction, av.VideoFrame]]:
        stop = threading.Event()  # all segments at once
        waiting = iter(segments)
        running: deque[Prefetcher[tuple[Fraction, av.VideoFrame]]] = deque()

        def start_next() -> None:
            if (segment := next(waiting, None)) is not None:
                frames = _announced(self._path, segment)
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
        """How many frames of the size of this one a segment may hold."""
        size = sum(plane.buffer_size for plane in timed[1].planes)
        return max(1, WAITING_BYTES // self._workers // size)


class _NotAsAnnouncedError(Exception):
    """A segment whose frames are not those of its packets."""


def _announced(path: Path, segment: Segment) -> Iterator[tuple[Fraction, av.VideoFrame]]:
    """Frames of a segment. Raises _NotAsAnnouncedError for a file that cannot be read there too."""
    try:
        with open_container(path) as container:
            yield from _decode_segment(container, segment)
    except (av.FFmpegError, OSError) as error:
        raise _NotAsAnnouncedError(str(error)) from None


def _decode_segment(container: Container, segment: Segment) -> Iterator[tuple[Fraction, av.VideoFrame]]:
    stream = video_stream(container)
    stream.thread_type = "NONE"  # the segments are the threads
    stream.codec_context.thread_count = 1
    first, due = segment.stamps[0], iter(segment.stamps)
    container.seek(first, stream=stream)
    begun, left = False, len(segment.stamps)
    for packet in container.demux(stream):
        begun = begun or (packet.pts == first and packet.is_keyframe)
        if not begun:
            continue
        for frame in packet.decode():
            if frame.pts is not None and frame.pts < first:
                continue  # leads the keyframe, and belongs to the segment before
            if frame.is_corrupt or frame.pts != next(due):
                raise _NotAsAnnouncedError(f"a frame at {frame.pts}")
            yield frame.pts * Fraction(frame.time_base or stream.time_base), frame
            left -= 1
            if not left:
                return
    raise _NotAsAnnouncedError(f"{left} frames fewer")
