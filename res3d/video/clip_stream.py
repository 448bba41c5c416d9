"""Stream of the clips of a video; each frame is decoded and prepared once, ahead of its use, even if clips overlap."""

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from torch import Tensor

from res3d.clips import ClipSampler
from res3d.threads import available_cpus
from res3d.video.prefetch import map_in_threads, prefetch
from res3d.video.reader import TimedFrame, VideoReader

T = TypeVar("T")

# Budget in bytes for the frames of one chunk, decoded or prepared, whichever is larger; about six chunks exist at once
CHUNK_BYTES = 8 * 2**20
CHUNK_FRAMES = 32
PREPARERS = min(4, available_cpus())  # threads that convert and prepare


class FramePlace(NamedTuple):
    """Frame numbers and times of a frame, without its pixels, which would occupy memory."""

    number: int
    """Number among the frames that the reader yields, from 0."""
    source_index: int
    """Number among the frames of the file, from 0."""
    seconds: float
    """Presentation time in seconds since the first frame of the file."""
    end_seconds: float
    """Presentation time of the next frame."""
    is_held: bool
    """True if a clip may contain the frame."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamFrame:
    """A frame of a video with its prepared pixels."""

    place: FramePlace
    values: Tensor | None
    """[C, H, W], the output of ``prepare`` and ``transform``; None for a frame that no clip contains."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Clip:
    """The T frames of one clip in order; padding repeats a frame."""

    frames: tuple[StreamFrame, ...]

    @property
    def numbers(self) -> tuple[int, ...]:
        """[T] numbers among the frames that the reader yields, from 0."""
        return tuple(frame.place.number for frame in self.frames)

    @property
    def values(self) -> Tensor:
        """Prepared pixels [C, T, H, W], contiguous."""
        return torch.stack(_values(self.frames), dim=1)


def stack_clips(clips: Sequence[Clip]) -> Tensor:
    """Return N clips of T frames as [N, C, T, H, W]. If the frames are channels-last in memory, so is the result."""
    frames = _values(chain.from_iterable(clip.frames for clip in clips))
    stacked = torch.stack([values.permute(1, 2, 0) for values in frames])
    return torch.unflatten(stacked, 0, (len(clips), -1)).permute(0, 4, 1, 2, 3)


def _values(frames: Iterable[StreamFrame]) -> list[Tensor]:
    values = [frame.values for frame in frames]
    assert all(v is not None for v in values), "a frame of a clip was not prepared"
    return values  # type: ignore[return-value]


class DecodedChunk(NamedTuple):
    """Consecutive frames of a video; ``decoded`` contains only those that clips use."""

    places: list[FramePlace]
    decoded: list[TimedFrame]


class PreparedChunk(NamedTuple):
    """Consecutive frames with the prepared pixels [m, C, H, W] of those that clips use."""

    places: list[FramePlace]
    values: Tensor | None


def to_planes(frames: Tensor) -> Tensor:
    """Return frames uint8 [n, H, W, 3] as contiguous [n, 3, H, W], computed in one thread."""
    return torch.from_numpy(np.ascontiguousarray(frames.numpy().transpose(0, 3, 1, 2)))


