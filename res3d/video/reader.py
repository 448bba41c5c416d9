"""Reader of the frames of a video file with their exact times, in one pass and with bounded memory."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from res3d.video.container import FrameDecoder, declared_seconds, frame_rate, open_container, video_stream
from res3d.video.errors import VideoError
from res3d.video.orientation import Image, Matrix, display_matrix, is_transposed, orient
from res3d.video.pyav import Container, Stream
from res3d.video.segments import SegmentedDecoder

MIN_FPS = 1e-6  # one frame in eleven days
# Tolerance in seconds: the rounding error of floats such as 0.1 + 0.2, or k * 1001 / 30000, is smaller.
TOLERANCE = Fraction(1, 10**9)


@dataclass(frozen=True, kw_only=True, slots=True)
class TimedFrame:
    """One frame of a video, not yet converted to RGB."""

    index: int
    """Frame number in the file, from 0."""
    time: Fraction
    """Seconds from the presentation time of the first frame."""
    duration: Fraction
    """Seconds until the next frame; for the last frame, its declared duration, or else that of the previous frame."""
    decoded: av.VideoFrame
    orientation: Matrix
    """Display matrix that rotates the image upright; see ``orientation.display_matrix``."""

    @property
    def seconds(self) -> float:
        """``time`` as a float."""
        return float(self.time)

    @property
    def end_seconds(self) -> float:
        """Presentation time of the next frame in seconds."""
        return float(self.time + self.duration)

    def rgb(self) -> Image:
        """Return the upright image as uint8 [H, W, 3] RGB, converted with the frame's color matrix and range."""
        # One thread: starting several threads for each frame takes longer than the conversion.
        image = np.asarray(self.decoded.to_ndarray(format="rgb24", threads=1), np.uint8)
        return orient(image, self.orientation)


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoInfo:
    """Metadata of a file's video stream. Width and height are those of upright frames."""

    width: int
    height: int
    fps: float
    """Average frames per second."""
    num_frames: int | None
    """Declared number of frames, or one computed from the declared duration; None if the file declares neither."""
    codec: str
    """FFmpeg's name of the codec, such as "h264"."""
    pixel_format: str
    """FFmpeg's name of the pixel format, such as "yuv420p"."""


