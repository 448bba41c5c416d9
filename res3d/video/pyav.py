"""Protocols of PyAV's containers, streams and packets, with the attributes that this package uses.

They replace PyAV's stubs, which declare the time base of a stream as optional.
"""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from types import TracebackType
from typing import Protocol

import av


class Format(Protocol):
    """Format of a container."""

    name: str
    """FFmpeg's names of the format, separated by commas."""


class Codec(Protocol):
    """A codec."""

    reorder: bool
    """True if frames are decoded in another order than they are presented."""


class CodecContext(Protocol):
    """The decoder of a stream."""

    name: str
    codec: Codec
    thread_count: int


class Stream(Protocol):
    """A stream; times are in units of ``time_base`` seconds."""

    index: int
    type: str
    disposition: int
    codec_context: CodecContext
    thread_type: str
    time_base: Fraction
    average_rate: Fraction | None
    guessed_rate: Fraction | None
    start_time: int | None
    duration: int | None
    frames: int
    width: int
    height: int


class Packet(Protocol):
    """A packet of a stream; times are in units of ``time_base`` seconds."""

    stream: Stream
    time_base: Fraction | None
    pts: int | None
    dts: int | None
    duration: int | None
    pos: int | None
    """Position in the file in bytes."""
    size: int
    is_keyframe: bool
    is_corrupt: bool
    is_discard: bool

    def __buffer__(self, flags: int, /) -> memoryview:
        """Return the bytes of the packet."""

    def decode(self) -> list[av.VideoFrame]:
        """Decode the packet and return the frames that are complete."""


class Streams(Protocol):
    """All streams of a container."""

    video: Sequence[Stream]

    def __iter__(self) -> Iterator[Stream]: ...

    def best(self, kind: str, /) -> Stream | None:
        """Return the stream of a kind that FFmpeg prefers."""


class Container(Protocol):
    """A file opened for reading."""

    format: Format
    streams: Streams
    duration: int | None
    """Duration in units of 1 / ``av.time_base`` seconds."""

    def demux(self, streams: Stream | Sequence[Stream], /) -> Iterator[Packet]:
        """Return the packets of one or several streams."""

    def decode(self, stream: Stream, /) -> Iterator[av.VideoFrame]:
        """Return the frames of a stream."""

    def seek(self, offset: int, *, stream: Stream) -> None:
        """Seek to the keyframe at or before ``offset``."""

    def close(self) -> None:
        """Close the file."""

    def __enter__(self) -> "Container": ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
