"""Convolutions: full ones, and ones that are factored along their axes, in a table by name (``FACTORINGS``).

Shape letters: N clips, C channels, T frames, H rows, W columns; triples are in (t, y, x) order.
"""

from collections.abc import Callable
from math import prod
from typing import Literal, NamedTuple, TypeAlias

import torch.nn.functional as F
from torch import Tensor, nn

Size3: TypeAlias = tuple[int, int, int]
TemporalPadding: TypeAlias = Literal["zeros", "replicate"]
ONE: Size3 = (1, 1, 1)


class ReplicatedTimeConv3d(nn.Conv3d):
    """A convolution that pads time with copies of the border frames, and space with zeros.

    The output of a clip of equal frames has equal frames; zero padding would change those at the borders.

    Shape: [N, C, T, H, W] -> [N, out, T', H', W'], as ``nn.Conv3d`` with the same padding.
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
    stride: Size3 = ONE,
    padding: Size3 = (0, 0, 0),
    dilation: Size3 = ONE,
    groups: int = 1,
    bias: bool = False,
    temporal_padding: TemporalPadding = "zeros",
) -> nn.Conv3d:
    """Build a convolution that is not factored: [N, in_channels, T, H, W] -> [N, out_channels, T', H', W']."""
    conv_class = ReplicatedTimeConv3d if temporal_padding == "replicate" and padding[0] else nn.Conv3d
    return conv_class(
        in_channels,
        out_channels,
        kernel,
        stride=stride,
        padding=padding,
        dilation=dilation,
        groups=groups,
        bias=bias,
    )


class Factoring(NamedTuple):
    """Split of a convolution into smaller ones, its factors, which run one after the other."""

    factors: tuple[str, ...]
    """Names from AXES, in the order in which they run."""
    norm_between: bool
    """True if norm and ReLU follow every factor but the last."""

    def of(self, kernel: Size3) -> list[tuple[str, Size3]]:
        """Return the names and kernels of the factors of ``kernel``.

        Factors that would be 1×1×1 are left out; a 1×1×1 kernel has the first factor alone.
        """
        sizes = [(name, along_axes(name, kernel)) for name in self.factors]
        return [(name, size) for name, size in sizes if size != ONE] or sizes[:1]


AXES = {
    "spatial": (False, True, True),
    "temporal": (True, False, False),
    "vertical": (False, True, False),
    "horizontal": (False, False, True),
}
"""Names of factors, and whether each extends along (t, y, x)."""
FACTORINGS = {
    "2plus1d": Factoring(("spatial", "temporal"), norm_between=True),  # Tran et al. 2018, R(2+1)D
    "1plus2d": Factoring(("temporal", "spatial"), norm_between=True),  # PyTorchVideo's order
    "separable": Factoring(("vertical", "horizontal", "temporal"), norm_between=False),  # 1×k×1, 1×1×k, t×1×1
}


def along_axes(factor: str, size: Size3, rest: int = 1) -> Size3:
    """Return ``size`` along the axes of ``factor``, and ``rest`` along the others."""
    t, y, x = (value if is_axis else rest for is_axis, value in zip(AXES[factor], size, strict=True))
    return t, y, x


def equal_parameters_middle(sizes: list[Size3], kernel: Size3, in_channels: int, out_channels: int) -> int:
    """Return the number of channels between factors that gives them the parameter count of the full convolution.

    With n_i positions in the kernel of factor i, n in the full kernel, I input and O output channels, the result is the
    M that solves n_1·I·M + (n_2 + … + n_{k-1})·M² + n_k·M·O = n·I·O, rounded down to at least 1. For two factors this
    is the rule of the R(2+1)D paper.

    Args:
        sizes: kernels of the factors, at least two.
        kernel: the full kernel.
        in_channels: I.
        out_channels: O.
    """
    first, *inner, last = (prod(size) for size in sizes)
    square, linear = sum(inner), first * in_channels + last * out_channels
    full = prod(kernel) * in_channels * out_channels
    middle = full // linear
    while square * middle**2 + linear * middle > full:
        middle -= 1
    return max(1, middle)


class FactoredConv(nn.Sequential):
    """A factored convolution: a sequence of smaller ones, each of which takes the stride along its axes.

    Children: the factors under their names (``spatial``, ``temporal``, ...); between them, if the factoring has norms,
    ``norm`` and ``act``, then ``norm2`` and ``act2``, and so on.

    Shape: [N, in_channels, T, H, W] -> [N, out_channels, T/t, H/y, W/x] for stride (t, y, x).
    """

    def __init__(
        self,
        factoring: Factoring,
        in_channels: int,
        middle: int,
        out_channels: int,
        kernel: Size3,
        *,
        stride: Size3,
        padding: Size3,
        dilation: Size3,
        bias: bool,
        norm: Callable[[int], nn.Module],
        temporal_padding: TemporalPadding,
    ) -> None:
        super().__init__()
        factors = factoring.of(kernel)
        for index, (name, size) in enumerate(factors):
            is_last = index == len(factors) - 1
            conv = full_conv(
                in_channels if index == 0 else middle,
                out_channels if is_last else middle,
                size,
                stride=along_axes(name, stride),
                padding=along_axes(name, padding, rest=0),
                dilation=along_axes(name, dilation),
                bias=bias and is_last,
                temporal_padding=temporal_padding,
            )
            self.add_module(name, conv)
            if factoring.norm_between and not is_last:
                number = str(index + 1) if index else ""
                self.add_module(f"norm{number}", norm(middle))
                self.add_module(f"act{number}", nn.ReLU(inplace=True))
