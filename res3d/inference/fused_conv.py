"""Convolution, norm, residual sum and ReLU as one layer, in the fastest memory layout and with the fastest kernels."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from res3d.backbone import ReplicatedTimeConv3d
from res3d.inference.fold import fold_norm

View = Literal["volume", "frames", "pixels"]


def choose_view(conv: nn.Conv3d) -> View:
    """Choose the view of the input in which a convolution is computed. The result is the same in every view.

    - "frames": a convolution over single frames is computed as a 2D convolution over N·T images of H × W.
    - "pixels": a convolution over single pixels is computed as a 2D convolution over N images of T × H·W.
    - "volume": any other convolution is computed in 3D.

    2D kernels are faster than 3D ones. With channels innermost in memory, no view needs a copy of the input.
    """
    (kernel_t, *kernel_yx), (stride_t, *stride_yx) = conv.kernel_size, conv.stride
    if kernel_t == 1 and stride_t == 1:
        return "frames"
    if kernel_yx == [1, 1] and stride_yx == [1, 1] and not any(conv.padding[1:]):
        return "pixels"
    return "volume"


class _Geometry(NamedTuple):
    """Stride, padding and dilation of a convolution along the axes of its view."""

    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]


class FusedConv(nn.Module):
    """``relu(norm(conv(x)) + residual)``, where norm, residual and ReLU are optional.

    Shape: [N, in_channels, T, H, W], residual [N, out_channels, T', H', W'] -> [N, out_channels, T', H', W'], with
    channels innermost in memory. The input may have any floating-point type; the output has ``dtype``.

    Args:
        conv: the convolution, with zero or replicated padding in time.
        norm: a norm to fold into the convolution, for which ``is_fixed_norm`` is true.
        rectified: True if a ReLU comes last.
        dtype: computing type; None: the type of the convolution's weight.
        view: the view of the input in which the layer is computed, see ``choose_view``.
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
        axes = {"volume": slice(0, 3), "frames": slice(1, 3), "pixels": slice(0, 2)}[self.view]
        padding = tuple(int(p) for p in conv.padding)
        # ``forward`` replicates the frames at the borders, so the convolution itself does not pad time.
        self.replicated = padding[0] if isinstance(conv, ReplicatedTimeConv3d) else 0
        padding = (padding[0] - self.replicated, *padding[1:])
        self.geometry = _Geometry(conv.stride[axes], padding[axes], conv.dilation[axes])
        weight, bias = conv.weight.detach(), None if conv.bias is None else conv.bias.detach()
        if norm is not None:
            weight, bias = fold_norm(weight, bias, norm)
        squeezed = {"volume": weight, "frames": weight[:, :, 0], "pixels": weight[:, :, :, :, 0]}[self.view]
        layout = torch.channels_last_3d if self.view == "volume" else torch.channels_last
        self.register_buffer("weight", squeezed.to(dtype or weight.dtype).contiguous(memory_format=layout))
        self.register_buffer("bias", None if bias is None else bias.to(dtype or weight.dtype))

    def forward(self, x: Tensor, residual: Tensor | None = None, *, overwrite: bool = False) -> Tensor:
        """Compute the layer. With ``overwrite``, the output may be written over ``residual``."""
        x = x.to(self.weight.dtype)
        if self.replicated:
            x = F.pad(x, (0, 0, 0, 0, self.replicated, self.replicated), mode="replicate")
        shape = x.shape
        y = self._compute(
            self._to_view(x), None if residual is None else self._to_view(residual.to(x.dtype)), overwrite
        )
        return self._from_view(y, shape)

    def _compute(self, x: Tensor, residual: Tensor | None, overwrite: bool) -> Tensor:
        conv: Callable[..., Tensor] = F.conv3d if self.view == "volume" else F.conv2d
        y: Tensor = conv(x, self.weight, self.bias, *self.geometry, self.groups)
        if residual is not None:
            y += residual
        return y.relu_() if self.rectified else y

    def _to_view(self, x: Tensor) -> Tensor:
        """[N, C, T, H, W] -> [N·T, C, H, W] (frames), [N, C, T, H·W] (pixels) or unchanged; channels innermost."""
        x = x.contiguous(memory_format=torch.channels_last_3d)
        if self.view == "frames":
            return x.transpose(1, 2).flatten(0, 1)
        return x.flatten(3) if self.view == "pixels" else x

    def _from_view(self, y: Tensor, shape: torch.Size) -> Tensor:
        """Convert an output in the view to [N, out_channels, T', H', W']; ``shape`` is that of the layer's input."""
        if self.view == "frames":
            return torch.unflatten(y, 0, (shape[0], shape[2])).transpose(1, 2)
        return torch.unflatten(y, 3, (shape[3], shape[4])) if self.view == "pixels" else y

    def extra_repr(self) -> str:
        return f"{self.view}, {self.geometry}, rectified={self.rectified}, {self.weight.dtype}"


