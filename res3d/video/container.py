"""A video file opened and decoded: what it declares, its frames in presentation order, and where it is broken."""

import heapq
from collections import deque
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import cast

import av

from res3d.threads import decoder_threads
from res3d.video.errors import TruncatedVideoError, VideoError
from res3d.video.pyav import Container, Packet, Stream

REORDER_FRAMES = 16  # how far a timestamp may be out of place: the most that H.264 allows
RAW_RATE = Fraction(25)  # frames per second where a raw stream states none, as FFmpeg assumes
NOT_VIDEOS = {"tty": "text", "hls": "a playlist", "dash": "a playlist", "concat": "a playlist", "sdp": "a playlist"}


def open_container(path: Path) -> Container:
    """The file at ``path``, which has a stream of moving pictures.

    Raises:
        FileNotFoundError: no such file.
        VideoError: anything else that is no video.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    if not path.is_file():
        raise VideoError(f"{path}: not a file")
    if path.stat().st_size == 0:
        raise VideoError(f"{path}: the file is empty")
    try:
        # "file:" and the whitelist keep the name, and what the file may refer to, from being taken for a protocol.
        opened = av.open(f"file:{path}", options={"protocol_whitelist": "file"})
    except (av.FFmpegError, OSError, ValueError) as error:
        raise VideoError(f"{path}: not a video that can be read ({reason(error)})") from None
    container = cast("Container", opened)
    name = container.format.name
    what = NOT_VIDEOS.get(name) or ("a still picture" if name.endswith("_pipe") or name == "image2" else None)
    if what is None and not _video_streams(container):
        kinds = sorted({str(stream.type) for stream in container.streams})
        what = f"only {', '.join(kinds)}" if kinds else "nothing"
    if what is not None:
        container.close()
        raise VideoError(f"{path}: holds {what}, no video")
    return container


def video_stream(container: Container) -> Stream:
    """The stream of moving pictures that is read: the file's first."""
    return _video_streams(container)[0]


def _video_streams(container: Container) -> list[Stream]:
    """Streams of moving pictures; cover art, a still picture attached to music, is none."""
    return [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]


def frame_rate(stream: Stream) -> Fraction:
    """Average frames per second."""
    return Fraction(stream.average_rate or stream.guessed_rate or RAW_RATE)


def declared_seconds(container: Container, stream: Stream) -> Fraction | None:
    """The length that the file states for the stream or, failing that, for all of them together."""
    if stream.duration is not None:
        return Fraction(stream.duration * stream.time_base)
    return None if container.duration is None else Fraction(container.duration, av.time_base)


def reason(error: Exception) -> str:
    """FFmpeg's words for an error, without number and path."""
    return str(getattr(error, "strerror", None) or error)


