"""Feature pyramids (Lin et al. 2017) of clips. Every level has the clip's T, also if the backbone strides in time."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from res3d.backbone import FeatureInfo, NormSpec
from res3d.detection.layers import conv_norm_act


@dataclass(frozen=True, kw_only=True, slots=True)
class NeckSpec:
    """Layers of a feature pyramid over all stages after the stem."""

    channels: int = 256
    """Channels of every level."""
    temporal_kernel: int = 1
    """Frames that each output convolution spans."""
    norm: NormSpec | None = None
    """Norm after each convolution; None: biases instead."""


def stretch_time(maps: Tensor, frames: int) -> Tensor:
    """Repeat feature maps in time: [N, C, T', h, w] -> [N, C, frames, h, w].

    Frame t of the result is the map at index floor(t · T' / frames).
    """
    if maps.shape[2] == frames:
        return maps
    index = torch.arange(frames, device=maps.device) * maps.shape[2] // frames
    return maps.index_select(2, index)


class FeaturePyramid3d(nn.Module):
    """FPN: lateral 1×1×1 convolutions, sums from coarse to fine, and k×3×3 output convolutions.

    One further level holds every second row and column of the coarsest output.

    Shape: [N, C_l, T_l, h_l, w_l] of L levels, finest first -> [N, channels, T, h_l, w_l] of L + 1 levels.

    Args:
        spec: the layers.
        levels: channels and strides of the input feature maps, finest first.
    """

    def __init__(self, spec: NeckSpec, levels: Sequence[FeatureInfo]) -> None:
        super().__init__()
        self.lateral = nn.ModuleList(
            conv_norm_act(level.channels, spec.channels, 1, 1, spec.norm, act=False) for level in levels
        )
        self.output = nn.ModuleList(
            conv_norm_act(spec.channels, spec.channels, spec.temporal_kernel, 3, spec.norm, act=False) for _ in levels
        )
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_uniform_(module.weight, a=1)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, maps: Sequence[Tensor], frames: int) -> list[Tensor]:
        """Return the levels of the pyramid, finest first.

        Args:
            maps: feature maps of the backbone, finest first.
            frames: T of the clip. All levels are repeated to T frames before they are added.
        """
        laterals = [stretch_time(lateral(m), frames) for lateral, m in zip(self.lateral, maps, strict=True)]
        merged = [laterals[-1]]
        for finer in reversed(laterals[:-1]):
            merged.append(finer + F.interpolate(merged[-1], size=finer.shape[2:], mode="nearest"))
        outputs = [output(m) for output, m in zip(self.output, reversed(merged), strict=True)]
        return [*outputs, outputs[-1][..., ::2, ::2]]


class SingleLevel(nn.Module):
    """Neck without a pyramid (Detectron's C4): the last feature map of the body, repeated to the clip's T."""

    def forward(self, maps: Sequence[Tensor], frames: int) -> list[Tensor]:
        """Return the only level. Arguments are those of ``FeaturePyramid3d.forward``."""
        return [stretch_time(maps[-1], frames)]
