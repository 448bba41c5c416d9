"""Winograd F(4, 3) convolution along one axis: half of the multiplications for kernels of size 3.

Four neighbouring outputs of a kernel of three cost twelve products one by one. Sums of six inputs, multiplied by sums
of the three weights, and summed again, give the same four by six products: F(4, 3) of S. Winograd, "Arithmetic
Complexity of Computations" (SIAM 1980), with the points 0, 1, -1, 2, -2 and infinity, as A. Lavin and S. Gray brought
it to convolutions ("Fast Algorithms for Convolutional Neural Networks", CVPR 2016). They do it along rows and columns
at once. Along one axis alone, each of the six products is itself a convolution, over the other axes, for which fast
kernels exist; and where that axis is time, the sums are of whole frames.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.fx.experimental.symbolic_shapes import has_static_value

from res3d.backbone import ReplicatedTimeConv3d
from res3d.inference.fold import fold_norm
from res3d.inference.fused_conv import FusedConv, PackedConv

Axis = Literal["time", "rows"]
AXES = {"time": 2, "rows": 3}  # of [N, C, T, H, W]

OUTPUTS, KERNEL, PRODUCTS = 4, 3, 6
INPUT_SUMS = (  # [product][input]
    (4, 0, -5, 0, 1, 0),
    (0, -4, -4, 1, 1, 0),
    (0, 4, -4, -1, 1, 0),
    (0, -2, -1, 2, 1, 0),
    (0, 2, -1, -2, 1, 0),
    (0, 4, 0, -5, 0, 1),
)
WEIGHT_SUMS = (  # [product][weight]
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)
OUTPUT_SUMS = (  # [output][product]
    (1, 1, 1, 1, 1, 0),
    (0, 1, -1, 2, -2, 0),
    (0, 1, 1, 4, 4, 0),
    (0, 1, -1, 8, -8, 1),
)
BIASED = 1  # the product that is in every output once, and so brings the bias to each

FEWEST_CHANNELS = 64  # with fewer, the sums cost more than the products that they save
MOST_WEIGHTS = 600_000  # of a product; layers with more see so small maps that reading weights takes their time
SHORTEST = 800_000  # inputs times outputs of each pixel's product; shorter ones take less time than calling them does
WORTH = 0.75  # products left, at most, for the sums to be worth their time


def choose_axis(conv: nn.Conv3d, *, sums_are_fused: bool) -> Axis | None:
    """Along which axis of a convolution filtering pays, if any.

    Args:
        sums_are_fused: whether a compiler makes one pass over memory of all sums. If not, only sums of whole frames
            pay, and only for products that are long themselves.
    """
    if conv.groups != 1 or min(conv.in_channels, conv.out_channels) < FEWEST_CHANNELS:
        return None
    if conv.weight.numel() > KERNEL * MOST_WEIGHTS:
        return None
    t, y, _ = zip(conv.kernel_size, conv.stride, conv.dilation, strict=True)
    padding = [int(p) for p in conv.padding]
    if t == (KERNEL, 1, 1) and padding[0] <= 1:
        return "time" if sums_are_fused or conv.kernel_size[1:] != (1, 1) else None
    if t == (1, 1, 1) and padding[0] == 0 and y == (KERNEL, 1, 1) and padding[1] <= 1:
        return "rows" if sums_are_fused else None
    return None


class WinogradConv(nn.Module):
    """A ``FusedConv`` with half of its products, rounded a little differently (a few 1e-6 of the largest).

    Shape: as ``FusedConv``; where so few frames come that too little is saved, it computes as that. Made of plain
    operations, for a compiler to make one pass over memory of each set of sums.

    Args:
        conv: the convolution, for which ``choose_axis`` gives an axis.
        norm: one that ``is_fixed_norm``, which is folded into the convolution.
        axis: along which products are saved.
        rectified: whether a ReLU comes last.
        dtype: computing type; None is the convolution's own.
    """

    def __init__(
        self,
        conv: nn.Conv3d,
        norm: nn.Module | None = None,
        *,
        axis: Axis,
        rectified: bool,
        dtype: torch.dtype | None,
    ) -> None:
        super().__init__()
        self.axis = axis
        self.dtype = conv.weight.dtype if dtype is None else dtype
        self.replicated = int(conv.padding[0]) if isinstance(conv, ReplicatedTimeConv3d) else 0
        self.padding = 0 if self.replicated else int(conv.padding[AXES[axis] - 2])
        self.direct = self._made(conv, norm, rectified)
        self.products = nn.ModuleList(self._made(product, None, False) for product in _products(conv, norm, axis))

    def _made(self, conv: nn.Conv3d, norm: nn.Module | None, rectified: bool) -> FusedConv:
        return FusedConv(conv, norm, rectified=rectified, dtype=self.dtype)

    @property
    def rectified(self) -> bool:
        return self.direct.rectified

    @rectified.setter
    def rectified(self, value: bool) -> None:
        self.direct.rectified = value

    def forward(self, x: Tensor, residual: Tensor | None = None, *, overwrite: bool = False) -> Tensor:
        """With ``overwrite`` the sum may be written where the residual was."""
        outputs = x.shape[AXES[self.axis]] + 2 * (self.replicated + self.padding) - (KERNEL - 1)
        if not self._saves(x, outputs):
            summed: Tensor = self.direct(x, residual, overwrite=overwrite)
            return summed
        x = _channels_last(x.to(self.dtype))
        if self.replicated:
            x = torch.cat([x[:, :1], x, x[:, -1:]], 1)
        residual = None if residual is None else _channels_last(residual.to(self.dtype))
        return _channels_first(self._compute(x, residual, outputs, overwrite))

    def _saves(self, x: Tensor, outputs: int) -> bool:
        # Compiled for maps of any size, the sums are slow, and more so not compiled at all.
        return torch.compiler.is_compiling() and all(map(has_static_value, x.shape[2:])) and self._pays(x, outputs)

    def _pays(self, x: Tensor, outputs: int) -> bool:
        if torch.is_autocast_enabled(x.device.type):
            return False  # imprecise products, of which sums would be far off
        one_by_one = KERNEL * outputs - 2 * self.padding  # products, without those with the padding's zeros
        return outputs > 0 and PRODUCTS * -(-outputs // OUTPUTS) <= WORTH * one_by_one

    def _compute(self, x: Tensor, residual: Tensor | None, outputs: int, overwrite: bool) -> Tensor:
        """[N, T, H, W, C] -> [N, T', H', W', C']."""
        axis = AXES[self.axis] - 1
        steps = OUTPUTS * -(-outputs // OUTPUTS)
        behind = steps + KERNEL - 1 - self.padding - x.shape[axis]
        x = F.pad(x, (*[0] * 2 * (4 - axis), self.padding, behind))
        every_fourth = [slice(n, n + steps - OUTPUTS + 1, OUTPUTS) for n in range(PRODUCTS)]
        inputs = [x[:, tile] if axis == 1 else x[:, :, tile] for tile in every_fourth]
        products = [
            _channels_last(product(_channels_first(_summed(sums, inputs))))
            for product, sums in zip(self.products, INPUT_SUMS, strict=True)
        ]
        y = torch.stack([_summed(sums, products) for sums in OUTPUT_SUMS], axis + 1)
        y = y.flatten(axis, axis + 1).narrow(axis, 0, outputs)
        if residual is not None:
            y = y + residual
        return y.relu() if self.rectified else y

    def extra_repr(self) -> str:
        return f"{self.axis}, {self.dtype}"


class PackedWinogradConv(WinogradConv):
    """A ``WinogradConv`` along time by oneDNN's own kernels on a CPU, as ``PackedConv`` is a ``FusedConv`` by them.

    Without a compiler, the sums are products of small matrices with whole frames, tile by tile, so that what one step
    writes is still in the cache when the next one reads it.
    """

    input_sums: Tensor
    output_sums: Tensor

    def __init__(
        self, conv: nn.Conv3d, norm: nn.Module | None = None, *, rectified: bool, dtype: torch.dtype | None
    ) -> None:
        super().__init__(conv, norm, axis="time", rectified=rectified, dtype=dtype)
        self.out_channels = conv.out_channels
        self.register_buffer("input_sums", torch.tensor(INPUT_SUMS, dtype=self.dtype))
        self.register_buffer("output_sums", torch.tensor(OUTPUT_SUMS, dtype=self.dtype))

    def _made(self, conv: nn.Conv3d, norm: nn.Module | None, rectified: bool) -> FusedConv:
        return PackedConv(conv, norm, rectified=rectified, dtype=self.dtype)

    def _saves(self, x: Tensor, outputs: int) -> bool:
        n, c, _, h, w = x.shape
        is_long = c * self.out_channels * h * w >= SHORTEST
        return n > 0 and is_long and products_are_exact() and self._pays(x, outputs)

    def _compute(self, x: Tensor, residual: Tensor | None, outputs: int, overwrite: bool) -> Tensor:
        clips, frames, *size = x.shape
        flat = x.flatten(2)
        summed = x.new_empty(PRODUCTS, flat.shape[2])
        y = residual if overwrite else None
        for clip in range(clips):
            for first in range(0, outputs, OUTPUTS):
                start = first - self.padding  # of the tile's inputs
                begin, end = max(start, 0), min(start + PRODUCTS, frames)
                torch.mm(self.input_sums[:, begin - start : end - start], flat[clip, begin:end], out=summed)
                made = [
                    _channels_last(product(_channels_first(frame.view(1, 1, *size))))
                    for product, frame in zip(self.products, summed, strict=True)
                ]
                products = torch.stack(made).flatten(1)
                y = x.new_empty(clips, outputs, *made[0].shape[2:]) if y is None else y
                tile = y[clip, first : first + OUTPUTS].flatten(1)
                sums = self.output_sums[: len(tile)]
                if residual is None:
                    torch.mm(sums, products, out=tile)
                else:
                    torch.addmm(residual[clip, first : first + OUTPUTS].flatten(1), sums, products, out=tile)
                if self.rectified:
                    tile.relu_()
        assert y is not None
        return y


def products_are_exact() -> bool:
    """True if float32 products are computed as such. With less precision, sums of them would be far off."""
    return all(getattr(torch.backends.mkldnn, part).fp32_precision in ("none", "ieee") for part in ("matmul", "conv"))


def _products(conv: nn.Conv3d, norm: nn.Module | None, axis: Axis) -> Iterator[nn.Conv3d]:
    """The convolutions over the other axes, with weights in float64."""
    weight, bias = conv.weight.detach().double(), None if conv.bias is None else conv.bias.detach().double()
    if norm is not None:
        weight, bias = fold_norm(weight, bias, norm)
    along = AXES[axis] - 2
    kernel, padding = list(conv.kernel_size), [int(p) for p in conv.padding]
    kernel[along], padding[along] = 1, 0
    for number, sums in enumerate(WEIGHT_SUMS):
        size: Any = {"kernel_size": kernel, "stride": conv.stride, "padding": padding, "dilation": conv.dilation}
        product = nn.Conv3d(conv.in_channels, conv.out_channels, **size, device="meta")
        product.weight = nn.Parameter(_summed(sums, weight.unbind(along + 2)).unsqueeze(along + 2))
        product.bias = nn.Parameter(bias) if bias is not None and number == BIASED else None
        yield product


def _summed(sums: Sequence[float], parts: Sequence[Tensor]) -> Tensor:
    terms = [part if share == 1 else share * part for share, part in zip(sums, parts, strict=True) if share]
    return sum(terms[1:], terms[0])


def _channels_last(x: Tensor) -> Tensor:
    """[N, C, T, H, W] -> [N, T, H, W, C], in one piece of memory."""
    return x.permute(0, 2, 3, 4, 1).contiguous()


def _channels_first(x: Tensor) -> Tensor:
    """``_channels_last`` undone. (A compiler takes permuted strides of single clips for 0, and oneDNN then errs.)"""
    n, t, h, w, c = x.shape
    return x.contiguous().as_strided((n, c, t, h, w), (t * h * w * c, 1, h * w * c, w * c, c))
