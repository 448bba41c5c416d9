"""The exchangeable parts of a residual block: convolutions, norms and shortcuts, each in a table that a spec names.

A new kind is one entry of a table here; the spec accepts its name from then on.

Shape letters: N clips, C channels, T frames, H rows, W columns; triples are in (t, y, x) order.
"""

from collections.abc import Callable
from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Size3: TypeAlias = tuple[int, int, int]
TemporalPadding: TypeAlias = Literal["zeros", "replicate"]


class FrozenBatchNorm3d(nn.Module):
    """Batch norm whose statistics, scale and shift are buffers: a fixed affine map per channel.

    Shape: [N, C, T, H, W] -> the same. Its state has the keys of ``nn.BatchNorm3d``, so either loads the other's
    (the count of batches is dropped). Detectron's "frozen affine"; detectron2 has it for images.
    """

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.register_buffer("weight", torch.ones(channels))
        self.register_buffer("bias", torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        if x.requires_grad:
            # F.batch_norm would keep x for its backward pass; a product with constants keeps nothing of x.
            scale = self.weight * (self.running_var + self.eps).rsqrt()
            shift = self.bias - self.running_mean * scale
            return x * scale.view(-1, 1, 1, 1).to(x.dtype) + shift.view(-1, 1, 1, 1).to(x.dtype)
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: object) -> None:
        state_dict.pop(prefix + "num_batches_tracked", None)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def extra_repr(self) -> str:
        return f"{self.weight.shape[0]}, eps={self.eps}"


MAX_GROUPS = 32  # Wu & He 2018, "Group Normalization": 32 groups for the widths of ResNets


def group_norm(channels: int, eps: float, momentum: float) -> nn.Module:
    """Group norm with the largest number of groups that divides ``channels`` and is at most 32."""
    groups = max(g for g in range(1, MAX_GROUPS + 1) if channels % g == 0)
    return nn.GroupNorm(groups, channels, eps)


NormMaker: TypeAlias = Callable[[int, float, float], nn.Module]
NORMS: dict[str, NormMaker] = {
    "batch": lambda channels, eps, momentum: nn.BatchNorm3d(channels, eps, momentum),
    "frozen_batch": lambda channels, eps, momentum: FrozenBatchNorm3d(channels, eps),
    "group": group_norm,
    "sync_batch": lambda channels, eps, momentum: nn.SyncBatchNorm(channels, eps, momentum),
}


class ReplicatedTimeConv3d(nn.Conv3d):
    """A convolution that pads time with copies of the border frames, and space with zeros.

    Shape: [N, C, T, H, W] -> [N, out, T', H', W'], as ``nn.Conv3d`` with the same padding. With it a clip of equal
    frames stays one of equal frames; zero padding darkens the border frames.
    """

    def forward(self, x: Tensor) -> Tensor:
        time, *space = (int(p) for p in self.padding)
        x = F.pad(x, (0, 0, 0, 0, time, time), mode="replicate")
        return F.conv3d(x, self.weight, self.bias, self.stride, (0, *space), self.dilation, self.groups)


def full_conv(
    in_channels: int,
    out_channels: int,
    kernel: Size3,
    *,
    stride: Size3,
    dilation: Size3,
    groups: int = 1,
    temporal_padding: TemporalPadding,
) -> nn.Conv3d:
    """A convolution without bias whose output has ceil(size / stride) positions along each axis."""
    t, y, x = (d * (k // 2) for d, k in zip(dilation, kernel, strict=True))
    kind = ReplicatedTimeConv3d if temporal_padding == "replicate" and t else nn.Conv3d
    return kind(
        in_channels,
        out_channels,
        kernel,
        stride=stride,
        padding=(t, y, x),
        dilation=dilation,
        groups=groups,
        bias=False,
    )


class FactoredConv(nn.Sequential):
    """A (2+1)D convolution: one factor to ``middle`` channels, norm, ReLU, then the other (Tran et al. 2018, R(2+1)D).

    Children in order: spatial (1×k×k), norm, act, temporal (t×1×1); with ``spatial_first=False`` the factors swapped.

    Shape: [N, in_channels, T, H, W] -> [N, out_channels, T/t, H/y, W/x] for stride (t, y, x).
    """

    def __init__(
        self,
        in_channels: int,
        middle: int,
        out_channels: int,
        kernel: Size3,
        *,
        spatial_first: bool,
        stride: Size3,
        dilation: Size3,
        norm: Callable[[int], nn.Module],
        temporal_padding: TemporalPadding,
    ) -> None:
        super().__init__()
        first, second = ("spatial", "temporal") if spatial_first else ("temporal", "spatial")

        def factor(name: str, channels: int, out: int) -> nn.Conv3d:
            def only(size: Size3) -> Size3:
                t, y, x = size
                return (1, y, x) if name == "spatial" else (t, 1, 1)

            return full_conv(
                channels,
                out,
                only(kernel),
                stride=only(stride),
                dilation=only(dilation),
                temporal_padding=temporal_padding,
            )

        self.add_module(first, factor(first, in_channels, middle))
        self.add_module("norm", norm(middle))
        self.add_module("act", nn.ReLU(inplace=True))
        self.add_module(second, factor(second, middle, out_channels))


class ProjectionShortcut(nn.Sequential):
    """A 1×1×1 convolution with the block's stride, then norm (He et al. 2015, option B).

    Shape: [N, in_channels, T, H, W] -> [N, out_channels, T/t, H/y, W/x].
    """

    def __init__(self, in_channels: int, out_channels: int, stride: Size3, norm: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.add_module("conv", nn.Conv3d(in_channels, out_channels, 1, stride=stride, bias=False))
        self.add_module("norm", norm(out_channels))


class PoolPadShortcut(nn.Module):
    """Every stride-th position of the input, new channels filled with zeros (He et al. 2015, option A).

    Shape: [N, in_channels, T, H, W] -> [N, out_channels, T/t, H/y, W/x]; has no parameters.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: Size3, norm: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.stride = stride
        self.new_channels = out_channels - in_channels

    def forward(self, x: Tensor) -> Tensor:
        t, y, x_step = self.stride
        return F.pad(x[:, :, ::t, ::y, ::x_step], (0, 0, 0, 0, 0, 0, 0, self.new_channels))

    def extra_repr(self) -> str:
        return f"stride={self.stride}, new_channels={self.new_channels}"


ShortcutMaker: TypeAlias = Callable[[int, int, Size3, Callable[[int], nn.Module]], nn.Module]
SHORTCUTS: dict[str, ShortcutMaker] = {"project": ProjectionShortcut, "pool_pad": PoolPadShortcut}
