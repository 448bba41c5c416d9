"""Frames of a video file with their true times, in one pass and bounded memory."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from res3d.video.container import FrameDecoder, declared_seconds, frame_rate, open_container, video_stream
from res3d.video.errors import VideoError
from res3d.video.orientation import Image, Matrix, display_matrix, is_transposed, orient
from res3d.video.pyav import Container
from res3d.video.segments import SegmentedDecoder

MIN_FPS = 1e-6  # one frame in eleven days
SLACK = Fraction(
    1, 10**9
)  # seconds: floats like 0.1 + 0.2, or 30000 / 1001 times k, miss the instant they mean by less


@dataclass(frozen=True, kw_only=True, slots=True)
class TimedFrame:
    """One frame of a video, not yet converted to RGB."""

    index: int  # source frames from 0
    time: Fraction  # seconds from the first frame's presentation
    duration: Fraction  # seconds until the next frame; the last frame's own
    decoded: av.VideoFrame
    orientation: Matrix  # how the picture is turned to be upright

    @property
    def seconds(self) -> float:
        return float(self.time)

    @property
    def end_seconds(self) -> float:
        return float(self.time + self.duration)

    def rgb(self) -> Image:
        """The picture as uint8 [H, W, 3] RGB, upright, by the frame's own colour matrix and range."""
        # One thread: starting several for each frame takes longer than the conversion.
        image = np.asarray(self.decoded.to_ndarray(format="rgb24", threads=1), np.uint8)
        return orient(image, self.orientation)


@dataclass(frozen=True, kw_only=True, slots=True)
class VideoInfo:
    """What a file says of its video stream. Sizes are of upright frames."""

    width: int
    height: int
    fps: float  # average
    num_frames: int | None  # declared, or worked out from the declared length; None where the file states neither
    codec: str
    pixel_format: str


