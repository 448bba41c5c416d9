"""Convolution, norm, sum and ReLU as one layer, in the layout and by the kernels that are fastest."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from res3d.backbone import ReplicatedTimeConv3d
from res3d.inference.fold import fold_norm

View = Literal["volume", "pictures", "columns"]


def choose_view(conv: nn.Conv3d) -> View:
    """As what a convolution is computed: the same products and sums whatever the view.

    One that sees one frame at a time is a 2D convolution over N·T "pictures" of H × W; one that sees one pixel at a
    time is a 2D one over N pictures of T × H·W, whose "columns" are pixels. With channels innermost in memory neither
    moves a number, and 2D kernels are the better tuned.
    """
    (t, *space), (step, *steps) = conv.kernel_size, conv.stride
    if t == 1 and step == 1:
        return "pictures"
    if space == [1, 1] and steps == [1, 1] and not any(conv.padding[1:]):
        return "columns"
    return "volume"


class _Numbers(NamedTuple):
    """Numbers of a convolution along the axes of its view."""

    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]


class FusedConv(nn.Module):
    """``relu(norm(conv(x)) + residual)``, of which norm, residual and ReLU may be absent.

    Shape: [N, in_channels, T, H, W], residual [N, out_channels, T', H', W'] -> the residual's shape, with channels
    innermost in memory. Input in any floating type; the output has the layer's.

    Args:
        conv: the convolution, with zero or replicated padding in time.
        norm: one that ``is_fixed_norm``, which is folded into the convolution.
        rectified: whether a ReLU comes last.
        dtype: computing type; None is the convolution's own.
        view: as what it is computed, see ``choose_view``.
    """

    weight: Tensor
    bias: Tensor | None

    def __init__(
        self,
        conv: nn.Conv3d,
        norm: nn.Module | None = None,
        *,
        rectified: bool,
        dtype: torch.dtype | None,
        view: View = "volume",
    ) -> None:
        super().__init__()
        self.view = view
        self.rectified = rectified
        self.groups = conv.groups
        axes = {"volume": slice(0, 3), "pictures": slice(1, 3), "columns": slice(0, 2)}[self.view]
        padding = tuple(int(p) for p in conv.padding)
        # Frames repeated at the borders are put there before the convolution, which then pads time with nothing.
        self.replicated = padding[0] if isinstance(conv, ReplicatedTimeConv3d) else 0
        padding = (padding[0] - self.replicated, *padding[1:])
        self.numbers = _Numbers(conv.stride[axes], padding[axes], conv.dilation[axes])
        weight, bias = conv.weight.detach(), None if conv.bias is None else conv.bias.detach()
        if norm is not None:
            weight, bias = fold_norm(weight, bias, norm)
        squeezed = {"volume": weight, "pictures": weight[:, :, 0], "columns": weight[:, :, :, :, 0]}[self.view]
        layout = torch.channels_last_3d if self.view == "volume" else torch.channels_last
        self.register_buffer("weight", squeezed.to(dtype or weight.dtype).contiguous(memory_format=layout))
        self.register_buffer("bias", None if bias is None else bias.to(dtype or weight.dtype))

    def forward(self, x: Tensor, residual: Tensor | None = None, *, overwrite: bool = False) -> Tensor:
        """With ``overwrite`` the sum may be written where the residual was."""
        x = x.to(self.weight.dtype)
        if self.replicated:
            x = F.pad(x, (0, 0, 0, 0, self.replicated, self.replicated), mode="replicate")
        shape = x.shape
        y = self._compute(self._seen(x), None if residual is None else self._seen(residual.to(x.dtype)), overwrite)
        return self._restored(y, shape)

    def _compute(self, x: Tensor, residual: Tensor | None, overwrite: bool) -> Tensor:
        conv: Callable[..., Tensor] = F.conv3d if self.view == "volume" else F.conv2d
        y: Tensor = conv(x, self.weight, self.bias, *self.numbers, self.groups)
        if residual is not None:
            y += residual
        return y.relu_() if self.rectified else y

    def _seen(self, x: Tensor) -> Tensor:
        """[N, C, T, H, W] -> [N·T, C, H, W], [N, C, T, H·W], or as it is; channels innermost."""
        x = x.contiguous(memory_format=torch.channels_last_3d)
        if self.view == "pictures":
            return x.transpose(1, 2).flatten(0, 1)
        return x.flatten(3) if self.view == "columns" else x

    def _restored(self, y: Tensor, shape: torch.Size) -> Tensor:
        """``_seen`` undone, where [N, _, T, H, W] went in."""
        if self.view == "pictures":
            return torch.unflatten(y, 0, (shape[0], shape[2])).transpose(1, 2)
        return torch.unflatten(y, 3, (shape[3], shape[4])) if self.view == "columns" else y

    def extra_repr(self) -> str:
        return f"{self.view}, {self.numbers}, rectified={self.rectified}, {self.weight.dtype}"


class PackedConv(FusedConv):
    """A ``FusedConv`` by oneDNN's own kernels on a CPU: weights in its order of memory, sum and ReLU inside the kernel.

    PyTorch's convolutions put the weights in order at every call, leave sum and ReLU to passes of their own, and with
    one clip at a time compute deeper layers by an older and slower way (``use_mkldnn`` in its ``Convolution.cpp``). The
    operators are those that ``torch.compile`` puts in place of convolutions with frozen weights.

    Which order is best depends on the size of the maps; with another one's, a kernel can be eight times slower. So
    weights are put in order for the maps that come, and anew when their size (not their number) changes.
    """

    def __init__(
        self, conv: nn.Conv3d, norm: nn.Module | None = None, *, rectified: bool, dtype: torch.dtype | None
    ) -> None:
        super().__init__(conv, norm, rectified=rectified, dtype=dtype, view=choose_view(conv))
        self._order: tuple[int, ...] | None = None  # the size of the maps for which weights are laid out
        self._packed = self.weight
        self._shape = self.weight.shape
        self.weight = torch.empty(0, dtype=self.weight.dtype)  # not kept twice

    def _weights_for(self, maps: torch.Size) -> Tensor:
        if self._order != maps[1:]:
            plain = self._packed if self._order is None else self._packed.to_dense().view(self._shape)
            stride, padding, dilation = self.numbers
            reorder = torch.ops.mkldnn._reorder_convolution_weight
            layout = torch.channels_last_3d if self.view == "volume" else torch.channels_last
            plain = plain.contiguous(memory_format=layout)
            self._packed = reorder(plain, padding, stride, dilation, self.groups, [max(1, maps[0]), *maps[1:]])
            self._order = tuple(maps[1:])
        return self._packed

    def _seen(self, x: Tensor) -> Tensor:
        """As ``FusedConv`` does it, in one step: many layers are so short that steps count."""
        x = x.contiguous(memory_format=torch.channels_last_3d)
        n, c, t, h, w = x.shape
        if self.view == "pictures":
            return x.as_strided((n * t, c, h, w), (h * w * c, 1, w * c, c))
        return x.as_strided((n, c, t, h * w), (t * h * w * c, 1, h * w * c, c)) if self.view == "columns" else x

    def _restored(self, y: Tensor, shape: torch.Size) -> Tensor:
        if self.view == "volume":
            return y
        n, c, (h, w) = shape[0], y.shape[1], shape[3:] if self.view == "columns" else y.shape[2:]
        t = y.shape[2] if self.view == "columns" else shape[2]
        return y.as_strided((n, c, t, h, w), (t * h * w * c, 1, h * w * c, w * c, c))

    def _compute(self, x: Tensor, residual: Tensor | None, overwrite: bool) -> Tensor:
        ops = torch.ops.mkldnn
        stride, padding, dilation = self.numbers
        numbers = (self._weights_for(x.shape), self.bias, padding, stride, dilation, self.groups)
        if residual is None:
            y: Tensor = ops._convolution_pointwise(x, *numbers, "relu" if self.rectified else "none", [], "")
            return y
        then: tuple[object, ...] = ("add", 1.0, "relu" if self.rectified else None, [], None)
        if not len(x):
            return residual  # oneDNN has no sums of nothing
        if overwrite:
            y = ops._convolution_pointwise_.binary(residual, x, *numbers, *then)
        else:
            y = ops._convolution_pointwise.binary(x, residual, *numbers, *then)
        return y


def can_pack(device: torch.device, dtype: torch.dtype) -> bool:
    """True if ``PackedConv`` runs there in that type, and fast."""
    if device.type != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    if not all(hasattr(torch.ops.mkldnn, name) for name in ("_convolution_pointwise", "_reorder_convolution_weight")):
        return False
    return dtype == torch.float32 or (dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported())