class VideoReader:
    """Iterable over the frames of a video file as (uint8 [H, W, 3] RGB, seconds).

    Seconds count from the presentation time of the first frame and strictly increase. Frames are sorted by presentation
    time, in whatever order the file stores them, and rotated as its metadata requires. Each iteration opens the file
    again, decodes it once from its beginning with several threads, and keeps only a few frames in memory.

    Args:
        path: a video file. Playlists, still pictures and text, which FFmpeg could open, are errors.
        start: seconds; frames before this time are skipped.
        end: seconds; frames at or after this time are skipped, so [start, end) is half open. None: read to the end.
        fps: resample to this rate. Output k is the frame with the largest time ≤ start + k / fps, with the time of that
            frame; frames may be repeated or skipped, but not interpolated. None: every frame.
        allow_truncated: continue if the file is damaged or ends early; ``damage`` then describes the damage.
        decoders: number of segments of the file, cut at keyframes, that are decoded at the same time, each in one
            thread. The frames are the same for any number. More than one is faster if the codec's threads leave cores
            idle; up to 256 MiB of decoded frames then wait in memory.
        threads: number of threads of a single decoder; None: one per CPU that the process may use.
        stream: index of the video stream, from 0, in a file of several; None: the one that FFmpeg prefers.

    Raises:
        FileNotFoundError: the file does not exist.
        VideoError: the file is not a video, or has no frame in [start, end).
        TruncatedVideoError: during iteration, at the latest after the last frame: the file is damaged or ends before
            its declared end. Damage after ``end`` raises no error. Formats that declare no duration, such as MPEG-TS,
            GIF and raw H.264, do not show that a file was cut between frames.
        ValueError: ``start``, ``end``, ``fps``, ``decoders``, ``threads`` or ``stream`` is out of range.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        start: float = 0.0,
        end: float | None = None,
        fps: float | None = None,
        allow_truncated: bool = False,
        decoders: int = 1,
        threads: int | None = None,
        stream: int | None = None,
    ) -> None:
        if not 0 <= start < float("inf"):
            raise ValueError(f"start must be ≥ 0 seconds, not {start!r}")
        if end is not None and not start < end:
            raise ValueError(f"end must be later than start ({start} s), not {end!r}")
        if fps is not None and not MIN_FPS <= fps < float("inf"):
            raise ValueError(f"fps must be ≥ {MIN_FPS}, not {fps!r}")
        if not isinstance(decoders, int) or decoders < 1:
            raise ValueError(f"decoders must be a whole number ≥ 1, not {decoders!r}")
        if threads is not None and (not isinstance(threads, int) or threads < 1):
            raise ValueError(f"threads must be a whole number ≥ 1, not {threads!r}")
        if stream is not None and (not isinstance(stream, int) or stream < 0):
            raise ValueError(f"stream must be a whole number ≥ 0, not {stream!r}")
        self.path = Path(path)
        self.stream = stream
        self.decoders = decoders
        self.threads = threads
        self.start = start
        self.end = None if end == float("inf") else end
        self.fps = fps
        self.allow_truncated = allow_truncated
        self.damage: str | None = None
        """Damage that the last iteration met."""
        self.notes: tuple[str, ...] = ()
        """What the last whole iteration noticed that may be meant or may be a loss: frames that an edit list leaves
        out, gaps in the times of a constant frame rate."""
        self.info = self._probe()

    def __iter__(self) -> Iterator[tuple[Image, float]]:
        for frame in self.frames():
            yield frame.rgb(), frame.seconds

    def frames(self) -> Iterator[TimedFrame]:
        """Yield the frames before their conversion to RGB, with frame numbers and durations."""
        is_empty = True
        for frame in self._within() if self.fps is None else self._resampled(self.fps):
            is_empty = False
            yield frame
        if is_empty:
            until = "the end" if self.end is None else f"{self.end} s"
            raise VideoError(f"{self.path}: no frame from {self.start} s to {until}")

    @property
    def num_frames(self) -> int | None:
        """Approximate number of frames of an iteration, for progress bars; None if the file does not declare it."""
        if self.info.num_frames is None:
            return None
        total = self.info.num_frames / self.info.fps
        seconds = max(0.0, min(total, total if self.end is None else self.end) - self.start)
        return round(seconds * (self.fps or self.info.fps))

    def _probe(self) -> VideoInfo:
        with open_container(self.path) as container:
            stream = self._video_stream(container)
            rate = frame_rate(stream)
            seconds = declared_seconds(container, stream)
            try:
                first = next(container.decode(stream), None)
            except av.FFmpegError:
                first = None
            if first is None:
                raise VideoError(f"{self.path}: no frame can be decoded")
            width, height = first.width, first.height
            # Read the side data of one frame only: in PyAV it and its frame refer to each other, so that the frame
            # stays in memory until the garbage collector runs.
            try:
                self._orientation = display_matrix(first)
            except VideoError as error:
                raise VideoError(f"{self.path}: {error}") from None
            if is_transposed(self._orientation):
                width, height = height, width
            return VideoInfo(
                width=width,
                height=height,
                fps=float(rate),
                num_frames=stream.frames or (round(seconds * rate) if seconds else None),
                codec=stream.codec_context.name,
                pixel_format=first.format.name,
            )

    def _within(self) -> Iterator[TimedFrame]:
        start, end = self._range()
        for frame in self._all_frames():
            if end is not None and frame.time >= end:
                return
            if frame.time >= start:
                yield frame

    def _resampled(self, fps: float) -> Iterator[TimedFrame]:
        target, end = self._range()
        target += 2 * TOLERANCE  # from just below start to just above, so that a frame at that very time is included
        step = 1 / Fraction(fps)
        for frame in self._all_frames():
            while target < frame.time + frame.duration:
                if end is not None and target >= end + TOLERANCE:
                    return
                yield frame
                target += step

    def _range(self) -> tuple[Fraction, Fraction | None]:
        """Return ``start`` and ``end`` minus the tolerance, so that frames at these times count as at or after them."""
        return Fraction(self.start) - TOLERANCE, None if self.end is None else Fraction(self.end) - TOLERANCE

    def _all_frames(self) -> Iterator[TimedFrame]:
        """Yield every frame in presentation order, with strictly increasing times from 0."""
        self.damage, self.notes = None, ()
        with open_container(self.path) as container:
            decoder = self._decoder(container)
            gap = 1 / frame_rate(self._video_stream(container))
            frame: TimedFrame | None = None  # delayed until the next frame determines its duration
            origin = previous_stamp = Fraction(0)
            try:
                for stamp, decoded in decoder:
                    tick = Fraction(decoded.time_base or Fraction(1, 1000))
                    if frame is None:
                        origin = stamp
                        frame = self._frame(0, Fraction(0), gap, decoded)
                    else:
                        self._check_continuity(frame, decoded, stamp - previous_stamp)
                        # If two frames have the same timestamp, the second one gets a time one tick later.
                        time = max(stamp - origin, frame.time + tick)
                        gap = time - frame.time
                        yield replace(frame, duration=gap)
                        frame = self._frame(frame.index + 1, time, gap, decoded)
                    previous_stamp = stamp
            finally:
                self.damage, self.notes = decoder.damage, tuple(decoder.notes)  # also if the caller stops early
            if frame is None:
                raise VideoError(f"{self.path}: no frame can be decoded")
            last_duration = Fraction(frame.decoded.duration or 0) * Fraction(frame.decoded.time_base or 0) or gap
            yield replace(frame, duration=last_duration)

    def _decoder(self, container: Container) -> FrameDecoder | SegmentedDecoder:
        if self.decoders == 1:
            return FrameDecoder(
                container,
                self.path,
                allow_truncated=self.allow_truncated,
                threads=self.threads,
                number=self.stream,
            )
        return SegmentedDecoder(
            self.path, workers=self.decoders, allow_truncated=self.allow_truncated, number=self.stream
        )

    def _video_stream(self, container: Container) -> Stream:
        try:
            return video_stream(container, self.stream)
        except VideoError as error:
            raise VideoError(f"{self.path}: {error}") from None

    def _frame(self, index: int, time: Fraction, duration: Fraction, decoded: av.VideoFrame) -> TimedFrame:
        return TimedFrame(index=index, time=time, duration=duration, decoded=decoded, orientation=self._orientation)

    def _check_continuity(self, previous: TimedFrame, decoded: av.VideoFrame, elapsed: Fraction) -> None:
        """Raise VideoError if the timestamp decreases or the frame size changes after the previous frame."""
        old, new = previous.decoded, decoded
        if elapsed < 0:
            raise VideoError(
                f"{self.path}: timestamps jump back by {-float(elapsed):.3f} s after {previous.seconds:.3f} s"
            )
        if (old.width, old.height) != (new.width, new.height):
            sizes = f"{old.width}×{old.height} to {new.width}×{new.height}"
            raise VideoError(f"{self.path}: the frame size changes from {sizes} after {previous.seconds:.3f} s")
