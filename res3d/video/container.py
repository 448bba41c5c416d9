"""Opening and decoding of a video file: declared properties, frames in presentation order, detection of damage."""

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

REORDER_FRAMES = 16  # by how many frames a timestamp may be out of order: the maximum of H.264
RAW_RATE = Fraction(25)  # frames per second of raw streams that declare no rate; also FFmpeg's default
NOT_VIDEOS = {"tty": "text", "hls": "a playlist", "dash": "a playlist", "concat": "a playlist", "sdp": "a playlist"}


def open_container(path: Path) -> Container:
    """Open a video file.

    Raises:
        FileNotFoundError: the file does not exist.
        VideoError: the path is not a file, or the file cannot be read or has no video stream.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    if not path.is_file():
        raise VideoError(f"{path}: not a file")
    if path.stat().st_size == 0:
        raise VideoError(f"{path}: the file is empty")
    try:
        # "file:" and the whitelist prevent FFmpeg from treating the name, or names inside the file, as protocols.
        opened = av.open(f"file:{path}", options={"protocol_whitelist": "file"})
    except (av.FFmpegError, OSError, ValueError) as error:
        raise VideoError(f"{path}: cannot be read as a video ({error_text(error)})") from None
    container = cast("Container", opened)
    name = container.format.name
    content = NOT_VIDEOS.get(name) or ("a still picture" if name.endswith("_pipe") or name == "image2" else None)
    if content is None and not _video_streams(container):
        kinds = sorted({str(stream.type) for stream in container.streams})
        content = f"only {', '.join(kinds)}" if kinds else "nothing"
    if content is not None:
        container.close()
        raise VideoError(f"{path}: holds {content}, no video")
    return container


def video_stream(container: Container) -> Stream:
    """Return the file's first video stream, the one that is read."""
    return _video_streams(container)[0]


def _video_streams(container: Container) -> list[Stream]:
    """Return the video streams, without cover art, a still picture that music files contain."""
    return [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]


def frame_rate(stream: Stream) -> Fraction:
    """Return the average frames per second."""
    return Fraction(stream.average_rate or stream.guessed_rate or RAW_RATE)


def declared_seconds(container: Container, stream: Stream) -> Fraction | None:
    """Return the duration that the file declares for the stream, or else for the whole file; None if for neither."""
    if stream.duration is not None:
        return Fraction(stream.duration * stream.time_base)
    return None if container.duration is None else Fraction(container.duration, av.time_base)


def error_text(error: Exception) -> str:
    """Return the text of an FFmpeg or system error without number and path."""
    return str(getattr(error, "strerror", None) or error)


