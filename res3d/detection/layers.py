"""Convolutions of the neck and the heads, on feature maps ``[N, C, T, H, W]``. They leave T unchanged."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from res3d.backbone import NORMS, NormSpec


def same_conv(in_channels: int, out_channels: int, frames: int, size: int, *, bias: bool = True) -> nn.Conv3d:
    """Return a convolution of kernel (frames, size, size), both odd, whose output has the size of its input."""
    padding = (frames // 2, size // 2, size // 2)
    return nn.Conv3d(in_channels, out_channels, (frames, size, size), padding=padding, bias=bias)


def conv_norm_act(
    in_channels: int, out_channels: int, frames: int, size: int, norm: NormSpec | None, *, act: bool = True
) -> nn.Sequential:
    """Return a convolution (child "conv"), its norm ("norm") and a ReLU ("act").

    The convolution has a bias if ``norm`` is None. ``act=False`` leaves out the ReLU.
    """
    layer = nn.Sequential()
    layer.add_module("conv", same_conv(in_channels, out_channels, frames, size, bias=norm is None))
    if norm is not None:
        layer.add_module("norm", NORMS[norm.kind](out_channels, norm.eps, norm.momentum))
    if act:
        layer.add_module("act", nn.ReLU(inplace=True))
    return layer


class ConvStack(nn.Sequential):
    """3×3 convolutions of ``widths`` that span ``frames`` in time, each followed by norm and ReLU.

    Shape: [N, in_channels, T, H, W] -> [N, channels, T, H, W], where ``channels`` is the last width.
    """

    def __init__(self, in_channels: int, widths: tuple[int, ...], frames: int, norm: NormSpec | None) -> None:
        super().__init__()
        for width in widths:
            self.append(conv_norm_act(in_channels, width, frames, 3, norm))
            in_channels = width
        self.channels = in_channels

    def forward(self, x: Tensor) -> Tensor:
        if len(self):  # convolutions of many small feature maps are fastest in this memory format, on CPU and GPU
            x = x.contiguous(memory_format=torch.channels_last_3d)
        for layer in self:
            x = layer(x)
        return x


class WindowConv3d(nn.Conv3d):
    """Convolution whose kernel covers a whole feature map of size × size and ``frames`` frames.

    With ``frames=1`` it is the linear layer of a RoI head, applied to each frame.

    Shape: [R, in_channels, T, size, size] -> [R, out_channels, T, 1, 1], zero-padded in time.

    It is computed as one matrix product per frame of the kernel; the products are shifted in time and added. This needs
    no unfolded copy of the input.
    """

    def __init__(self, in_channels: int, out_channels: int, frames: int, size: int = 1) -> None:
        super().__init__(in_channels, out_channels, (frames, size, size), padding=(frames // 2, 0, 0))

    def forward(self, x: Tensor) -> Tensor:
        flat = x.permute(2, 0, 1, 3, 4).flatten(2)  # [T, R, C · size²]: no copy, as tubes are pooled in this order
        middle = self.kernel_size[0] // 2
        total = F.linear(flat, self.weight[:, :, middle].flatten(1), self.bias)
        reach = min(middle, x.shape[2] - 1)  # larger shifts read only the zero padding
        for shift in (s for s in range(-reach, reach + 1) if s):  # frame t reads frame t + shift
            part = F.linear(flat, self.weight[:, :, middle + shift].flatten(1))
            total = total + F.pad(part, (0, 0, 0, 0, -shift, shift))
        return total.permute(1, 2, 0)[..., None, None]


def full_precision(x: Tensor) -> Tensor:
    """Return ``x`` in float32 if its type is less precise, else unchanged.

    Boxes, scores and losses need it: autocast may have computed ``x`` in half precision.
    """
    return x.to(torch.promote_types(x.dtype, torch.float32))


def idle_loss(module: nn.Module) -> Tensor:
    """Return a loss of zero whose gradient reaches every parameter of ``module``.

    It replaces the loss of a head without samples. In distributed training every process must compute gradients of the
    same parameters.
    """
    return torch.stack([0.0 * full_precision(p).sum() for p in module.parameters()]).sum()
