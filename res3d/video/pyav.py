"""Protocols of PyAV's containers, streams and packets, with the attributes that this package uses.

PyAV's own stubs declare the time base of a stream as optional.
"""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from types import TracebackType
from typing import Protocol

import av


class Format(Protocol):
    """A container's format."""

    name: str
    """FFmpeg's names, with commas between them."""


class Codec(Protocol):
    """A codec."""

    reorder: bool
    """True where frames are decoded in another order than they are shown in."""


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
    size: int
    is_keyframe: bool
    is_corrupt: bool

    def decode(self) -> list[av.VideoFrame]:
        """Return the frames that the decoder has ready."""


class Streams(Protocol):
    """All streams of a container."""

    video: Sequence[Stream]

    def __iter__(self) -> Iterator[Stream]: ...


class Container(Protocol):
    """A file that is read."""

    format: Format
    streams: Streams
    duration: int | None
    """In units of 1 / ``av.time_base`` seconds."""

    def demux(self, streams: Stream | Sequence[Stream], /) -> Iterator[Packet]:
        """Return the packets of some streams."""

    def decode(self, stream: Stream, /) -> Iterator[av.VideoFrame]:
        """Return the frames of a stream."""

    def seek(self, offset: int, *, stream: Stream) -> None:
        """Go to a keyframe at ``offset`` or before it."""

    def close(self) -> None:
        """Close the file."""

    def __enter__(self) -> "Container": ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...
