"""Convolutions of the neck and the heads: ``[N, C, T, H, W]`` maps, a kernel in time that keeps T, and bias or norm."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from res3d.backbone import NORMS, NormSpec


def same_conv(in_channels: int, out_channels: int, frames: int, size: int, *, bias: bool = True) -> nn.Conv3d:
    """A convolution of frames × size × size that keeps the map's extent; both are odd."""
    padding = (frames // 2, size // 2, size // 2)
    return nn.Conv3d(in_channels, out_channels, (frames, size, size), padding=padding, bias=bias)


def conv_norm_act(
    in_channels: int, out_channels: int, frames: int, size: int, norm: NormSpec | None, *, act: bool = True
) -> nn.Sequential:
    """Children conv (with a bias where there is no norm), norm and act."""
    layer = nn.Sequential()
    layer.add_module("conv", same_conv(in_channels, out_channels, frames, size, bias=norm is None))
    if norm is not None:
        layer.add_module("norm", NORMS[norm.kind](out_channels, norm.eps, norm.momentum))
    if act:
        layer.add_module("act", nn.ReLU(inplace=True))
    return layer


class ConvStack(nn.Sequential):
    """3×3 convolutions of ``widths``, each with norm and ReLU; ``channels`` come out.

    Shape: [N, in_channels, T, H, W] -> [N, channels, T, H, W].
    """

    def __init__(self, in_channels: int, widths: tuple[int, ...], frames: int, norm: NormSpec | None) -> None:
        super().__init__()
        for width in widths:
            self.append(conv_norm_act(in_channels, width, frames, 3, norm))
            in_channels = width
        self.channels = in_channels

    def forward(self, x: Tensor) -> Tensor:
        if len(self):  # the layout in which convolutions of many small maps are fastest, on CPU and GPU
            x = x.contiguous(memory_format=torch.channels_last_3d)
        for layer in self:
            x = layer(x)
        return x


class WindowConv3d(nn.Conv3d):
    """A convolution whose window is a whole map: the linear layer of an RoI, or one that sees neighbouring frames too.

    Shape: [R, in_channels, T, size, size] -> [R, out_channels, T, 1, 1], zero-padded in time.

    Computed as one matrix product a frame of the kernel, shifted in time and added: nothing is unfolded.
    """

    def __init__(self, in_channels: int, out_channels: int, frames: int, size: int = 1) -> None:
        super().__init__(in_channels, out_channels, (frames, size, size), padding=(frames // 2, 0, 0))

    def forward(self, x: Tensor) -> Tensor:
        flat = x.permute(2, 0, 1, 3, 4).flatten(2)  # [T, R, C · size²], the order in which tubes are pooled
        middle = self.kernel_size[0] // 2
        total = F.linear(flat, self.weight[:, :, middle].flatten(1), self.bias)
        reach = min(middle, x.shape[2] - 1)  # beyond it there are only zeros
        for shift in (s for s in range(-reach, reach + 1) if s):  # frame t takes frame t + shift
            part = F.linear(flat, self.weight[:, :, middle + shift].flatten(1))
            total = total + F.pad(part, (0, 0, 0, 0, -shift, shift))
        return total.permute(1, 2, 0)[..., None, None]


def full_precision(x: Tensor) -> Tensor:
    """Boxes, scores and losses are computed in float32 at least, whatever autocast chose for the network."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def idle_loss(module: nn.Module) -> Tensor:
    """Zero, with a graph to every parameter of a head that had nothing to learn from: all processes get gradients."""
    return torch.stack([0.0 * full_precision(p).sum() for p in module.parameters()]).sum()
