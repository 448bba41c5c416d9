"""``ClipSpec``: the sampling and preprocessing of the clips of a model."""

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
    """The sampling of the clips of a model from a video.

    Raises:
        ValueError: numbers out of range, or fields that exclude each other.
    """

    length: int
    """Frames per clip; with ``sampling="segments"``, segments per video."""
    step: int = 1
    """Frames from one frame of a clip (or of a segment's run) to the next."""
    fps: float | None = None
    """Frames per second that videos are resampled to; None keeps each video's rate."""
    sampling: Literal["dense", "segments"] = "dense"
    """``"dense"``: a clip has ``length`` frames, ``step`` apart. ``"segments"``: a video has one clip, with frames from
    the middle of each of ``length`` equal segments (TSN, TSM)."""
    segment_length: int = 1
    """Frames of the run in each segment, ``step`` apart."""

    def __post_init__(self) -> None:
        for name in ("length", "step", "segment_length"):
            check_count(f"clip {name}", getattr(self, name))
        if self.fps is not None and not 0 < self.fps < float("inf"):
            raise ValueError(f"fps must be > 0 frames per second, not {self.fps!r}")
        check_choice("sampling", self.sampling, ("dense", "segments"))
        if self.sampling == "dense" and self.segment_length != 1:
            raise ValueError(f"segment_length {self.segment_length} needs sampling='segments', not 'dense'")
        if self.sampling == "segments" and self.segment_length == 1 and self.step != 1:
            raise ValueError(f"step {self.step} needs segment_length ≥ 2 with sampling='segments', not 1")

    @property
    def num_frames(self) -> int:
        """T, the frames of a clip."""
        return self.length * self.segment_length

    def sampler(self, *, stride: int | None = None, tail: Tail = "pad", align: Align = "start") -> ClipSampler:
        """Return the sampler of dense clips.

        Args:
            stride: frames from the start of one clip to the start of the next; by default ``length * step``.
            tail: see ``ClipSampler``.
            align: see ``ClipSampler``.

        Raises:
            ValueError: values that ``ClipSampler`` refuses, or ``sampling="segments"``.
        """
        if self.sampling != "dense":
            raise ValueError("a clip with sampling='segments' is a whole video: a stride needs sampling='dense'")
        stride = self.length * self.step if stride is None else stride
        return ClipSampler(self.length, stride, self.step, tail, align)

    def indices(self, n: int) -> NDArray[np.int64]:
        """Return the frame numbers of each clip of a video of n frames: int64 [clips, num_frames], each in [0, n).

        Dense clips do not overlap.

        Raises:
            ValueError: n below 0.
        """
        if self.sampling == "segments":
            return SegmentSampler(self.length, self.segment_length, self.step).indices(n)
        return self.sampler().indices(n)


@dataclass(frozen=True, kw_only=True)
class ClipSpec(Preprocessing, FrameChoice):
    """Spec of the clips that a model was trained on: sampling from a video and preprocessing.

    Raises:
        ValueError: values that ``Preprocessing`` or ``FrameChoice`` refuses, a number of views that is not in
            ``VIEWS``, or several views without a crop.
    """

    resize: int | tuple[int, int] | None = None
    crop: tuple[int, int] | None = None
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    views: Literal[1, 3, 5, 10] = 1
    """Number of crops of each frame over which the outputs of a model are averaged. 1: the center. 3: the start, the
    center and the end of the longer side (SlowFast). 5: top left, top right, bottom left, bottom right and the center
    (torchvision's ``FiveCrop``). 10: these, and the same five of the mirrored frame (``TenCrop``)."""

    def __post_init__(self) -> None:
        Preprocessing.__post_init__(self)
        FrameChoice.__post_init__(self)
        if self.views not in VIEWS:
            raise ValueError(f"views must be one of {', '.join(map(str, VIEWS))}, not {self.views!r}")
        if self.views > 1 and self.crop is None:
            raise ValueError(f"{self.views} views need a crop")

    def _check_crop(self, sides: tuple[int, ...]) -> None:
        """Check the crop unless ``resize`` is the shorter side alone: the crop may fit into the longer one."""
        if not isinstance(self.resize, int):
            Preprocessing._check_crop(self, sides)

    @classmethod
    def of(cls, preprocessing: Preprocessing, **changes: Value) -> "ClipSpec":
        """Return a ClipSpec with the fields of ``preprocessing``, replaced or complemented by ``changes``."""
        return cls(**{f.name: getattr(preprocessing, f.name) for f in fields(preprocessing)} | changes)

    @property
    def preprocessing(self) -> Preprocessing:
        """The preprocessing of single frames, in one view."""
        return Preprocessing(**{f.name: getattr(self, f.name) for f in fields(Preprocessing)})

    def __call__(self, frames: Tensor) -> Tensor:
        """Preprocess frames in one view: uint8 [n, H, W, 3] RGB -> float32 [n, 3, h, w].

        Raises:
            ValueError: frames of another dtype or shape, or smaller than the crop; or several views, which need
                ``prepare_views``.
        """
        if self.views != 1:
            raise ValueError(f"views must be 1 to call a ClipSpec, not {self.views}: use prepare_views")
        return Preprocessing.__call__(self, frames)

    def prepare_views(self, frames: Tensor) -> Tensor:
        """Preprocess frames in all views: uint8 [n, H, W, 3] RGB -> float32 [n, views, 3, h, w].

        Raises:
            ValueError: frames of another dtype or shape, or smaller than the crop.
        """
        check_frames(frames)
        whole = self.resize_window(frames)
        height, width = whole.shape[2:]
        rows, columns = self.crop or (height, width)
        offsets = _crop_offsets((height, width), (rows, columns), 5 if self.views == 10 else self.views)
        sources = (whole, F.horizontal_flip(whole)) if self.views == 10 else (whole,)
        crops = [source[:, :, top : top + rows, left : left + columns] for source in sources for top, left in offsets]
        return self.normalize(torch.stack(crops, dim=1))


def _crop_offsets(size: tuple[int, int], crop: tuple[int, int], views: int) -> list[tuple[int, int]]:
    """Return the (top, left) of each of 1, 3 or 5 crops of a frame of ``size``, both (height, width)."""
    top, left = center_offsets(size, crop)
    bottom, right = size[0] - crop[0], size[1] - crop[1]
    if views == 1:
        return [(top, left)]
    if views == 3:
        return [(0, left), (top, left), (bottom, left)] if size[0] > size[1] else [(top, 0), (top, left), (top, right)]
    return [(0, 0), (0, right), (bottom, 0), (bottom, right), (top, left)]