class FrameDecoder:
    """Iterator over (timestamp in seconds, decoded frame) in presentation order. It can be iterated once.

    Args:
        container: the file, from ``open_container``.
        path: path of the file, for error messages.
        allow_truncated: continue after damage; ``damage`` then describes it.
        threads: number of decoder threads; None for one per available CPU.

    Raises:
        TruncatedVideoError: during iteration, unless allowed: a packet cannot be decoded, a frame is incomplete, or the
            video ends before its declared end.
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
        """Yield frames with their timestamps in presentation order.

        A codec that reorders (H.264, MPEG-4) outputs frames in presentation order. If the timestamps are not in order
        although the frames are (AVI stores no timestamps), only the timestamps are sorted. Other codecs output frames
        in the file's order, so frames are sorted together with their timestamps.
        """
        times: list[tuple[Fraction, int]] = []
        buffer: dict[int, av.VideoFrame] = {}
        decode_order: deque[int] = deque()
        reorders = bool(self._stream.codec_context.codec.reorder)

        def pop() -> tuple[Fraction, av.VideoFrame]:
            seconds, number = heapq.heappop(times)
            oldest = decode_order.popleft()
            return seconds, buffer.pop(oldest if reorders else number)

        for number, (seconds, frame) in enumerate(self._decode()):
            heapq.heappush(times, (seconds, number))
            buffer[number] = frame
            decode_order.append(number)
            if len(times) > REORDER_FRAMES:
                yield pop()
        while times:
            yield pop()

    def _decode(self) -> Iterator[tuple[Fraction, av.VideoFrame]]:
        """Yield frames in the decoder's order, each with the timestamp from the container."""
        stream = self._stream
        default_duration = 1 / frame_rate(stream)
        next_seconds = Fraction(0)  # timestamp of the next frame, for streams without timestamps
        ends: dict[int, Fraction] = {}  # stream index -> end of its last packet in seconds
        packets, last_corrupt = 0, False
        try:
            for packet in self._container.demux(timed_streams(self._container)):
                update_end(packet, ends, default_duration)
                if packet.stream is not stream:
                    continue
                if packet.size:
                    packets, last_corrupt = packets + 1, bool(packet.is_corrupt)
                try:
                    frames = packet.decode()
                except av.FFmpegError as error:
                    self._record_damage(f"packet {packets} cannot be decoded ({error_text(error)})")
                    continue
                for frame in frames:
                    if frame.is_corrupt:
                        self._record_damage(f"the frame from packet {packets} is incomplete")
                    base = Fraction(frame.time_base or stream.time_base)
                    seconds = next_seconds if frame.pts is None else frame.pts * base
                    next_seconds = seconds + ((frame.duration or 0) * base or default_duration)
                    yield seconds, frame
        except av.FFmpegError as error:
            self._record_damage(f"reading stops after packet {packets} ({error_text(error)})")
        if last_corrupt:
            self._record_damage(f"packet {packets}, the last, is incomplete")
        if missing := missing_seconds(self._container, stream, ends):
            self._record_damage(f"the video ends {float(missing):.2f} s before its declared end")

    def _record_damage(self, damage: str) -> None:
        """Store the first damage in ``damage``; raise TruncatedVideoError unless damage is allowed."""
        self.damage = self.damage or damage
        if not self._allow_truncated:
            raise TruncatedVideoError(f"{self._path}: truncated or damaged: {damage}")


def timed_streams(container: Container) -> list[Stream]:
    """Return the streams that count for the duration of a container."""
    return [stream for stream in container.streams if stream.type in ("video", "audio", "subtitle")]


def update_end(packet: Packet, ends: dict[int, Fraction], default_duration: Fraction) -> None:
    """Extend the end of a packet's stream to the end of the packet.

    Args:
        packet: the packet; nothing changes if it has no timestamp.
        ends: end of each stream in seconds by stream index; updated in place.
        default_duration: seconds that a packet lasts if it declares no duration.
    """
    stamp = packet.pts if packet.pts is not None else packet.dts
    if stamp is not None and packet.time_base:
        base = Fraction(packet.time_base)
        end = stamp * base + ((packet.duration or 0) * base or default_duration)
        ends[packet.stream.index] = max(end, ends.get(packet.stream.index, end))


def missing_seconds(container: Container, stream: Stream, ends: dict[int, Fraction]) -> Fraction:
    """Return by how many seconds a file ends before its declared end; 0 for up to three quarters of a frame.

    Args:
        container: the file.
        stream: its video stream.
        ends: end of each stream in seconds by stream index, from ``update_end``.
    """
    rate = frame_rate(stream)
    declared = declared_seconds(container, stream)
    short = Fraction(0)
    if declared is not None and ends:
        if stream.duration is not None and container.format.name != "asf":
            begin = (stream.start_time or 0) * stream.time_base
            short = begin + declared - ends.get(stream.index, begin)
        else:  # Matroska, FLV and ASF declare the end of the longest stream, counted from 0
            short = declared - max(ends.values())
    if container.format.name == "avi":
        # FFmpeg computes the duration of an AVI from the size of the (cut) file; the number of frames is as declared.
        short = max(short, stream.frames / rate - ends.get(stream.index, Fraction(0)))
    return short if short > Fraction(3, 4) / rate else Fraction(0)
