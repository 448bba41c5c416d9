"""Clips of a video as a stream: each frame decoded and prepared once, ahead of its use, however much clips overlap."""

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

# Bytes of the frames that are handed on together, the larger of decoded and prepared; about six chunks at a time
CHUNK_BYTES = 8 * 2**20
CHUNK_FRAMES = 32
PREPARERS = min(4, available_cpus())  # threads that convert and prepare


class FramePlace(NamedTuple):
    """Where a frame stands in a video. (The decoded frame itself would hold memory.)"""

    number: int
    """Among the frames that the reader gives, from 0."""
    source_index: int
    """Among the frames of the file, from 0."""
    seconds: float
    """Since the first frame of the file."""
    end_seconds: float
    """When the next frame is shown."""
    is_held: bool
    """Whether a clip may hold the frame."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamFrame:
    """A frame of a video and what was made of its pixels."""

    place: FramePlace
    values: Tensor | None
    """[C, H, W], the result of ``prepare`` and ``transform``; None for a frame that no clip holds."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Clip:
    """The T frames of one clip in order; padding repeats a frame."""

    frames: tuple[StreamFrame, ...]

    @property
    def numbers(self) -> tuple[int, ...]:
        """Frame numbers [T] as the reader gives them, from 0."""
        return tuple(frame.place.number for frame in self.frames)

    @property
    def values(self) -> Tensor:
        """[C, T, H, W], contiguous."""
        return torch.stack(_values(self.frames), dim=1)


def stack_clips(clips: Sequence[Clip]) -> Tensor:
    """[N, C, T, H, W] of N clips of T frames; channels lie innermost in memory if they do so in the frames."""
    frames = _values(chain.from_iterable(clip.frames for clip in clips))
    stacked = torch.stack([values.permute(1, 2, 0) for values in frames])
    return torch.unflatten(stacked, 0, (len(clips), -1)).permute(0, 4, 1, 2, 3)


def _values(frames: Iterable[StreamFrame]) -> list[Tensor]:
    values = [frame.values for frame in frames]
    assert all(v is not None for v in values), "a frame that a clip holds was left out"
    return values  # type: ignore[return-value]


class DecodedChunk(NamedTuple):
    """Some frames in a row, and the decoded ones that clips hold."""

    places: list[FramePlace]
    decoded: list[TimedFrame]


class PreparedChunk(NamedTuple):
    """The same, with the values [m, C, H, W] of the held frames."""

    places: list[FramePlace]
    values: Tensor | None


def to_planes(frames: Tensor) -> Tensor:
    """uint8 [n, H, W, 3] -> [n, 3, H, W], contiguous, by one thread."""
    return torch.from_numpy(np.ascontiguousarray(frames.numpy().transpose(0, 3, 1, 2)))


