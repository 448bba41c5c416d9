"""Samplers: they choose the frames of the clips of a video."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

MAX_FRAMES = 2**31 - 1  # more than two years of video

Tail = Literal["drop", "pad", "shift"]
Align = Literal["start", "center"]


def check_count(name: str, value: object) -> None:
    """Raise ValueError unless ``value`` is a whole number from 1 to ``MAX_FRAMES``."""
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MAX_FRAMES:
        raise ValueError(f"{name} must be a whole number from 1 to {MAX_FRAMES}, not {value!r}")


@dataclass(frozen=True, slots=True)
class ClipSampler:
    """Sampler of clips at regular intervals: ``length`` frames, ``step`` apart, a new clip every ``stride`` frames.

    A clip spans ``span = (length - 1) * step + 1`` frames; clip k starts at frame ``k * stride``. For a video of n
    frames, ``tail`` selects the clips at its end:

    - "drop": only whole clips: 0 if n < span, else ``(n - span) // stride + 1``.
    - "pad": ``min(1 + ceil(max(0, n - span) / stride), ceil(n / stride))`` clips; the last frame is repeated. If step
      is 1 and stride ≤ length, every frame is in a clip.
    - "shift": as many clips as "pad", but the last one starts at ``max(0, n - span)``, so that it is whole; a video
      shorter than a clip is padded.

    ``align="center"`` puts frame ``k * stride`` at position ``length // 2`` of clip k (Detect-and-Track's key frame)
    and repeats border frames at both ends. It makes ``ceil(n / stride)`` clips, one per frame at stride 1, and needs
    tail "pad".

    Raises:
        ValueError: a number that is not a whole number ≥ 1, an unknown ``tail`` or ``align``, or "center" with another
            tail than "pad".
    """

    length: int = 16
    """Frames per clip."""
    stride: int = 16
    """Frames from the start of one clip to the start of the next."""
    step: int = 1
    """Frames from one frame of a clip to the next."""
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
            raise ValueError(f"tail must be 'pad' with align='center', not {self.tail!r}")

    @property
    def span(self) -> int:
        """Frames from the first to the last frame of a clip, including both."""
        return (self.length - 1) * self.step + 1

    @property
    def offset(self) -> int:
        """Number of the frame at which clip 0 starts: 0, or negative with ``align="center"``."""
        return -(self.length // 2) * self.step if self.align == "center" else 0

    def num_clips(self, n: int) -> int:
        """Return the number of clips of a video of n frames.

        Raises:
            ValueError: n below 0.
        """
        if n < 0:
            raise ValueError(f"the number of frames must be ≥ 0, not {n}")
        starts = -(-n // self.stride)
        if self.align == "center":
            return starts
        if self.tail == "drop":
            return 0 if n < self.span else (n - self.span) // self.stride + 1
        return min(1 + -(-max(0, n - self.span) // self.stride), starts)

    def starts(self, n: int, *, first: int = 0) -> NDArray[np.int64]:
        """Return the number of the first frame of each clip of a video of n frames: int64 [clips].

        Numbers below 0 refer to frame 0.

        Args:
            n: frames of the video.
            first: number of the first clip to return.
        """
        starts = np.arange(first, self.num_clips(n), dtype=np.int64) * self.stride + self.offset
        if self.tail == "shift" and len(starts):
            starts[-1] = max(0, n - self.span)
        return starts

    def indices(self, n: int, *, first: int = 0) -> NDArray[np.int64]:
        """Return the frame numbers of each clip of a video of n frames: int64 [clips, length], each in [0, n).

        Args:
            n: frames of the video.
            first: number of the first clip to return.
        """
        return self.indices_at(self.starts(n, first=first), n)

    def indices_at(self, starts: NDArray[np.int64], n: int) -> NDArray[np.int64]:
        """Return the frame numbers of clips that start at ``starts`` [...] in a video of n frames: int64 [..., length].

        Numbers outside [0, n) are replaced by those of the first or last frame.
        """
        frames = starts[..., None] + np.arange(self.length, dtype=np.int64) * self.step
        clipped: NDArray[np.int64] = np.clip(frames, 0, max(0, n - 1))
        return clipped

    def is_settled(self, clip: int, seen: int) -> bool:
        """Return whether the frame numbers of a clip are final after the first ``seen`` frames of a video.

        They are final once the clip's last frame is among the first ``seen`` frames. With tail "shift" a later clip
        must exist too, because the last clip moves with the end of the video.
        """
        end = clip * self.stride + self.offset + self.span
        return end <= seen and (self.tail != "shift" or self.num_clips(max(seen, end + 1)) > clip + 1)

    def oldest_used(self, clip: int, seen: int) -> int:
        """Return the smallest frame number in ``clip`` and later clips of a video of at least ``seen`` frames.

        Numbers below 0 refer to frame 0.
        """
        start = clip * self.stride + self.offset
        return min(start, max(0, seen - self.span)) if self.tail == "shift" else start

    def uses(self, frame: int) -> bool:
        """Return whether a clip of an endless video contains frame number ``frame``; always True with tail "shift".

        At the end of a real video, padding also uses the last frame, and "shift" uses all frames of the moved clip.
        """
        if self.tail == "shift":
            return True
        # Clip k >= 0 contains frame f if f - offset - k * stride is one of 0, step, ..., span - 1. Frame 0 also
        # replaces the frames before the start.
        position = frame - self.offset
        first = max(0, -(-(position - self.span + 1) // self.stride))
        last = position // self.stride
        return frame == 0 or any((position - k * self.stride) % self.step == 0 for k in range(first, last + 1))


@dataclass(frozen=True, slots=True)
class SegmentSampler:
    """Sampler of one clip per video: a run of frames from the middle of each of ``segments`` equal segments.

    This is the test sampling of TSN, TSM and MMAction2. A run has ``length`` frames, ``step`` apart, and spans
    ``span = (length - 1) * step + 1`` frames. In a video of n frames, run k starts at frame
    ``floor((n - span + 1) / segments * (k + 1 / 2))``. A run that exceeds the end of the video repeats the last frame.

    Raises:
        ValueError: a number that is not a whole number ≥ 1.
    """

    segments: int = 8
    length: int = 1
    """Frames per run."""
    step: int = 1
    """Frames from one frame of a run to the next."""

    def __post_init__(self) -> None:
        for name in ("segments", "length", "step"):
            check_count(name, getattr(self, name))

    @property
    def span(self) -> int:
        """Frames from the first to the last frame of a run, including both."""
        return (self.length - 1) * self.step + 1

    def num_clips(self, n: int) -> int:
        """Return 1, or 0 for a video without frames.

        Raises:
            ValueError: n below 0.
        """
        if n < 0:
            raise ValueError(f"the number of frames must be ≥ 0, not {n}")
        return min(n, 1)

    def indices(self, n: int) -> NDArray[np.int64]:
        """Return the frame numbers of the clip of a video of n frames: int64 [1, segments * length].

        The first dimension is 0 for n = 0.
        """
        # In float64 and in this order, because TSN and MMAction2 round whole numbers that way.
        tick = max(0, n - self.span + 1) / self.segments
        starts = (tick / 2 + tick * np.arange(self.segments)).astype(np.int64)
        frames = starts[:, None] + np.arange(self.length, dtype=np.int64) * self.step
        return frames.clip(0, max(0, n - 1)).reshape(1, -1)[: self.num_clips(n)]
