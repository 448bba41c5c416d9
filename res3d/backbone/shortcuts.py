"""Shortcuts of residual blocks, in a table by name. A new kind is one entry of ``SHORTCUTS``."""

from collections.abc import Callable
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from res3d.backbone.convs import ONE, Size3, TemporalPadding, full_conv


class ShortcutPlan(NamedTuple):
    """A shortcut with its channels and stride resolved, ready to build."""

    in_channels: int
    out_channels: int
    stride: Size3
    kernel: Size3
    bias: bool
    normed: bool
    """True if a norm follows the projection, as in blocks with order "post"."""

    @property
    def padding(self) -> Size3:
        """Half the kernel along (t, y, x)."""
        t, y, x = (k // 2 for k in self.kernel)
        return t, y, x


NormOf = Callable[[int], nn.Module]


class ProjectionShortcut(nn.Sequential):
    """A convolution with the block's stride, then a norm (option B of He et al. 2015, there with 1×1 kernels).

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
    """Average pooling with the block's stride, with new channels filled with zeros; it has no parameters.

    With a 1×1×1 kernel this is option A of He et al. 2015.

    Shape: [N, in_channels, T, H, W] -> [N, out_channels, T/t, H/y, W/x].
    """

    def __init__(self, plan: ShortcutPlan) -> None:
        super().__init__()
        self.pool = nn.AvgPool3d(plan.kernel, plan.stride, plan.padding)
        self.new_channels = plan.out_channels - plan.in_channels

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(self.pool(x), (0, 0, 0, 0, 0, 0, 0, self.new_channels))

    def extra_repr(self) -> str:
        return f"new_channels={self.new_channels}"


def _no_problem(plan: ShortcutPlan) -> str | None:
    return None


def _check_same_channels(plan: ShortcutPlan) -> str | None:
    if plan.in_channels == plan.out_channels:
        return None
    return f"keeps the channels, but {plan.in_channels} become {plan.out_channels}"


def _check_no_fewer_channels(plan: ShortcutPlan) -> str | None:
    if plan.in_channels <= plan.out_channels:
        return None
    return f"adds channels, but {plan.in_channels} shrink to {plan.out_channels}"


def _check_same_shape(plan: ShortcutPlan) -> str | None:
    if plan.stride != ONE:
        return _check_same_channels(plan) or f"keeps the size, but the stride is {plan.stride}"
    return _check_same_channels(plan)


class ShortcutKind(NamedTuple):
    """Constructor and constraints of one kind of shortcut."""

    make: Callable[[ShortcutPlan, NormOf, TemporalPadding], nn.Module]
    find_problem: Callable[[ShortcutPlan], str | None] = _no_problem
    """Returns why this kind does not support a plan, as the end of an error message; None if it does."""
    options: frozenset[str] = frozenset({"kernel"})
    """Fields of ``ShortcutSpec`` that this kind uses, of "kernel" and "bias"."""


SHORTCUTS: dict[str, ShortcutKind] = {
    "project": ShortcutKind(ProjectionShortcut, options=frozenset({"kernel", "bias"})),
    "pool_pad": ShortcutKind(lambda plan, norm, padding: PoolPadShortcut(plan), _check_no_fewer_channels),
    "max_pool": ShortcutKind(
        lambda plan, norm, padding: nn.MaxPool3d(plan.kernel, plan.stride, plan.padding),
        _check_same_channels,
    ),
    "avg_pool": ShortcutKind(  # padding zeros count in the average, as by default in nn.AvgPool3d
        lambda plan, norm, padding: nn.AvgPool3d(plan.kernel, plan.stride, plan.padding),
        _check_same_channels,
    ),
    "identity": ShortcutKind(lambda plan, norm, padding: nn.Identity(), _check_same_shape, options=frozenset()),
}
NO_SHORTCUT = "none"  # kind of a block that is its branch alone
