"""Feature pyramids in time: every level at the clip's T, whatever the backbone strides in time (Lin et al. 2017)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from res3d.backbone import FeatureInfo, NormSpec
from res3d.detection.layers import conv_norm_act


@dataclass(frozen=True, kw_only=True, slots=True)
class NeckSpec:
    """A feature pyramid over all stages after the stem."""

    channels: int = 256
    temporal_kernel: int = 1
    """Frames that the output convolutions span."""
    norm: NormSpec | None = None
    """Norm after each convolution; None: biases."""


def stretch_time(maps: Tensor, frames: int) -> Tensor:
    """[N, C, T', h, w] -> [N, C, frames, h, w]: frame t shows the map at floor(t · T' / frames)."""
    if maps.shape[2] == frames:
        return maps
    index = torch.arange(frames, device=maps.device) * maps.shape[2] // frames
    return maps.index_select(2, index)


class FeaturePyramid3d(nn.Module):
    """FPN: lateral 1×1×1 convolutions, sums from coarse to fine, k×3×3 output convolutions, a last subsampled level.

    Shape: maps [N, C_l, T_l, h_l, w_l] of each level, finest first -> [N, channels, T, h_l, w_l] of each and one more.
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
        """``frames``: T of the clip, which all levels are brought to before they are added."""
        laterals = [stretch_time(lateral(m), frames) for lateral, m in zip(self.lateral, maps, strict=True)]
        merged = [laterals[-1]]
        for finer in reversed(laterals[:-1]):
            merged.append(finer + F.interpolate(merged[-1], size=finer.shape[2:], mode="nearest"))
        outputs = [output(m) for output, m in zip(self.output, reversed(merged), strict=True)]
        return [*outputs, outputs[-1][..., ::2, ::2]]


class SingleLevel(nn.Module):
    """No pyramid: the body's last map as it is, at the clip's T (Detectron's C4)."""

    def forward(self, maps: Sequence[Tensor], frames: int) -> list[Tensor]:
        return [stretch_time(maps[-1], frames)]
