"""Opening and decoding of a video file: declared properties, frames in presentation order, detection of damage."""

import heapq
from collections import Counter, deque
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
READ_ERRORS = (av.FFmpegError, IndexError)
"""Errors while packets are read; PyAV raises IndexError if a damaged FLV file adds a stream."""
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


def video_stream(container: Container, number: int | None = None) -> Stream:
    """Return one of the video streams of a file.

    Args:
        container: the file.
        number: index among its video streams, from 0; None: the one that FFmpeg prefers (``av_find_best_stream``:
            by disposition, then bit rate where the file states it).

    Raises:
        VideoError: there is no such stream.
    """
    streams = _video_streams(container)
    if number is None:
        best = container.streams.best("video")
        return best if best in streams else streams[0]
    if number >= len(streams):
        raise VideoError(f"no video stream {number}: the file has {len(streams)}, counted from 0")
    return streams[number]


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
        number: index of the video stream; see ``video_stream``.

    Raises:
        TruncatedVideoError: during iteration, unless allowed: a packet cannot be decoded, a frame is incomplete, or the
            video ends before its declared end.
    """

    def __init__(
        self,
        container: Container,
        path: Path,
        *,
        allow_truncated: bool,
        threads: int | None = None,
        number: int | None = None,
    ) -> None:
        self.damage: str | None = None
        self.notes: list[str] = []
        """After iteration: what may be meant, or may be a loss."""
        self._container = container
        self._stream = video_stream(container, number)
        self._stream.thread_type = "AUTO"
        self._stream.codec_context.thread_count = decoder_threads(threads)
        self._gaps = GapFinder(container, self._stream)
        self._account = FrameAccount(self._stream.codec_context.name)
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
            if missing := self._gaps.add_frame(seconds):
                self._record_damage(f"{missing} frames are missing before the one at {float(seconds):.2f} s")
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
        self._add_notes()

    def _add_notes(self) -> None:
        """Note what may be meant and may be a loss: frames that the file leaves out or that its times lack."""
        declared = self._stream.frames
        if self._container.format.name.startswith("mov") and (left_out := declared - self._account.num_samples) > 0:
            self.notes.append(f"the edit list leaves out {left_out} of {declared} frames")
        if self._gaps.num_missing and self._gaps.is_regular:
            self.notes.append(f"the times of frames have gaps of {self._gaps.num_missing} frames")

    def _decode(self) -> Iterator[tuple[Fraction, av.VideoFrame]]:
        """Yield frames in the decoder's order, each with the timestamp from the container."""
        stream = self._stream
        default_duration = 1 / frame_rate(stream)
        next_seconds = Fraction(0)  # timestamp of the next frame, for streams without timestamps
        ends: dict[int, Fraction] = {}  # stream index -> end of its last packet in seconds
        account = self._account
        packets, last_corrupt = 0, False
        try:
            for packet in self._container.demux(timed_streams(self._container)):
                update_end(packet, ends, default_duration)
                self._gaps.add_packet(packet)
                if packet.stream is not stream:
                    continue
                if packet.size:
                    packets, last_corrupt = packets + 1, bool(packet.is_corrupt)
                account.add_packet(packet)
                try:
                    frames = packet.decode()
                except av.FFmpegError as error:
                    self._record_damage(f"packet {packets} cannot be decoded ({error_text(error)})")
                    continue
                for frame in frames:
                    account.add_frame(frame.pts)
                    if frame.is_corrupt:
                        self._record_damage(f"the frame from packet {packets} is incomplete")
                    base = Fraction(frame.time_base or stream.time_base)
                    seconds = next_seconds if frame.pts is None else frame.pts * base
                    next_seconds = seconds + ((frame.duration or 0) * base or default_duration)
                    yield seconds, frame
        except READ_ERRORS as error:
            self._record_damage(f"reading stops after packet {packets} ({error_text(error)})")
        if last_corrupt:
            self._record_damage(f"packet {packets}, the last, is incomplete")
        if num_lost := account.num_lost:
            self._record_damage(f"{num_lost} frames cannot be decoded")
        if missing := missing_seconds(self._container, stream, ends):
            self._record_damage(f"the video ends {float(missing):.2f} s before its declared end")

    def _record_damage(self, damage: str) -> None:
        """Store the first damage in ``damage``; raise TruncatedVideoError unless damage is allowed."""
        self.damage = self.damage or damage
        if not self._allow_truncated:
            raise TruncatedVideoError(f"{self._path}: truncated or damaged: {damage}")


