"""The choice of the frames that make clips."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

MOST = 2**31 - 1  # frames; two years of video

Tail = Literal["drop", "pad", "shift"]
Align = Literal["start", "center"]


def check_count(name: str, value: object) -> None:
    """Raise ValueError unless ``value`` is a whole number from 1 to ``MOST``."""
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MOST:
        raise ValueError(f"{name} must be a whole number from 1 to {MOST}, not {value!r}")


@dataclass(frozen=True, slots=True)
class ClipSampler:
    """Cuts n frames into clips of ``length`` frames, ``step`` apart, a new clip every ``stride`` frames.

    A clip spans ``span = (length - 1) * step + 1`` frames; clip k starts at frame ``k * stride``. ``tail`` says what
    happens at the end of the video:

    - "drop": only whole clips: 0 if n < span, else ``(n - span) // stride + 1``.
    - "pad": ``min(1 + ceil(max(0, n - span) / stride), ceil(n / stride))`` clips, every frame up to n covered (where
      step is 1 and stride ≤ length); the last frame is repeated.
    - "shift": as many as "pad", but the last clip starts at ``max(0, n - span)``, so that it is whole; a video
      shorter than a clip is padded.

    ``align="center"`` puts frame ``k * stride`` at position ``length // 2`` of clip k (Detect-and-Track's key frame)
    and repeats border frames at both ends: ``ceil(n / stride)`` clips, one a frame at stride 1. Goes with "pad".

    Raises:
        ValueError: a number that is not a whole one ≥ 1, or an unknown ``tail`` or ``align``.
    """

    length: int = 16
    stride: int = 16
    step: int = 1
    tail: Tail = "pad"
    align: Align = "start"

    def __post_init__(self) -> None:
        for name in ("length", "stride", "step"):
            check_count(f"clip {name}", getattr(self, name))
        if self.tail not in ("drop", "pad", "shift"):
            raise ValueError(f"tail must be 'drop', 'pad' or 'shift', not {self.tail!r}")
        if self.align not in ("start", "center"):
            raise ValueError(f"align must be 'start' or 'center', not {self.align!r}")
        if self.align == "center" and self.tail != "pad":
            raise ValueError(f"align='center' repeats border frames, so tail must be 'pad', not {self.tail!r}")

    @property
    def span(self) -> int:
        """Frames from the first to the last of a clip, both counted."""
        return (self.length - 1) * self.step + 1

    @property
    def offset(self) -> int:
        """Where clip 0 starts: 0, or a negative frame number if centred."""
        return -(self.length // 2) * self.step if self.align == "center" else 0

    def num_clips(self, n: int) -> int:
        """How many clips n frames make."""
        if n < 0:
            raise ValueError(f"a video has ≥ 0 frames, not {n}")
        starts = -(-n // self.stride)
        if self.align == "center":
            return starts
        if self.tail == "drop":
            return 0 if n < self.span else (n - self.span) // self.stride + 1
        return min(1 + -(-max(0, n - self.span) // self.stride), starts)

    def starts(self, n: int, *, first: int = 0) -> NDArray[np.int64]:
        """Return the first frame number of each clip, from clip ``first`` on, of a video of n frames: int64 [clips].

        Numbers below 0 stand for frame 0.
        """
        starts = np.arange(first, self.num_clips(n), dtype=np.int64) * self.stride + self.offset
        if self.tail == "shift" and len(starts):
            starts[-1] = max(0, n - self.span)
        return starts

    def indices(self, n: int, *, first: int = 0) -> NDArray[np.int64]:
        """The frame numbers of each clip, from the ``first`` on, of a video of n frames: int64 [clips, length], each in
        [0, n).
        """
        return self.indices_at(self.starts(n, first=first), n)

    def indices_at(self, starts: NDArray[np.int64], n: int) -> NDArray[np.int64]:
        """Return the frame numbers of clips that start at ``starts``: int64 [..., length] for starts [...].

        Numbers outside [0, n) are those of the border frames.
        """
        frames = starts[..., None] + np.arange(self.length, dtype=np.int64) * self.step
        clipped: NDArray[np.int64] = np.clip(frames, 0, max(0, n - 1))
        return clipped

    def is_settled(self, clip: int, seen: int) -> bool:
        """Return whether the frames of a clip are the same however a video goes on after its first ``seen`` frames.

        They are once the last of them is among those seen; "shift" moves the last clip, so there another has to follow.
        """
        end = clip * self.stride + self.offset + self.span
        return end <= seen and (self.tail != "shift" or self.num_clips(max(seen, end + 1)) > clip + 1)

    def oldest_used(self, clip: int, seen: int) -> int:
        """Return the first frame number that ``clip`` and later ones may use in a video of ``seen`` frames or more.

        Numbers below 0 stand for frame 0.
        """
        start = clip * self.stride + self.offset
        return min(start, max(0, seen - self.span)) if self.tail == "shift" else start

    def uses(self, frame: int) -> bool:
        """Whether some clip of an endless video holds frame number ``frame``.

        Two exceptions depend on the video's end: what "shift" moves its last clip onto (so it says True throughout),
        and the last frame, which padding repeats.
        """
        if self.tail == "shift":
            return True
        # Clip k holds frame f if f - offset - k * stride is one of 0, step, ..., span - 1, for some k >= 0; frames
        # before the start are repetitions of frame 0.
        position = frame - self.offset
        first = max(0, -(-(position - self.span + 1) // self.stride))
        last = position // self.stride
        return frame == 0 or any((position - k * self.stride) % self.step == 0 for k in range(first, last + 1))


@dataclass(frozen=True, slots=True)
class SegmentSampler:
    """Makes one clip of a whole video: a run of frames from the middle of each of ``segments`` equal segments.

    As TSN, TSM and MMAction2 test: with a run of ``length`` frames, ``step`` apart, that spans
    ``span = (length - 1) * step + 1`` frames, run k starts at frame ``floor((n - span + 1) / segments * (k + 1 / 2))``
    of n. Where a run would go past the end, the last frame is repeated.

    Raises:
        ValueError: a number that is not a whole one ≥ 1.
    """

    segments: int = 8
    length: int = 1
    step: int = 1

    def __post_init__(self) -> None:
        for name in ("segments", "length", "step"):
            check_count(name, getattr(self, name))

    @property
    def span(self) -> int:
        """Frames from the first to the last of a run, both counted."""
        return (self.length - 1) * self.step + 1

    def num_clips(self, n: int) -> int:
        """Return 1, or 0 for a video without frames.

        Raises:
            ValueError: n below 0.
        """
        if n < 0:
            raise ValueError(f"a video has ≥ 0 frames, not {n}")
        return min(n, 1)

    def indices(self, n: int) -> NDArray[np.int64]:
        """The frame numbers of the clip of a video of n frames: int64 [1, segments * length], or [0, ...] for n = 0."""
        # In float64 and this order, so that what falls on a whole number is rounded as in TSN's and MMAction2's code.
        tick = max(0, n - self.span + 1) / self.segments
        starts = (tick / 2 + tick * np.arange(self.segments)).astype(np.int64)
        frames = starts[:, None] + np.arange(self.length, dtype=np.int64) * self.step
        return frames.clip(0, max(0, n - 1)).reshape(1, -1)[: self.num_clips(n)]