class PackedConv(FusedConv):
    """A ``FusedConv`` on oneDNN's kernels for CPUs: packed weights, residual sum and ReLU inside the kernel.

    PyTorch's convolutions reorder the weights at every call, compute the sum and the ReLU in separate passes, and use a
    slower algorithm for the deeper layers of a single clip (``use_mkldnn`` in its ``Convolution.cpp``). This layer
    calls the operators that ``torch.compile`` substitutes for convolutions with frozen weights.

    The best memory layout of the weights depends on the size of the feature maps; the layout for another size can be
    eight times slower. The weights are packed at the first call, and packed again when the size of the maps (not the
    number of clips) changes.
    """

    def __init__(
        self, conv: nn.Conv3d, norm: nn.Module | None = None, *, rectified: bool, dtype: torch.dtype | None
    ) -> None:
        super().__init__(conv, norm, rectified=rectified, dtype=dtype, view=choose_view(conv))
        self._packed_size: tuple[int, ...] | None = None  # [C, ...] of the maps for which the weights are packed
        self._packed = self.weight
        self._shape = self.weight.shape
        self.weight = torch.empty(0, dtype=self.weight.dtype)  # frees the unpacked weights

    def _packed_weights(self, maps: torch.Size) -> Tensor:
        """Return the weights packed for input maps of this shape."""
        if self._packed_size != maps[1:]:
            plain = self._packed if self._packed_size is None else self._packed.to_dense().view(self._shape)
            stride, padding, dilation = self.geometry
            reorder = torch.ops.mkldnn._reorder_convolution_weight
            layout = torch.channels_last_3d if self.view == "volume" else torch.channels_last
            plain = plain.contiguous(memory_format=layout)
            self._packed = reorder(plain, padding, stride, dilation, self.groups, [max(1, maps[0]), *maps[1:]])
            self._packed_size = tuple(maps[1:])
        return self._packed

    def _to_view(self, x: Tensor) -> Tensor:
        """Compute as ``FusedConv`` in one operation: in small layers the time for calling operations matters."""
        x = x.contiguous(memory_format=torch.channels_last_3d)
        n, c, t, h, w = x.shape
        if self.view == "frames":
            return x.as_strided((n * t, c, h, w), (h * w * c, 1, w * c, c))
        return x.as_strided((n, c, t, h * w), (t * h * w * c, 1, h * w * c, c)) if self.view == "pixels" else x

    def _from_view(self, y: Tensor, shape: torch.Size) -> Tensor:
        if self.view == "volume":
            return y
        n, c, (h, w) = shape[0], y.shape[1], shape[3:] if self.view == "pixels" else y.shape[2:]
        t = y.shape[2] if self.view == "pixels" else shape[2]
        return y.as_strided((n, c, t, h, w), (t * h * w * c, 1, h * w * c, w * c, c))

    def _compute(self, x: Tensor, residual: Tensor | None, overwrite: bool) -> Tensor:
        ops = torch.ops.mkldnn
        stride, padding, dilation = self.geometry
        arguments = (self._packed_weights(x.shape), self.bias, padding, stride, dilation, self.groups)
        if residual is None:
            y: Tensor = ops._convolution_pointwise(x, *arguments, "relu" if self.rectified else "none", [], "")
            return y
        add_and_relu: tuple[object, ...] = ("add", 1.0, "relu" if self.rectified else None, [], None)
        if not len(x):
            return residual  # oneDNN cannot add empty tensors
        if overwrite:
            y = ops._convolution_pointwise_.binary(residual, x, *arguments, *add_and_relu)
        else:
            y = ops._convolution_pointwise.binary(x, residual, *arguments, *add_and_relu)
        return y


def can_pack(device: torch.device, dtype: torch.dtype) -> bool:
    """Return True if ``PackedConv`` runs on ``device`` in type ``dtype``, and is fast there."""
    if device.type != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    if not all(hasattr(torch.ops.mkldnn, name) for name in ("_convolution_pointwise", "_reorder_convolution_weight")):
        return False
    return dtype == torch.float32 or (dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported())