class VideoReader:
    """Iterates over (uint8 [H, W, 3] RGB, seconds) of a video file.

    Seconds count from the first frame's presentation time and strictly increase. Frames come in presentation order
    whatever order the file keeps them or their timestamps in; rotation metadata is honoured. Each iteration opens the
    file anew, decodes it once from its beginning, in threads, and holds a few frames at a time.

    Args:
        path: a video file. Playlists, still pictures and text, which FFmpeg would open too, are refused.
        start: seconds; frames before it are left out.
        end: seconds; frames from it on are left out: [start, end) is half open. None reads to the end.
        fps: resample to this rate: output k is the frame with the largest time ≤ start + k / fps, and that frame's own
            time is given, so frames are repeated or left out and none are made. None gives every frame.
        allow_truncated: keep the frames of a file that ends or breaks early; ``damage`` then says what was found.
        decoders: more than one decodes so many segments of the file at the same time, cut at keyframes, each in one
            thread: the same frames, sooner where the codec's own threads leave cores idle. Up to 256 MiB of frames wait
            for their turn.
        threads: of a single decoder; None for as many as there are CPUs that the process may use.

    Raises:
        FileNotFoundError: no such file.
        VideoError: not a video, or no frame in [start, end).
        TruncatedVideoError: while iterating: a file that ends or breaks before the end it declares, raised when that
            shows, at the latest after the last frame. A range that ends before the break does not meet it. Formats that
            declare no length, such as MPEG-TS, GIF and raw H.264, cannot show a clean cut.
        ValueError: ``start``, ``end``, ``fps``, ``decoders`` or ``threads`` out of range.
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
        self.path = Path(path)
        self.decoders = decoders
        self.threads = threads
        self.start = start
        self.end = None if end == float("inf") else end
        self.fps = fps
        self.allow_truncated = allow_truncated
        self.damage: str | None = None  # what the last pass found broken
        self.info = self._probe()

    def __iter__(self) -> Iterator[tuple[Image, float]]:
        for frame in self.frames():
            yield frame.rgb(), frame.seconds

    def frames(self) -> Iterator[TimedFrame]:
        """The same frames before their conversion to RGB, with source frame numbers and durations."""
        empty = True
        for frame in self._within() if self.fps is None else self._resampled(self.fps):
            empty = False
            yield frame
        if empty:
            until = "the end" if self.end is None else f"{self.end} s"
            raise VideoError(f"{self.path}: no frame from {self.start} s to {until}")

    @property
    def num_frames(self) -> int | None:
        """About how many frames an iteration gives, if the file says enough to tell: good for progress bars."""
        if self.info.num_frames is None:
            return None
        total = self.info.num_frames / self.info.fps
        seconds = max(0.0, min(total, total if self.end is None else self.end) - self.start)
        return round(seconds * (self.fps or self.info.fps))

    def _probe(self) -> VideoInfo:
        with open_container(self.path) as container:
            stream = video_stream(container)
            rate = frame_rate(stream)
            seconds = declared_seconds(container, stream)
            try:
                first = next(container.decode(stream), None)
            except av.FFmpegError:
                first = None
            if first is None:
                raise VideoError(f"{self.path}: not one frame can be decoded")
            width, height = first.width, first.height
            # Asked of one frame only: PyAV's side data and its frame refer to each other, so that every frame it is
            # asked of lives on until the garbage collector's next round.
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
        target += 2 * SLACK  # from just below start to just above it: a frame at the very instant is shown
        step = 1 / Fraction(fps)
        for frame in self._all_frames():
            while target < frame.time + frame.duration:
                if end is not None and target >= end + SLACK:
                    return
                yield frame
                target += step

    def _range(self) -> tuple[Fraction, Fraction | None]:
        """``start`` and ``end`` as fractions, a nanosecond early: what falls on them is at them or after."""
        return Fraction(self.start) - SLACK, None if self.end is None else Fraction(self.end) - SLACK

    def _all_frames(self) -> Iterator[TimedFrame]:
        """Every frame in presentation order, from time 0, with strictly increasing times."""
        self.damage = None
        with open_container(self.path) as container:
            decoder = self._decoder(container)
            gap = 1 / frame_rate(video_stream(container))
            frame: TimedFrame | None = None  # held until the next one's time is known
            origin = stamp_before = Fraction(0)
            try:
                for stamp, decoded in decoder:
                    tick = Fraction(decoded.time_base or Fraction(1, 1000))
                    if frame is None:
                        origin = stamp
                        frame = self._frame(0, Fraction(0), gap, decoded)
                    else:
                        self._check_continuity(frame, decoded, stamp - stamp_before)
                        # Two frames at one instant: times that strictly increase put the second a tick later.
                        time = max(stamp - origin, frame.time + tick)
                        gap = time - frame.time
                        yield replace(frame, duration=gap)
                        frame = self._frame(frame.index + 1, time, gap, decoded)
                    stamp_before = stamp
            finally:
                self.damage = decoder.damage  # also where the caller stops early
            if frame is None:
                raise VideoError(f"{self.path}: not one frame can be decoded")
            last = Fraction(frame.decoded.duration or 0) * Fraction(frame.decoded.time_base or 0) or gap
            yield replace(frame, duration=last)

    def _decoder(self, container: Container) -> FrameDecoder | SegmentedDecoder:
        if self.decoders == 1:
            return FrameDecoder(container, self.path, allow_truncated=self.allow_truncated, threads=self.threads)
        return SegmentedDecoder(self.path, workers=self.decoders, allow_truncated=self.allow_truncated)

    def _frame(self, index: int, time: Fraction, duration: Fraction, decoded: av.VideoFrame) -> TimedFrame:
        return TimedFrame(index=index, time=time, duration=duration, decoded=decoded, orientation=self._orientation)

    def _check_continuity(self, before: TimedFrame, decoded: av.VideoFrame, elapsed: Fraction) -> None:
        old, new = before.decoded, decoded
        if elapsed < 0:
            raise VideoError(
                f"{self.path}: timestamps jump back by {-float(elapsed):.3f} s after {before.seconds:.3f} s"
            )
        if (old.width, old.height) != (new.width, new.height):
            sizes = f"{old.width}×{old.height} to {new.width}×{new.height}"
            raise VideoError(f"{self.path}: the frame size changes from {sizes} after {before.seconds:.3f} s")
