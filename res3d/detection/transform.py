"""Clips to the network's input and results back: torchvision's ``GeneralizedRCNNTransform`` with frames."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from res3d.detection.settings import DetectorSettings
from res3d.detection.targets import ClipTargets
from res3d.detection.task import TaskHead
from res3d.ops.resizing import resize_boxes

MULTIPLE = 32  # frames are padded with zeros, right and below, to sides that this divides


@dataclass(frozen=True, kw_only=True, slots=True)
class ClipBatch:
    """Clips resized, normalised, padded and stacked."""

    pixels: Tensor  # [N, C, T, H, W]
    sizes: tuple[tuple[int, int], ...]  # (height, width) of each clip's frames before padding
    given_sizes: tuple[tuple[int, int], ...]  # and before resizing


class ClipTransform(nn.Module):
    """Resizes by the frames' shorter side, normalises, pads and stacks."""

    def __init__(self, settings: DetectorSettings, channel_order: str) -> None:
        super().__init__()
        self.settings = settings
        self.channel_order = channel_order

    def forward(self, clips: Sequence[Tensor]) -> ClipBatch:
        """[C, T, h, w] RGB clips in 0..1 of any frame sizes."""
        resized = [self._resize(self._normalize(clip)) for clip in clips]
        given, sizes = ([(c.shape[2], c.shape[3]) for c in some] for some in (clips, resized))
        return ClipBatch(pixels=_stack(resized), sizes=tuple(sizes), given_sizes=tuple(given))

    def _normalize(self, clip: Tensor) -> Tensor:
        clip = clip.flip(0) if self.channel_order == "bgr" else clip
        mean, std = (
            clip.new_tensor(values).view(-1, 1, 1, 1) for values in (self.settings.image_mean, self.settings.image_std)
        )
        return (clip - mean) / std

    def _resize(self, clip: Tensor) -> Tensor:
        sides = self.settings.min_size if isinstance(self.settings.min_size, tuple) else (self.settings.min_size,)
        side = sides[int(torch.randint(len(sides), ()))] if self.training else sides[-1]
        height, width = clip.shape[2:]
        scale = min(side / min(height, width), self.settings.max_size / max(height, width))
        frames = clip.transpose(0, 1)  # [T, C, h, w]
        resized = F.interpolate(
            frames, scale_factor=scale, mode="bilinear", recompute_scale_factor=True, align_corners=False
        )
        return resized.transpose(0, 1)


def _stack(clips: Sequence[Tensor]) -> Tensor:
    height, width = (-(-max(clip.shape[axis] for clip in clips) // MULTIPLE) * MULTIPLE for axis in (2, 3))
    pixels = clips[0].new_zeros(len(clips), *clips[0].shape[:2], height, width)
    pixels = pixels.contiguous(
        memory_format=torch.channels_last_3d
    )  # in which convolutions are fastest, on CPU and GPU
    for row, clip in zip(pixels, clips, strict=True):
        row[:, :, : clip.shape[2], : clip.shape[3]] = clip
    return pixels


def resize_targets(
    targets: Sequence[ClipTargets], batch: ClipBatch, tasks: Mapping[str, TaskHead]
) -> list[ClipTargets]:
    """What the clips of a batch show, in the coordinates of their resized frames."""
    sizes = zip(batch.given_sizes, batch.sizes, strict=True)
    return [_resize(target, *each, tasks) for target, each in zip(targets, sizes, strict=True)]


def _resize(
    target: ClipTargets, old: tuple[int, int], new: tuple[int, int], tasks: Mapping[str, TaskHead]
) -> ClipTargets:
    extra = {task.field: task.resize(target.extra[task.field], old, new) for task in tasks.values()}
    return replace(target, boxes=resize_boxes(target.boxes, old, new), extra=extra)
