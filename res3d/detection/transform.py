"""Preprocessing of clips and resizing of their targets: torchvision's ``GeneralizedRCNNTransform`` with a time axis."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from res3d.detection.settings import DetectorSettings
from res3d.detection.targets import ClipTargets
from res3d.detection.task_head import TaskHead
from res3d.ops.resizing import resize_boxes

MULTIPLE = 32
"""Frames are padded with zeros on the right and at the bottom, to sides that are multiples of this."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchSizes:
    """Sizes of the clips of a batch, before and after preprocessing."""

    frames: int
    """T, the same for all clips of a batch."""
    input_sizes: tuple[tuple[int, int], ...]
    """(height, width) of the input frames of each clip."""
    sizes: tuple[tuple[int, int], ...]
    """(height, width) of the frames of each clip after resizing, before padding."""

    @property
    def padded_size(self) -> tuple[int, int]:
        """(height, width) of the frames of all clips after padding."""
        height, width = (-(-max(size[axis] for size in self.sizes) // MULTIPLE) * MULTIPLE for axis in (0, 1))
        return height, width


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipBatch(BatchSizes):
    """Clips that are resized, normalized, padded and stacked."""

    pixels: Tensor
    """[N, C, T, H, W]."""


class ClipTransform(nn.Module):
    """Preprocessing of clips: normalize, resize by the frames' shorter side, pad and stack.

    Args:
        settings: sizes, mean and standard deviation.
        channel_order: channel order of the result, "rgb" or "bgr".
    """

    def __init__(self, settings: DetectorSettings, channel_order: str) -> None:
        super().__init__()
        self.settings = settings
        self.channel_order = channel_order

    def forward(self, clips: Sequence[Tensor]) -> ClipBatch:
        """Return the batch of [C, T, h, w] RGB clips in 0..1. The frames of different clips may differ in size."""
        sizes = self.plan([(clip.shape[1], clip.shape[2], clip.shape[3]) for clip in clips])
        resized = [_resize_clip(self._normalize(clip), size) for clip, size in zip(clips, sizes.sizes, strict=True)]
        return ClipBatch(
            frames=sizes.frames,
            input_sizes=sizes.input_sizes,
            sizes=sizes.sizes,
            pixels=_stack(resized, sizes.padded_size),
        )

    def plan(self, sizes: Sequence[tuple[int, int, int]]) -> BatchSizes:
        """Return the sizes of a batch of clips of (T, height, width).

        In training mode, the shorter side of each clip is drawn at random from ``min_size``.
        """
        inputs = tuple((height, width) for _, height, width in sizes)
        return BatchSizes(frames=sizes[0][0], input_sizes=inputs, sizes=tuple(self._new_size(*size) for size in inputs))

    def _normalize(self, clip: Tensor) -> Tensor:
        clip = clip.flip(0) if self.channel_order == "bgr" else clip
        mean, std = (
            clip.new_tensor(values).view(-1, 1, 1, 1) for values in (self.settings.image_mean, self.settings.image_std)
        )
        return (clip - mean) / std

    def _new_size(self, height: int, width: int) -> tuple[int, int]:
        """Return (height, width) after resizing."""
        sides = self.settings.min_size if isinstance(self.settings.min_size, tuple) else (self.settings.min_size,)
        side = sides[int(torch.randint(len(sides), ()))] if self.training else sides[-1]
        scale = min(side / min(height, width), self.settings.max_size / max(height, width))
        return int(height * scale), int(width * scale)  # rounded down like F.interpolate(recompute_scale_factor=True)


def _resize_clip(clip: Tensor, size: tuple[int, int]) -> Tensor:
    frames = clip.transpose(0, 1)  # [T, C, h, w]
    return F.interpolate(frames, size=size, mode="bilinear", align_corners=False).transpose(0, 1)


def _stack(clips: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
    """Stack clips, padded with zeros to ``size`` (height, width)."""
    pixels = clips[0].new_zeros(len(clips), *clips[0].shape[:2], *size)
    # Convolutions are fastest in this memory format, on CPU and GPU.
    pixels = pixels.contiguous(memory_format=torch.channels_last_3d)
    for row, clip in zip(pixels, clips, strict=True):
        row[:, :, : clip.shape[2], : clip.shape[3]] = clip
    return pixels


def resize_targets(
    targets: Sequence[ClipTargets], batch: BatchSizes, tasks: Mapping[str, TaskHead]
) -> list[ClipTargets]:
    """Return the targets of a batch for its resized frames."""
    sizes = zip(batch.input_sizes, batch.sizes, strict=True)
    return [_resize_target(target, old, new, tasks) for target, (old, new) in zip(targets, sizes, strict=True)]


def _resize_target(
    target: ClipTargets, old: tuple[int, int], new: tuple[int, int], tasks: Mapping[str, TaskHead]
) -> ClipTargets:
    extra = {task.field: task.resize(target.extra[task.field], old, new) for task in tasks.values()}
    return replace(target, boxes=resize_boxes(target.boxes, old, new), extra=extra)
