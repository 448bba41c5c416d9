"""Clips put together from a stream of frames whose end is not known beforehand."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor

from res3d.clips import ClipSampler


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadyFrame:
    """A frame as the network takes it, and where in the video it stands."""

    index: int  # source frames from 0
    seconds: float
    end_seconds: float
    pixels: Tensor | None  # [C, H, W], or a frame's map [C', h, w]; None for a frame that no clip holds


@dataclass(frozen=True, kw_only=True, slots=True)
class ReadyClip:
    """The frames of one clip in order; padding repeats a frame."""

    frames: tuple[ReadyFrame, ...]


def stack_frames(clips: Sequence[Sequence[ReadyFrame]]) -> Tensor:
    """[N, C, T, H, W] of N clips of T frames; channels lie innermost in memory if they do so in the frames."""
    pixels = [frame.pixels for frame in chain.from_iterable(clips)]
    assert all(p is not None for p in pixels), "a frame that a clip holds was left out"
    stacked = torch.stack([p.permute(1, 2, 0) for p in pixels])  # type: ignore[union-attr]
    return torch.unflatten(stacked, 0, (len(clips), -1)).permute(0, 4, 1, 2, 3)


class ClipAssembler:
    """Takes the frames of a video one by one and gives the sampler's clips as soon as they are certain.

    Holds the frames of about one clip's span, however long the video and however much clips overlap.
    """

    def __init__(self, sampler: ClipSampler) -> None:
        self._sampler = sampler
        self._held: deque[ReadyFrame] = deque()
        self._first_held = 0  # position of _held[0] in the stream
        self._seen = 0
        self._next_clip = 0

    def push(self, frame: ReadyFrame) -> Iterator[ReadyClip]:
        """Add the next frame; gives the clips that it completes."""
        self._held.append(frame)
        self._seen += 1
        sampler = self._sampler
        while (start := self._next_start()) + sampler.span <= self._seen and self._is_certain():
            yield self._clip(max(0, start + j * sampler.step) for j in range(sampler.length))
            self._next_clip += 1
        keep_from = max(0, min(self._next_start(), self._seen - sampler.span))
        while self._first_held < keep_from:
            self._held.popleft()
            self._first_held += 1

    def finish(self) -> Iterator[ReadyClip]:
        """The clips at the end of the video, by the sampler's tail policy."""
        for row in self._sampler.indices(self._seen, first=self._next_clip):
            yield self._clip(int(position) for position in row)
            self._next_clip += 1

    def _next_start(self) -> int:
        return self._next_clip * self._sampler.stride + self._sampler.offset

    def _is_certain(self) -> bool:
        """Whether the next clip stays as it is: "shift" moves the last one, so another must be sure to follow."""
        return self._sampler.tail != "shift" or self._sampler.num_clips(self._seen) > self._next_clip + 1

    def _clip(self, positions: Iterator[int]) -> ReadyClip:
        return ReadyClip(frames=tuple(self._held[position - self._first_held] for position in positions))