class FrameAccount:
    """Compares the frames that a decoder outputs with the packets that it was given, one frame per packet.

    A decoder with several threads drops errors of the last packets: their frames are missing without an exception.
    Packets without a frame of their own do not count: those that an edit list discards, frames that are never shown
    (VP8, VP9), and those before the first keyframe or the first frame, which no decoder can decode.

    Args:
        codec: FFmpeg's name of the codec.
    """

    def __init__(self, codec: str) -> None:
        self.num_samples = 0
        """Packets that are presented, decodable or not."""
        self.num_packets = 0
        self.has_begun = False
        """Whether the first keyframe was reached."""
        self._codec = codec
        self._stamps: Counter[int] = Counter()  # timestamps of packets without a frame so far
        self._optional: set[int] = set()  # timestamps of packets that do not count
        self._num_frames = 0
        self._num_unexpected = 0  # frames whose timestamp is not that of a packet
        self._has_stamps = True
        self._first: int | None = None

    def add_packet(self, packet: Packet) -> None:
        """Expect the frame of a packet of the video stream."""
        if not packet.size:
            return
        self.num_samples += not packet.is_discard
        self.has_begun = self.has_begun or bool(packet.is_keyframe)
        if not self.has_begun or packet.is_discard or _is_hidden(self._codec, packet):
            if packet.pts is not None:
                self._optional.add(packet.pts)
            return
        self.num_packets += 1
        if packet.pts is None:
            self._has_stamps = False
        else:
            self._stamps[packet.pts] += 1

    def add_frame(self, stamp: int | None) -> None:
        """Count a frame, by its timestamp in units of the stream's time base."""
        self._num_frames += 1
        if stamp is None:
            self._has_stamps = False
        else:
            self._first = stamp if self._first is None else min(self._first, stamp)
            if self._stamps[stamp] > 0:
                self._stamps[stamp] -= 1
            elif stamp not in self._optional:
                self._num_unexpected += 1

    @property
    def num_lost(self) -> int:
        """Number of packets whose frame is missing, once the decoder is drained."""
        if not self._has_stamps:
            return max(0, self.num_packets - self._num_frames)
        first = self._first
        waiting = sum(count for stamp, count in self._stamps.items() if first is None or stamp >= first)
        return max(0, waiting - self._num_unexpected)


def _is_hidden(codec: str, packet: Packet) -> bool:
    """Return whether a packet holds no frame that is shown, by the first byte of its bitstream.

    VP8 (RFC 6386, 9.1) and VP9 (bitstream specification, 6.2; superframes contain a shown frame) have a bit for it. In
    MPEG-4, a packet of a few bytes is a frame that was not coded, or that the packet before it contains.
    """
    if codec == "vp8":
        return not memoryview(packet)[0] & 0x10
    if codec == "vp9":
        data = memoryview(packet)
        is_superframe = data[-1] >> 5 == 0b110
        return not is_superframe and data[0] >> 4 != 0b1011 and not data[0] & 0b1010
    return codec == "mpeg4" and packet.size < 20


class GapFinder:
    """Finds frames that are missing in the middle of a video although no packet and no frame is damaged.

    Formats without a table of their samples are read on from the next intact position after damage, without an error.
    Bytes between packets that belong to none, or packets of MPEG-TS that FFmpeg marks because of their continuity
    counter, are a suspicion; a gap in the times of frames beside it confirms it. Each alone is normal: videos have
    variable frame rates, and joined streams restart their counters.

    Args:
        container: the file.
        stream: its video stream.
    """

    FORMATS = ("matroska,webm", "flv", "asf", "mpegts")
    OVERHEAD = 64
    """Bytes between two packets that headers may take."""
    NEAR = Fraction(1)
    """Seconds from a suspicious packet to the gap that it explains."""

    def __init__(self, container: Container, stream: Stream) -> None:
        self.num_missing = 0
        """Frames missing in gaps of a constant frame rate, for which nothing but their times speaks."""
        self._rate = frame_rate(stream)
        self._stream = stream
        self._is_active = container.format.name in self.FORMATS
        self._has_positions = container.format.name != "mpegts"  # where headers are inside packets
        self._end: int | None = None  # position behind the last packet of any stream
        self._suspicious: list[Fraction] = []  # times of packets
        self._last: Fraction | None = None
        self._num_regular = self._num_gaps = 0

    def add_packet(self, packet: Packet) -> None:
        """Note a packet of any stream, in the order of the file."""
        if not self._is_active or not packet.size:
            return
        is_skipped = False
        if self._has_positions and packet.pos is not None and packet.pos >= 0:
            is_skipped = self._end is not None and packet.pos - self._end > self.OVERHEAD
            self._end = packet.pos + packet.size
        stamp = packet.dts if packet.pts is None else packet.pts
        if (is_skipped or packet.is_corrupt) and stamp is not None and packet.time_base:
            self._suspicious.append(stamp * Fraction(packet.time_base))

    def add_frame(self, seconds: Fraction) -> int:
        """Return how many frames are missing before a frame, in presentation order, where a suspicion explains it."""
        last, self._last = self._last, seconds
        if last is None:
            return 0
        elapsed = (seconds - last) * self._rate
        self._num_regular += abs(elapsed - 1) < Fraction(1, 10)
        if elapsed < Fraction(3, 2):
            return 0
        missing = round(elapsed) - 1
        if any(last - self.NEAR <= time <= seconds + self.NEAR for time in self._suspicious):
            return missing
        self._num_gaps += 1
        self.num_missing += missing
        return 0

    @property
    def is_regular(self) -> bool:
        """True if the frame rate is constant apart from a few gaps."""
        return self._num_regular > 20 * self._num_gaps


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
