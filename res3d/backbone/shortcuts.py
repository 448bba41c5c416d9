"""Kinds of shortcut, in a table that a spec names. A new kind is one entry: how it is made, and what it cannot do."""

from collections.abc import Callable
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from res3d.backbone.convs import ONE, Size3, TemporalPadding, full_conv


class ShortcutPlan(NamedTuple):
    """A shortcut with all its numbers, ready to build."""

    in_channels: int
    out_channels: int
    stride: Size3
    kernel: Size3
    bias: bool
    normed: bool
    """True if a norm follows a projection: in blocks of the order conv, norm, ReLU."""

    @property
    def padding(self) -> Size3:
        t, y, x = (k // 2 for k in self.kernel)
        return t, y, x


NormOf = Callable[[int], nn.Module]


class ProjectionShortcut(nn.Sequential):
    """A convolution with the block's stride, then norm (He et al. 2015, option B; with 1×1×1 kernels).

    Shape: [N, in_channels, T, H, W] -> [N, out_channels, T/t, H/y, W/x].
    """

    def __init__(self, plan: ShortcutPlan, norm: NormOf, temporal_padding: TemporalPadding) -> None:
        super().__init__()
        conv = full_conv(
            plan.in_channels,
            plan.out_channels,
            plan.kernel,
            stride=plan.stride,
            padding=plan.padding,
            bias=plan.bias,
            temporal_padding=temporal_padding,
        )
        self.add_module("conv", conv)
        if plan.normed:
            self.add_module("norm", norm(plan.out_channels))


class PoolPadShortcut(nn.Module):
    """Average pooling with the block's stride, new channels filled with zeros (He et al. 2015, option A; 1×1×1).

    Shape: [N, in_channels, T, H, W] -> [N, out_channels, T/t, H/y, W/x]; has no parameters.
    """

    def __init__(self, plan: ShortcutPlan) -> None:
        super().__init__()
        self.pool = nn.AvgPool3d(plan.kernel, plan.stride, plan.padding)
        self.new_channels = plan.out_channels - plan.in_channels

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(self.pool(x), (0, 0, 0, 0, 0, 0, 0, self.new_channels))

    def extra_repr(self) -> str:
        return f"new_channels={self.new_channels}"


def _any(plan: ShortcutPlan) -> str | None:
    return None


def _same_channels(plan: ShortcutPlan) -> str | None:
    if plan.in_channels == plan.out_channels:
        return None
    return f"keeps the channels, but {plan.in_channels} become {plan.out_channels}"


def _no_fewer_channels(plan: ShortcutPlan) -> str | None:
    if plan.in_channels <= plan.out_channels:
        return None
    return f"adds channels, but {plan.in_channels} shrink to {plan.out_channels}"


def _same_shape(plan: ShortcutPlan) -> str | None:
    return _same_channels(plan) or (None if plan.stride == ONE else f"keeps the size, but the stride is {plan.stride}")


class ShortcutKind(NamedTuple):
    """Constructor of a shortcut, its settings, and the reason why it cannot serve a plan (None if it can)."""

    make: Callable[[ShortcutPlan, NormOf, TemporalPadding], nn.Module]
    refuse: Callable[[ShortcutPlan], str | None] = _any
    takes: frozenset[str] = frozenset({"kernel"})


SHORTCUTS: dict[str, ShortcutKind] = {
    "project": ShortcutKind(ProjectionShortcut, takes=frozenset({"kernel", "bias"})),
    "pool_pad": ShortcutKind(lambda plan, norm, padding: PoolPadShortcut(plan), _no_fewer_channels),
    "max_pool": ShortcutKind(
        lambda plan, norm, padding: nn.MaxPool3d(plan.kernel, plan.stride, plan.padding),
        _same_channels,
    ),
    "avg_pool": ShortcutKind(  # zeros around count, as torch's AvgPool3d has it
        lambda plan, norm, padding: nn.AvgPool3d(plan.kernel, plan.stride, plan.padding),
        _same_channels,
    ),
    "identity": ShortcutKind(lambda plan, norm, padding: nn.Identity(), _same_shape, takes=frozenset()),
}
NO_SHORTCUT = "none"  # the block is its branch alone
