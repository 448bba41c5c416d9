"""Winograd F(4, 3) convolution along one axis: half of the multiplications for kernels of size 3.

Direct computation of four neighbouring outputs of a kernel of size 3 takes twelve multiplications. F(4, 3) takes six:
weighted sums of six inputs are multiplied by weighted sums of the three weights; weighted sums of these products are
the four outputs (S. Winograd, "Arithmetic Complexity of Computations", SIAM 1980; interpolation points 0, 1, -1, 2, -2
and infinity). A. Lavin and S. Gray apply the method to convolutions along rows and columns at once ("Fast Algorithms
for Convolutional Neural Networks", CVPR 2016). Here it is applied along one axis only. Each of the six products is then
itself a convolution over the other axes, for which fast kernels exist. If the axis is time, the sums are over whole
frames.
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
BIASED = 1  # the bias is added to this product, which is in each output exactly once with weight 1

MIN_CHANNELS = 64  # with fewer channels, the sums take longer than the multiplications that they save
MAX_WEIGHTS = (
    600_000  # per product; layers with more weights have small maps, and reading weights takes most of the time
)
MIN_WORK = (
    800_000  # input channels × output channels × H × W of a product; below, the call itself takes most of the time
)
MAX_SHARE = 0.75  # of the direct products; if more are left, the sums take longer than the multiplications saved


def choose_axis(conv: nn.Conv3d, *, sums_are_fused: bool) -> Axis | None:
    """Return the axis along which Winograd convolution is faster than direct convolution, or None.

    Args:
        conv: the convolution.
        sums_are_fused: True if a compiler computes all sums in one pass over memory. Otherwise only sums of whole
            frames are fast enough, and only if the kernel is larger than 1 × 1 in space.
    """
    if conv.groups != 1 or min(conv.in_channels, conv.out_channels) < MIN_CHANNELS:
        return None
    if conv.weight.numel() > KERNEL * MAX_WEIGHTS:
        return None
    t, y, _ = zip(conv.kernel_size, conv.stride, conv.dilation, strict=True)
    padding = [int(p) for p in conv.padding]
    if t == (KERNEL, 1, 1) and padding[0] <= 1:
        return "time" if sums_are_fused or conv.kernel_size[1:] != (1, 1) else None
    if t == (1, 1, 1) and padding[0] == 0 and y == (KERNEL, 1, 1) and padding[1] <= 1:
        return "rows" if sums_are_fused else None
    return None


class WinogradConv(nn.Module):
    """A ``FusedConv`` with half of the multiplications, and other rounding errors (a few 1e-6 of the largest value).

    The sums are plain operations, which a compiler can compute in one pass over memory each. Without a compiler, and
    for clips so short that few multiplications are saved, the layer computes the convolution directly.

    Shape: as ``FusedConv``.

    Args:
        conv: the convolution, for which ``choose_axis`` returns an axis.
        norm: a norm to fold into the convolution, for which ``is_fixed_norm`` is true.
        axis: the axis along which multiplications are saved.
        rectified: True if a ReLU comes last.
        dtype: computing type; None: the type of the convolution's weight.
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
        self.direct = self._make_conv(conv, norm, rectified)
        self.products = nn.ModuleList(self._make_conv(product, None, False) for product in _products(conv, norm, axis))

    def _make_conv(self, conv: nn.Conv3d, norm: nn.Module | None, rectified: bool) -> FusedConv:
        return FusedConv(conv, norm, rectified=rectified, dtype=self.dtype)

    @property
    def rectified(self) -> bool:
        """True if a ReLU comes last."""
        return self.direct.rectified

    @rectified.setter
    def rectified(self, value: bool) -> None:
        self.direct.rectified = value

    def forward(self, x: Tensor, residual: Tensor | None = None, *, overwrite: bool = False) -> Tensor:
        """Compute the layer. With ``overwrite``, the output may be written over ``residual``."""
        outputs = x.shape[AXES[self.axis]] + 2 * (self.replicated + self.padding) - (KERNEL - 1)
        if not self._uses_winograd(x, outputs):
            summed: Tensor = self.direct(x, residual, overwrite=overwrite)
            return summed
        x = _channels_last(x.to(self.dtype))
        if self.replicated:
            x = torch.cat([x[:, :1], x, x[:, -1:]], 1)
        residual = None if residual is None else _channels_last(residual.to(self.dtype))
        return _channels_first(self._compute(x, residual, outputs, overwrite))

    def _uses_winograd(self, x: Tensor, outputs: int) -> bool:
        # The sums are slow in graphs for maps of any size, and slower still without a compiler.
        return (
            torch.compiler.is_compiling()
            and all(map(has_static_value, x.shape[2:]))
            and self._saves_multiplications(x, outputs)
        )

    def _saves_multiplications(self, x: Tensor, outputs: int) -> bool:
        if torch.is_autocast_enabled(x.device.type):
            return False  # the sums would amplify the rounding errors of products in lower precision
        direct = KERNEL * outputs - 2 * self.padding  # direct products, without those of the padding's zeros
        return outputs > 0 and PRODUCTS * -(-outputs // OUTPUTS) <= MAX_SHARE * direct

    def _compute(self, x: Tensor, residual: Tensor | None, outputs: int, overwrite: bool) -> Tensor:
        """[N, T, H, W, C] -> [N, T', H', W', C']."""
        axis = AXES[self.axis] - 1
        steps = OUTPUTS * -(-outputs // OUTPUTS)
        end_padding = steps + KERNEL - 1 - self.padding - x.shape[axis]
        x = F.pad(x, (*[0] * 2 * (4 - axis), self.padding, end_padding))
        every_fourth = [slice(n, n + steps - OUTPUTS + 1, OUTPUTS) for n in range(PRODUCTS)]
        inputs = [x[:, tile] if axis == 1 else x[:, :, tile] for tile in every_fourth]
        products = [
            _channels_last(product(_channels_first(_weighted_sum(sums, inputs))))
            for product, sums in zip(self.products, INPUT_SUMS, strict=True)
        ]
        y = torch.stack([_weighted_sum(sums, products) for sums in OUTPUT_SUMS], axis + 1)
        y = y.flatten(axis, axis + 1).narrow(axis, 0, outputs)
        if residual is not None:
            y = y + residual
        return y.relu() if self.rectified else y

    def extra_repr(self) -> str:
        return f"{self.axis}, {self.dtype}"


class PackedWinogradConv(WinogradConv):
    """A ``WinogradConv`` along time on oneDNN's kernels for CPUs, without a compiler (compare ``PackedConv``).

    The sums are products of small matrices with whole frames. One tile of four output frames is computed at a time, so
    that the output of each step is still in the cache when the next step reads it.
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

    def _make_conv(self, conv: nn.Conv3d, norm: nn.Module | None, rectified: bool) -> FusedConv:
        return PackedConv(conv, norm, rectified=rectified, dtype=self.dtype)

    def _uses_winograd(self, x: Tensor, outputs: int) -> bool:
        n, c, _, h, w = x.shape
        is_large = c * self.out_channels * h * w >= MIN_WORK
        return n > 0 and is_large and products_are_exact() and self._saves_multiplications(x, outputs)

    def _compute(self, x: Tensor, residual: Tensor | None, outputs: int, overwrite: bool) -> Tensor:
        clips, frames, *size = x.shape
        flat = x.flatten(2)
        transformed = x.new_empty(PRODUCTS, flat.shape[2])
        y = residual if overwrite else None
        for clip in range(clips):
            for first in range(0, outputs, OUTPUTS):
                start = first - self.padding  # index of the tile's first input frame; below 0 in the padding
                begin, end = max(start, 0), min(start + PRODUCTS, frames)
                torch.mm(self.input_sums[:, begin - start : end - start], flat[clip, begin:end], out=transformed)
                product_frames = [
                    _channels_last(product(_channels_first(frame.view(1, 1, *size))))
                    for product, frame in zip(self.products, transformed, strict=True)
                ]
                products = torch.stack(product_frames).flatten(1)
                y = x.new_empty(clips, outputs, *product_frames[0].shape[2:]) if y is None else y
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
    """Return True if PyTorch computes float32 products in full precision, as the sums of products need it."""
    return all(getattr(torch.backends.mkldnn, part).fp32_precision in ("none", "ieee") for part in ("matmul", "conv"))


def _products(conv: nn.Conv3d, norm: nn.Module | None, axis: Axis) -> Iterator[nn.Conv3d]:
    """Yield the six convolutions over the other axes, with weights in float64."""
    weight, bias = conv.weight.detach().double(), None if conv.bias is None else conv.bias.detach().double()
    if norm is not None:
        weight, bias = fold_norm(weight, bias, norm)
    along = AXES[axis] - 2
    kernel, padding = list(conv.kernel_size), [int(p) for p in conv.padding]
    kernel[along], padding[along] = 1, 0
    for number, sums in enumerate(WEIGHT_SUMS):
        size: Any = {"kernel_size": kernel, "stride": conv.stride, "padding": padding, "dilation": conv.dilation}
        product = nn.Conv3d(conv.in_channels, conv.out_channels, **size, device="meta")
        product.weight = nn.Parameter(_weighted_sum(sums, weight.unbind(along + 2)).unsqueeze(along + 2))
        product.bias = nn.Parameter(bias) if bias is not None and number == BIASED else None
        yield product


def _weighted_sum(factors: Sequence[float], parts: Sequence[Tensor]) -> Tensor:
    terms = [part if factor == 1 else factor * part for factor, part in zip(factors, parts, strict=True) if factor]
    return sum(terms[1:], terms[0])


def _channels_last(x: Tensor) -> Tensor:
    """[N, C, T, H, W] -> [N, T, H, W, C], contiguous."""
    return x.permute(0, 2, 3, 4, 1).contiguous()


def _channels_first(x: Tensor) -> Tensor:
    """[N, T, H, W, C] -> [N, C, T, H, W], with channels innermost in memory.

    ``permute`` would be enough without a compiler. With one, the stride of N becomes 0 for a single clip, which oneDNN
    does not handle.
    """
    n, t, h, w, c = x.shape
    return x.contiguous().as_strided((n, c, t, h, w), (t * h * w * c, 1, h * w * c, w * c, c))
