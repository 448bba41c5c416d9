"""The clip that a model takes, described as data."""

from dataclasses import dataclass, fields
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torchvision.transforms.v2 import functional as F

from res3d.clips.preprocess import Preprocessing, center_offsets, check_frames
from res3d.clips.sampler import Align, ClipSampler, SegmentSampler, Tail, check_count
from res3d.settings import check_choice
from res3d.settings.types import Value

VIEWS = (1, 3, 5, 10)


@dataclass(frozen=True, kw_only=True)
class FrameChoice:
    """The frames of a video that make the clips of a model.

    Raises:
        ValueError: numbers out of range, or fields that do not go together.
    """

    length: int
    """Frames of a clip; with ``sampling="segments"`` segments of the video."""
    step: int = 1
    """Frames from one frame of a clip (or of the run of a segment) to the next."""
    fps: float | None = None
    """Frames per second that videos are resampled to; None keeps their own rate."""
    sampling: Literal["dense", "segments"] = "dense"
    """``"dense"``: a clip is ``length`` frames, ``step`` apart. ``"segments"``: a video is one clip, with frames from
    the middle of each of ``length`` equal segments (TSN, TSM)."""
    segment_length: int = 1
    """Frames of the run that is taken from each segment, ``step`` apart."""

    def __post_init__(self) -> None:
        for name in ("length", "step", "segment_length"):
            check_count(f"clip {name}", getattr(self, name))
        if self.fps is not None and not 0 < self.fps < float("inf"):
            raise ValueError(f"fps must be > 0 frames per second, not {self.fps!r}")
        check_choice("sampling", self.sampling, ("dense", "segments"))
        if self.sampling == "dense" and self.segment_length != 1:
            raise ValueError(f"segment_length {self.segment_length} needs sampling='segments', not 'dense'")
        if self.sampling == "segments" and self.segment_length == 1 and self.step != 1:
            raise ValueError(f"step {self.step} needs segments of several frames (segment_length), not of one")

    @property
    def num_frames(self) -> int:
        """T, the frames that a model sees at once."""
        return self.length * self.segment_length

    def sampler(self, *, stride: int | None = None, tail: Tail = "pad", align: Align = "start") -> ClipSampler:
        """Return the sampler that cuts dense clips from a video.

        Args:
            stride: frames from the start of one clip to the start of the next; by default the length times the step.
            tail, align: see ``ClipSampler``.

        Raises:
            ValueError: as ``ClipSampler``, or ``sampling="segments"``.
        """
        if self.sampling != "dense":
            raise ValueError("a clip with sampling='segments' is a whole video: no stride cuts others from it")
        stride = self.length * self.step if stride is None else stride
        return ClipSampler(self.length, stride, self.step, tail, align)

    def indices(self, n: int) -> NDArray[np.int64]:
        """Return the frame numbers of each clip of a video of n frames: int64 [clips, num_frames], each in [0, n).

        Dense clips follow each other without overlap.

        Raises:
            ValueError: n below 0.
        """
        if self.sampling == "segments":
            return SegmentSampler(self.length, self.segment_length, self.step).indices(n)
        return self.sampler().indices(n)


@dataclass(frozen=True, kw_only=True)
class ClipSpec(Preprocessing, FrameChoice):
    """The clips that a model was trained on: how their frames are chosen from a video, and how pixels are prepared.

    Raises:
        ValueError: as ``Preprocessing`` and ``FrameChoice``; an unknown number of views, or several without a crop.
    """

    resize: int | tuple[int, int] | None = None
    crop: tuple[int, int] | None = None
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    views: Literal[1, 3, 5, 10] = 1
    """Crops of each frame that a model's results are averaged over: 1 in the middle; 3 at the start, middle and end of
    the longer side (SlowFast); 5 at the corners (top left, top right, bottom left, bottom right) and in the middle; 10
    those and the same five of the mirrored frame (both as torchvision's ``FiveCrop`` and ``TenCrop``)."""

    def __post_init__(self) -> None:
        Preprocessing.__post_init__(self)
        FrameChoice.__post_init__(self)
        if self.views not in VIEWS:
            raise ValueError(f"views must be one of {', '.join(map(str, VIEWS))}, not {self.views!r}")
        if self.views > 1 and self.crop is None:
            raise ValueError(f"{self.views} views need a crop")

    def _check_crop(self, sides: tuple[int, ...]) -> None:
        """Leave a crop of frames with a given shorter side to the frames: it may fit into the longer one."""
        if not isinstance(self.resize, int):
            Preprocessing._check_crop(self, sides)

    @classmethod
    def of(cls, preprocessing: Preprocessing, **changes: Value) -> "ClipSpec":
        """Return a ClipSpec with the fields of ``preprocessing``, and those of ``changes`` in addition or instead."""
        return cls(**{f.name: getattr(preprocessing, f.name) for f in fields(preprocessing)} | changes)

    @property
    def preprocessing(self) -> Preprocessing:
        """The part that is about the pixels of one frame, in one view."""
        return Preprocessing(**{f.name: getattr(self, f.name) for f in fields(Preprocessing)})

    def __call__(self, frames: Tensor) -> Tensor:
        """Prepare frames in one view: uint8 [n, H, W, 3] RGB -> float32 [n, 3, h, w].

        Raises:
            ValueError: as ``Preprocessing``, or a ClipSpec of several views, which ``prepare_views`` gives.
        """
        if self.views != 1:
            raise ValueError(f"a ClipSpec of {self.views} views prepares frames with prepare_views, not by a call")
        return Preprocessing.__call__(self, frames)

    def prepare_views(self, frames: Tensor) -> Tensor:
        """Prepare frames in all views: uint8 [n, H, W, 3] RGB -> float32 [n, views, 3, h, w].

        Raises:
            ValueError: as ``Preprocessing``.
        """
        check_frames(frames)
        whole = self.resize_window(frames)
        height, width = whole.shape[2:]
        rows, columns = self.crop or (height, width)
        places = _offsets((height, width), (rows, columns), 5 if self.views == 10 else self.views)
        sources = (whole, F.horizontal_flip(whole)) if self.views == 10 else (whole,)
        crops = [source[:, :, top : top + rows, left : left + columns] for source in sources for top, left in places]
        return self.normalize(torch.stack(crops, dim=1))


def _offsets(size: tuple[int, int], crop: tuple[int, int], views: int) -> list[tuple[int, int]]:
    """(top, left) of each of 1, 3 or 5 crops of a frame of ``size``."""
    top, left = center_offsets(size, crop)
    bottom, right = size[0] - crop[0], size[1] - crop[1]
    if views == 1:
        return [(top, left)]
    if views == 3:
        return [(0, left), (top, left), (bottom, left)] if size[0] > size[1] else [(top, 0), (top, left), (top, right)]
    return [(0, 0), (0, right), (bottom, 0), (bottom, right), (top, left)]