@dataclass(frozen=True, kw_only=True)
class ClipStream:
    """Iterates over the clips of a video: frame numbers, times and values.

    One thread decodes, a few prepare, and the iteration runs ``transform`` and puts clips together, all at the same
    time. Memory does not grow with the video's length. An error in any thread is raised here, after the clips before
    it; leaving the iteration, by an error or Ctrl-C too, ends the threads.

    Raises:
        StreamStoppedError: on iteration, soon after ``stop`` was set.
    """

    reader: VideoReader
    sampler: ClipSampler
    """Chooses the frames of clips."""
    prepare: Callable[[Tensor], Tensor] = to_planes
    """Called in threads: uint8 [m, H, W, 3] RGB -> [m, C, h, w]."""
    prepared_bytes: int = 0
    """Bytes of a prepared frame, where they are more than those of a decoded one."""
    transform: Callable[[Tensor], Tensor] | None = None
    """Called in the iteration's thread on what ``prepare`` gave for some frames: [m, ...] -> [m, C, h, w]."""
    holds: Callable[[int], bool] | None = None
    """Tells by the number of a frame whether it is prepared; by default those that the sampler uses."""
    ahead: int = 2
    """Chunks of frames that wait between decoding, preparation and the iteration."""
    measure: Callable[[str], AbstractContextManager[None]] = lambda stage: nullcontext()
    """Context in which to decode ("decode") and prepare ("preprocess") a chunk."""
    progress: Callable[[int], None] = lambda frames: None
    """Called with the number of frames that were read since the last call."""
    stop: threading.Event | None = None
    """Ends the iteration when somebody sets it."""

    def __iter__(self) -> Generator[Clip, None, None]:
        return self.assemble(self.frames())

    def frames(self) -> Generator[StreamFrame, None, None]:
        """Yield every frame of the video in order."""
        stop = threading.Event()
        prepared = self.prepare_chunks(prefetch(self.decode(), depth=self.ahead, stop=stop))
        with closing(prefetch(prepared, depth=self.ahead, stop=stop, interrupt=self.stop)) as chunks:
            yield from self.unpack(chunks)

    def assemble(self, frames: Generator[StreamFrame, None, None]) -> Generator[Clip, None, None]:
        """Yield the clips of the stream's frames; closes ``frames``."""
        assembler = ClipAssembler(self.sampler)
        with closing(frames):
            for frame in frames:
                yield from assembler.push(frame)
        yield from assembler.finish()

    def decode(self) -> Generator[DecodedChunk, None, None]:
        """Yield the reader's frames in chunks of a bounded size; the last frame is held if the sampler pads."""
        holds, most = self.holds or self.sampler.uses, self._chunk_frames()
        places: list[FramePlace] = []
        decoded: list[TimedFrame] = []
        frames = _with_last(self.reader.frames())
        while True:
            try:
                with self.measure("decode"):
                    number, frame, is_last = next(frames, (0, None, True))
            except Exception:
                if places:
                    yield DecodedChunk(places, decoded)  # the frames before the damage
                raise
            if frame is None:
                return
            is_held = holds(number) or (is_last and self.sampler.tail == "pad")
            places.append(FramePlace(number, frame.index, frame.seconds, frame.end_seconds, is_held))
            if is_held:
                decoded.append(frame)
            if is_last or len(decoded) == most or len(places) == CHUNK_FRAMES:
                yield DecodedChunk(places, decoded)
                places, decoded = [], []

    def prepare_chunks(self, chunks: Generator[DecodedChunk, None, None]) -> Generator[PreparedChunk, None, None]:
        """Convert and prepare the held frames of chunks, in threads; closes ``chunks``."""
        return map_in_threads(self._prepare, chunks, workers=PREPARERS)

    def _prepare(self, chunk: DecodedChunk) -> PreparedChunk:
        if not chunk.decoded:
            return PreparedChunk(chunk.places, None)
        with self.measure("preprocess"):
            # Not torch.stack: each thread that calls a torch operation starts a team of threads of its own, and the
            # teams take the cores from the network.
            pictures = np.stack([frame.rgb() for frame in chunk.decoded])
            return PreparedChunk(chunk.places, self.prepare(torch.from_numpy(pictures)))

    def unpack(self, chunks: Iterable[PreparedChunk]) -> Generator[StreamFrame, None, None]:
        """Yield the frames of chunks one by one, the held ones transformed a chunk at a time."""
        for places, values in chunks:
            held: Iterator[Tensor] = iter(())
            if values is not None:
                held = iter(values if self.transform is None else self.transform(values))
            for place in places:
                yield StreamFrame(place=place, values=next(held) if place.is_held else None)
            self.progress(len(places))

    def _chunk_frames(self) -> int:
        frame_bytes = max(3 * self.reader.info.height * self.reader.info.width, self.prepared_bytes)
        return max(1, min(CHUNK_FRAMES, CHUNK_BYTES // frame_bytes))


class ClipAssembler:
    """Takes the frames of a video one by one and gives the sampler's clips as soon as they are settled.

    Holds the frames of about one clip's span, however long the video and however much clips overlap.
    """

    def __init__(self, sampler: ClipSampler) -> None:
        self._sampler = sampler
        self._held: deque[StreamFrame] = deque()
        self._first_held = 0  # number of _held[0]
        self._seen = 0
        self._next_clip = 0

    def push(self, frame: StreamFrame) -> Iterator[Clip]:
        """Add the next frame; gives the clips that it completes."""
        self._held.append(frame)
        self._seen += 1
        sampler = self._sampler
        while sampler.is_settled(self._next_clip, self._seen):
            start = self._next_clip * sampler.stride + sampler.offset
            yield self._clip(max(0, start + j * sampler.step) for j in range(sampler.length))
            self._next_clip += 1
        oldest = sampler.oldest_used(self._next_clip, self._seen)
        while self._held and self._first_held < oldest:
            self._held.popleft()
            self._first_held += 1

    def finish(self) -> Iterator[Clip]:
        """The clips at the end of the video, by the sampler's tail policy."""
        for row in self._sampler.indices(self._seen, first=self._next_clip):
            yield self._clip(int(number) for number in row)
            self._next_clip += 1

    def _clip(self, numbers: Iterator[int]) -> Clip:
        return Clip(frames=tuple(self._held[number - self._first_held] for number in numbers))


def batched(items: Generator[T, None, None], size: int) -> Generator[list[T], None, None]:
    """Yield items ``size`` at a time, the last ones maybe fewer; closes ``items``."""
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
    """(number, frame, whether it is the last); where an error follows, no frame is."""
    before: TimedFrame | None = None
    number = -1
    try:
        for number, frame in enumerate(frames):
            if before is not None:
                yield number - 1, before, False
            before = frame
    except Exception:
        if before is not None:
            yield number, before, False
        raise
    if before is not None:
        yield number, before, True