@dataclass(frozen=True, kw_only=True)
class ClipStream:
    """Iterable over the clips of a video, with frame numbers, times and pixels.

    One thread decodes and a few threads prepare frames, while the iteration runs ``transform`` and assembles clips.
    Memory use is independent of the length of the video. An error in any thread is raised by the iteration, after the
    clips before the error. Leaving the iteration, also by an error or Ctrl-C, ends the threads.

    Raises:
        StreamStoppedError: during iteration, soon after ``stop`` was set.
        VideoError, TruncatedVideoError: during iteration; see ``VideoReader``.
    """

    reader: VideoReader
    sampler: ClipSampler
    """Sampler that chooses the frames of clips."""
    prepare: Callable[[Tensor], Tensor] = to_planes
    """Preprocessing, called in background threads: uint8 [m, H, W, 3] RGB -> [m, C, h, w]."""
    prepared_bytes: int = 0
    """Bytes of a prepared frame, if it is larger than a decoded one."""
    transform: Callable[[Tensor], Tensor] | None = None
    """Called in the iterating thread on outputs of ``prepare``: [m, ...] -> [m, C, h, w]."""
    holds: Callable[[int], bool] | None = None
    """Function from a frame number to True if the frame is to be prepared; by default if the sampler uses it."""
    ahead: int = 2
    """Maximum number of chunks that wait between decoding and preparation, and between preparation and iteration."""
    measure: Callable[[str], AbstractContextManager[None]] = lambda stage: nullcontext()
    """Returns the context manager for decoding a frame ("decode") and preparing a chunk ("preprocess")."""
    progress: Callable[[int], None] = lambda frames: None
    """Callback with the number of frames read since its last call."""
    stop: threading.Event | None = None
    """Event that ends the iteration when the caller sets it."""

    def __iter__(self) -> Generator[Clip, None, None]:
        return self.assemble(self.frames())

    def frames(self) -> Generator[StreamFrame, None, None]:
        """Yield every frame of the video in order."""
        stop = threading.Event()
        prepared = self.prepare_chunks(prefetch(self.decode(), depth=self.ahead, stop=stop))
        with closing(prefetch(prepared, depth=self.ahead, stop=stop, interrupt=self.stop)) as chunks:
            yield from self.unpack(chunks)

    def assemble(self, frames: Generator[StreamFrame, None, None]) -> Generator[Clip, None, None]:
        """Yield the clips of a stream of frames. Closes ``frames``."""
        assembler = ClipAssembler(self.sampler)
        with closing(frames):
            for frame in frames:
                yield from assembler.push(frame)
        yield from assembler.finish()

    def decode(self) -> Generator[DecodedChunk, None, None]:
        """Yield the reader's frames in chunks of bounded size; a sampler that pads also uses the last frame."""
        is_used, max_frames = self.holds or self.sampler.uses, self._frames_per_chunk()
        places: list[FramePlace] = []
        decoded: list[TimedFrame] = []
        frames = _with_last(self.reader.frames())
        while True:
            try:
                with self.measure("decode"):
                    number, frame, is_last = next(frames, (0, None, True))
            except Exception:
                if places:
                    yield DecodedChunk(places, decoded)  # the frames before the error
                raise
            if frame is None:
                return
            is_held = is_used(number) or (is_last and self.sampler.tail == "pad")
            places.append(FramePlace(number, frame.index, frame.seconds, frame.end_seconds, is_held))
            if is_held:
                decoded.append(frame)
            if is_last or len(decoded) == max_frames or len(places) == CHUNK_FRAMES:
                yield DecodedChunk(places, decoded)
                places, decoded = [], []

    def prepare_chunks(self, chunks: Generator[DecodedChunk, None, None]) -> Generator[PreparedChunk, None, None]:
        """Convert and prepare the frames that clips use, in threads. Closes ``chunks``."""
        return map_in_threads(self._prepare, chunks, workers=PREPARERS)

    def _prepare(self, chunk: DecodedChunk) -> PreparedChunk:
        if not chunk.decoded:
            return PreparedChunk(chunk.places, None)
        with self.measure("preprocess"):
            # Not torch.stack: each thread that calls a torch operation starts a thread pool of its own, and these pools
            # compete with the network for the cores.
            images = np.stack([frame.rgb() for frame in chunk.decoded])
            return PreparedChunk(chunk.places, self.prepare(torch.from_numpy(images)))

    def unpack(self, chunks: Iterable[PreparedChunk]) -> Generator[StreamFrame, None, None]:
        """Yield the frames of chunks one by one; ``transform`` runs once per chunk."""
        for places, values in chunks:
            images: Iterator[Tensor] = iter(())
            if values is not None:
                images = iter(values if self.transform is None else self.transform(values))
            for place in places:
                yield StreamFrame(place=place, values=next(images) if place.is_held else None)
            self.progress(len(places))

    def _frames_per_chunk(self) -> int:
        frame_bytes = max(3 * self.reader.info.height * self.reader.info.width, self.prepared_bytes)
        return max(1, min(CHUNK_FRAMES, CHUNK_BYTES // frame_bytes))


class ClipAssembler:
    """Assembler of the sampler's clips from frames that are pushed one by one.

    The buffer contains the frames of about one clip's span, for any length of the video and any overlap of clips.

    Args:
        sampler: the sampler that chooses the frames of clips.
    """

    def __init__(self, sampler: ClipSampler) -> None:
        self._sampler = sampler
        self._buffer: deque[StreamFrame] = deque()
        self._buffer_start = 0  # number of the frame _buffer[0]
        self._num_pushed = 0
        self._next_clip = 0

    def push(self, frame: StreamFrame) -> Iterator[Clip]:
        """Add the next frame and yield the clips that it completes. The generator must be exhausted."""
        self._buffer.append(frame)
        self._num_pushed += 1
        sampler = self._sampler
        while sampler.is_settled(self._next_clip, self._num_pushed):
            start = self._next_clip * sampler.stride + sampler.offset
            yield self._clip(max(0, start + j * sampler.step) for j in range(sampler.length))
            self._next_clip += 1
        oldest = sampler.oldest_used(self._next_clip, self._num_pushed)
        while self._buffer and self._buffer_start < oldest:
            self._buffer.popleft()
            self._buffer_start += 1

    def finish(self) -> Iterator[Clip]:
        """Yield the clips at the end of the video that the sampler's tail policy defines."""
        for row in self._sampler.indices(self._num_pushed, first=self._next_clip):
            yield self._clip(int(number) for number in row)
            self._next_clip += 1

    def _clip(self, numbers: Iterator[int]) -> Clip:
        return Clip(frames=tuple(self._buffer[number - self._buffer_start] for number in numbers))


def batched(items: Generator[T, None, None], size: int) -> Generator[list[T], None, None]:
    """Yield lists of ``size`` items; the last list may be shorter. Closes ``items``."""
    batch: list[T] = []
    with closing(items):
        for item in items:
            batch.append(item)
            if len(batch) == size:
                yield batch
                batch = []
    if batch:
        yield batch


def _with_last(frames: Iterable[TimedFrame]) -> Iterator[tuple[int, TimedFrame, bool]]:
    """Yield (number, frame, True for the last frame). If the iteration ends with an error, no frame is the last."""
    previous: TimedFrame | None = None
    number = -1
    try:
        for number, frame in enumerate(frames):
            if previous is not None:
                yield number - 1, previous, False
            previous = frame
    except Exception:
        if previous is not None:
            yield number, previous, False
        raise
    if previous is not None:
        yield number, previous, True
