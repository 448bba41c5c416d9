"""Inflation of 2D kernels to 3D ones, and factoring of plain kernels into (2+1)D ones, as papers and libraries do it.

Shape letters: O output channels, I input channels (per group); kt, ky, kx the size of the kernel.
"""

from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor

Inflation: TypeAlias = Literal["center", "mean", "repeat", "center_noise", "center_noise_divided"]
INFLATIONS: tuple[Inflation, ...] = get_args(Inflation)
NOISE = 0.001  # standard deviation in Detect-and-Track


def inflate_kernel(kernel: Tensor, frames: int, mode: Inflation) -> Tensor:
    """Inflate a 2D kernel: [O, I, ky, kx] -> [O, I, frames, ky, kx].

    Modes:

    - "center": the kernel at index frames // 2, zeros elsewhere. An inflated network without temporal stride computes
      for every frame of a clip exactly what the 2D network computes for that frame.
    - "mean": ``frames`` copies, each divided by ``frames`` (Carreira & Zisserman 2017, I3D). Exact for a clip of equal
      frames, except near its first and last frame, where zero padding in time lowers the response.
    - "repeat": ``frames`` undivided copies. The response to equal frames is ``frames`` times as large.
    - "center_noise": as "center", with Gaussian noise of standard deviation 0.001 in place of the zeros
      (``center-only-rest-rand`` of Detect-and-Track, without the division of its released code).
    - "center_noise_divided": as "center_noise", with the whole kernel divided by ``frames``. Detect-and-Track's
      released code computes this. The network no longer computes what the 2D network does; the mode exists to
      reproduce their initialization.

    Raises:
        ValueError: an unknown mode.
    """
    if mode not in INFLATIONS:
        raise ValueError(f"inflate must be one of {', '.join(map(repr, INFLATIONS))}, not {mode!r}")
    copies = kernel.unsqueeze(2).expand(-1, -1, frames, -1, -1)
    if mode == "mean":
        return copies / frames
    if mode == "repeat":
        return copies.clone()
    inflated = torch.zeros(copies.shape, dtype=kernel.dtype)
    if mode != "center":
        inflated.normal_(0.0, NOISE)
    inflated[:, :, frames // 2] = kernel
    return inflated / frames if mode == "center_noise_divided" else inflated


Channels: TypeAlias = Literal["keep", "reverse", "sum", "repeat"]
CHANNELS: tuple[Channels, ...] = get_args(Channels)


def change_channels(kernel: Tensor, in_channels: int, change: Channels) -> Tensor:
    """Adapt the first convolution's kernel to other input channels: [O, I, ...] -> [O, in_channels, ...].

    Changes:

    - "keep": the kernel unchanged, with its I channels.
    - "reverse": the channels in reverse order (BGR to RGB, or RGB to BGR).
    - "sum": the sum over channels, for one input channel. The response to a gray frame equals that of the original
      kernel to three equal channels.
    - "repeat": the channels cyclically repeated, scaled by I / in_channels, for any number of input channels.

    Raises:
        ValueError: an unknown change, or "sum" for more than one input channel.
    """
    if change not in CHANNELS:
        raise ValueError(f"channels must be one of {', '.join(map(repr, CHANNELS))}, not {change!r}")
    if change == "reverse":
        return kernel.flip(1)
    if change == "sum":
        if in_channels != 1:
            raise ValueError(f"channels='sum' is for models of 1 input channel, not {in_channels}")
        return kernel.sum(1, keepdim=True)
    if change == "repeat":
        index = torch.arange(in_channels) % kernel.shape[1]
        return kernel[:, index] * (kernel.shape[1] / in_channels)
    return kernel


class MiddleTooNarrowError(ValueError):
    """A factored convolution has too few channels between its factors to compute what the plain convolution does."""


def _center_frame(matrix: Tensor, frames: int) -> Tensor:
    """[O, I] -> [O, I, frames, 1, 1]: the matrix at index frames // 2, zeros elsewhere."""
    kernel = torch.zeros(*matrix.shape, frames, 1, 1)
    kernel[:, :, frames // 2, 0, 0] = matrix
    return kernel


def factor_spatial_first(spatial: Tensor, middle: int, frames: int, *, signed: bool) -> tuple[Tensor, Tensor]:
    """Return factors, the spatial one first, such that a (2+1)D convolution computes what a plain one computes.

    A norm and a ReLU stand between the factors. That norm gets the values of the plain convolution's norm; the norm
    after the temporal factor becomes the identity (see ``Surgery.factor``).

    If a ReLU follows the output, it may also act between the factors: each output x takes one middle channel. Otherwise
    the output may be negative, and each takes two: +x and -x, which the temporal factor subtracts after the ReLU. The
    remaining middle channels are zero, and so are the temporal factor's weights for them.

    Args:
        spatial: the plain kernel, [O, I, ky, kx].
        middle: M, the number of channels between the factors.
        frames: kt, the size of the temporal factor.
        signed: True if no ReLU follows the output.

    Returns:
        The spatial factor [M, I, 1, ky, kx] and the temporal factor [O, M, kt, 1, 1].

    Raises:
        MiddleTooNarrowError: M < O, or M < 2·O if signed.
    """
    out = spatial.shape[0]
    needed = 2 * out if signed else out
    if middle < needed:
        raise MiddleTooNarrowError(f"it needs {needed} channels between its factors and has {middle}")
    first = torch.zeros(middle, *spatial.shape[1:])
    second = torch.zeros(out, middle)
    first[:out] = spatial
    second[:, :out] = torch.eye(out)
    if signed:
        first[out : 2 * out] = -spatial
        second[:, out : 2 * out] = -torch.eye(out)
    return first.unsqueeze(2), _center_frame(second, frames)


def factor_temporal_first(spatial: Tensor, middle: int, frames: int) -> tuple[Tensor, Tensor]:
    """Return factors, the temporal one first, such that a (1+2)D convolution computes what a plain one computes.

    The temporal factor copies its input, which must not be negative because a ReLU stands between the factors. The norm
    between the factors becomes the identity; the norm after them gets the values of the plain convolution's norm.

    Args:
        spatial: the plain kernel, [O, I, ky, kx].
        middle: M, the number of channels between the factors.
        frames: kt, the size of the temporal factor.

    Returns:
        The temporal factor [M, I, kt, 1, 1] and the spatial factor [O, M, 1, ky, kx].

    Raises:
        MiddleTooNarrowError: M < I.
    """
    out, channels = spatial.shape[:2]
    if middle < channels:
        raise MiddleTooNarrowError(f"it needs {channels} channels between its factors and has {middle}")
    first = torch.eye(middle, channels)
    second = torch.zeros(out, middle, *spatial.shape[2:])
    second[:, :channels] = spatial
    return _center_frame(first, frames), second.unsqueeze(2)