class FrameDecoder:
    """Iterates once over (seconds on the file's clock, decoded frame) in presentation order.

    Args:
        container, path: from ``open_container``; the path is for errors.
        allow_truncated: go on after damage, which ``damage`` then describes.
        threads: of the decoder; None for as many as there are CPUs.

    Raises:
        TruncatedVideoError: while iterating, unless allowed: a packet that cannot be decoded, an incomplete frame, or
            an end before the declared one.
    """

    def __init__(self, container: Container, path: Path, *, allow_truncated: bool, threads: int | None = None) -> None:
        self.damage: str | None = None
        self._container = container
        self._stream = video_stream(container)
        self._stream.thread_type = "AUTO"
        self._stream.codec_context.thread_count = decoder_threads(threads)
        self._path = path
        self._allow_truncated = allow_truncated

    def __iter__(self) -> Iterator[tuple[Fraction, av.VideoFrame]]:
        """Frames and times in presentation order.

        A codec that reorders (H.264, MPEG-4) decodes into presentation order by itself; if timestamps are out of order
        all the same (AVI has none of its own), they are wrong about the frames and are sorted alone. Frames of other
        codecs come in the file's order, and are sorted along with their timestamps.
        """
        times: list[tuple[Fraction, int]] = []
        waiting: dict[int, av.VideoFrame] = {}
        arrival: deque[int] = deque()
        reorders = bool(self._stream.codec_context.codec.reorder)

        def pop() -> tuple[Fraction, av.VideoFrame]:
            seconds, number = heapq.heappop(times)
            oldest = arrival.popleft()
            return seconds, waiting.pop(oldest if reorders else number)

        for number, (seconds, frame) in enumerate(self._decode()):
            heapq.heappush(times, (seconds, number))
            waiting[number] = frame
            arrival.append(number)
            if len(times) > REORDER_FRAMES:
                yield pop()
        while times:
            yield pop()

    def _decode(self) -> Iterator[tuple[Fraction, av.VideoFrame]]:
        """Frames in the decoder's order, each with the time its container gives it."""
        stream = self._stream
        usual = 1 / frame_rate(stream)
        following = Fraction(0)  # when the next frame is due, for streams without timestamps
        ends: dict[int, Fraction] = {}  # stream number -> end of its last packet, seconds
        packets, last_corrupt = 0, False
        try:
            for packet in self._container.demux(timed_streams(self._container)):
                note_end(packet, ends, usual)
                if packet.stream is not stream:
                    continue
                if packet.size:
                    packets, last_corrupt = packets + 1, bool(packet.is_corrupt)
                try:
                    frames = packet.decode()
                except av.FFmpegError as error:
                    self._note(f"packet {packets} cannot be decoded ({reason(error)})")
                    continue
                for frame in frames:
                    if frame.is_corrupt:
                        self._note(f"the frame from packet {packets} is incomplete")
                    base = Fraction(frame.time_base or stream.time_base)
                    seconds = following if frame.pts is None else frame.pts * base
                    following = seconds + ((frame.duration or 0) * base or usual)
                    yield seconds, frame
        except av.FFmpegError as error:
            self._note(f"reading breaks off after packet {packets} ({reason(error)})")
        if last_corrupt:
            self._note(f"packet {packets}, the last, is incomplete")
        if missing := missing_seconds(self._container, stream, ends):
            self._note(f"it ends {float(missing):.2f} s before the end it declares")

    def _note(self, what: str) -> None:
        self.damage = self.damage or what
        if not self._allow_truncated:
            raise TruncatedVideoError(f"{self._path}: truncated or damaged: {what}")


def timed_streams(container: Container) -> list[Stream]:
    """Those that a container's length is of."""
    return [stream for stream in container.streams if stream.type in ("video", "audio", "subtitle")]


def note_end(packet: Packet, ends: dict[int, Fraction], usual: Fraction) -> None:
    """Extend a stream's end to that of ``packet``, which lasts ``usual`` seconds if it does not say."""
    stamp = packet.pts if packet.pts is not None else packet.dts
    if stamp is not None and packet.time_base:
        base = Fraction(packet.time_base)
        end = stamp * base + ((packet.duration or 0) * base or usual)
        ends[packet.stream.index] = max(end, ends.get(packet.stream.index, end))


def missing_seconds(container: Container, stream: Stream, ends: dict[int, Fraction]) -> Fraction:
    """How much earlier than declared the file ended; less than three quarters of a frame is rounding, counted as 0."""
    rate = frame_rate(stream)
    declared = declared_seconds(container, stream)
    short = Fraction(0)
    if declared is not None and ends:
        if stream.duration is not None and container.format.name != "asf":
            begin = (stream.start_time or 0) * stream.time_base
            short = begin + declared - ends.get(stream.index, begin)
        else:  # Matroska, FLV and ASF: the end of the longest stream, counted from zero
            short = declared - max(ends.values())
    if container.format.name == "avi":
        # What FFmpeg calls an AVI's duration is worked out from what is left of the file; its count of frames is not.
        short = max(short, stream.frames / rate - ends.get(stream.index, Fraction(0)))
    return short if short > Fraction(3, 4) / rate else Fraction(0)
