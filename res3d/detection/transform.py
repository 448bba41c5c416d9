"""Clips to the network's input and results back: torchvision's ``GeneralizedRCNNTransform`` with frames."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from res3d.detection.settings import DetectorSettings
from res3d.detection.targets import ClipTargets
from res3d.detection.task_head import TaskHead
from res3d.ops.sizes import resize_boxes

MULTIPLE = 32
"""Frames are padded with zeros, right and below, to sides that this divides."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchSizes:
    """Sizes of the clips of a batch, as given and as the network sees them."""

    frames: int
    """T, which the clips of a batch share."""
    given_sizes: tuple[tuple[int, int], ...]
    """(height, width) of the frames of each clip as given."""
    sizes: tuple[tuple[int, int], ...]
    """(height, width) of the frames of each clip after resizing, before padding."""

    @property
    def padded_size(self) -> tuple[int, int]:
        """(height, width) of the frames of all clips after padding."""
        height, width = (-(-max(size[axis] for size in self.sizes) // MULTIPLE) * MULTIPLE for axis in (0, 1))
        return height, width


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipBatch(BatchSizes):
    """Clips resized, normalised, padded and stacked."""

    pixels: Tensor
    """[N, C, T, H, W]."""


class ClipTransform(nn.Module):
    """Resizes by the frames' shorter side, normalises, pads and stacks."""

    def __init__(self, settings: DetectorSettings, channel_order: str) -> None:
        super().__init__()
        self.settings = settings
        self.channel_order = channel_order

    def forward(self, clips: Sequence[Tensor]) -> ClipBatch:
        """[C, T, h, w] RGB clips in 0..1 of any frame sizes."""
        sizes = self.plan([(clip.shape[1], clip.shape[2], clip.shape[3]) for clip in clips])
        resized = [_resize_clip(self._normalize(clip), size) for clip, size in zip(clips, sizes.sizes, strict=True)]
        return ClipBatch(
            frames=sizes.frames,
            given_sizes=sizes.given_sizes,
            sizes=sizes.sizes,
            pixels=_stack(resized, sizes.padded_size),
        )

    def plan(self, sizes: Sequence[tuple[int, int, int]]) -> BatchSizes:
        """Sizes of clips of (T, height, width) after resizing: in training, each one's shorter side is drawn."""
        given = tuple((height, width) for _, height, width in sizes)
        return BatchSizes(frames=sizes[0][0], given_sizes=given, sizes=tuple(self._resized(*size) for size in given))

    def _normalize(self, clip: Tensor) -> Tensor:
        clip = clip.flip(0) if self.channel_order == "bgr" else clip
        mean, std = (
            clip.new_tensor(values).view(-1, 1, 1, 1) for values in (self.settings.image_mean, self.settings.image_std)
        )
        return (clip - mean) / std

    def _resized(self, height: int, width: int) -> tuple[int, int]:
        sides = self.settings.min_size if isinstance(self.settings.min_size, tuple) else (self.settings.min_size,)
        side = sides[int(torch.randint(len(sides), ()))] if self.training else sides[-1]
        scale = min(side / min(height, width), self.settings.max_size / max(height, width))
        return int(height * scale), int(width * scale)  # rounded as torch does it with ``recompute_scale_factor``


def _resize_clip(clip: Tensor, size: tuple[int, int]) -> Tensor:
    frames = clip.transpose(0, 1)  # [T, C, h, w]
    return F.interpolate(frames, size=size, mode="bilinear", align_corners=False).transpose(0, 1)


def _stack(clips: Sequence[Tensor], size: tuple[int, int]) -> Tensor:
    # In this layout convolutions are fastest, on CPU and GPU.
    pixels = clips[0].new_zeros(len(clips), *clips[0].shape[:2], *size)
    pixels = pixels.contiguous(memory_format=torch.channels_last_3d)
    for row, clip in zip(pixels, clips, strict=True):
        row[:, :, : clip.shape[2], : clip.shape[3]] = clip
    return pixels


def resize_targets(
    targets: Sequence[ClipTargets], batch: BatchSizes, tasks: Mapping[str, TaskHead]
) -> list[ClipTargets]:
    """Targets of the clips of a batch in the coordinates of their resized frames."""
    sizes = zip(batch.given_sizes, batch.sizes, strict=True)
    return [_resize_target(target, *each, tasks) for target, each in zip(targets, sizes, strict=True)]


def _resize_target(
    target: ClipTargets, old: tuple[int, int], new: tuple[int, int], tasks: Mapping[str, TaskHead]
) -> ClipTargets:
    extra = {task.field: task.resize(target.extra[task.field], old, new) for task in tasks.values()}
    return replace(target, boxes=resize_boxes(target.boxes, old, new), extra=extra)
