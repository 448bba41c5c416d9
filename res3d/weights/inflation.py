"""2D kernels into 3D ones, and plain convolutions into factored ones, as the libraries and papers define it.

Shape letters: O output channels, I input channels (per group), kt, ky, kx the kernel.
"""

from collections.abc import Callable
from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor

Inflation: TypeAlias = Literal["center", "mean", "repeat", "center_noise", "center_noise_divided"]
INFLATIONS: tuple[Inflation, ...] = get_args(Inflation)
NOISE = 0.001  # standard deviation, Detect-and-Track's


def inflate_kernel(kernel: Tensor, frames: int, mode: Inflation) -> Tensor:
    """[O, I, ky, kx] -> [O, I, frames, ky, kx].

    - "center": the kernel at index frames // 2, zeros elsewhere. A network inflated so computes, in every frame of any
      clip without temporal stride, what the 2D network computes of that frame.
    - "mean": copies divided by ``frames`` (Carreira & Zisserman 2017, I3D). Exact for equal frames away from the clip's
      ends; zero padding in time breaks it there.
    - "repeat": copies as they are, ``frames`` times the response.
    - "center_noise": "center" with Gaussian noise of 0.001 in place of the zeros (Detect-and-Track's
      ``center-only-rest-rand``, without its fault).
    - "center_noise_divided": the same divided by ``frames``, centre included, which is what Detect-and-Track's released
      code computes. It loses the network; kept to reproduce its initialisations.

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
    rest = torch.zeros(copies.shape, dtype=kernel.dtype)
    if mode != "center":
        rest.normal_(0.0, NOISE)
    rest[:, :, frames // 2] = kernel
    return rest / frames if mode == "center_noise_divided" else rest


Channels: TypeAlias = Literal["keep", "reverse", "sum", "repeat"]
CHANNELS: tuple[Channels, ...] = get_args(Channels)


def change_channels(kernel: Tensor, in_channels: int, change: Channels) -> Tensor:
    """The first convolution's kernel [O, I, ...] for other input: [O, in_channels, ...].

    - "keep": as it is.
    - "reverse": RGB for BGR, or the other way round.
    - "sum": for one channel: a gray picture gives what it gave as three equal channels.
    - "repeat": for any number: channels in turn, scaled by I / in_channels.

    Raises:
        ValueError: an unknown change, or "sum" for more than one channel.
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
    """A factored convolution has too few channels between its factors to compute what the plain one does."""


def _delta(out: int, channels: int, frames: int, signs: Callable[[Tensor], None]) -> Tensor:
    kernel = torch.zeros(out, channels, frames, 1, 1)
    signs(kernel[:, :, frames // 2, 0, 0])
    return kernel


def factor_spatial_first(spatial: Tensor, middle: int, frames: int, *, signed: bool) -> tuple[Tensor, Tensor]:
    """A plain kernel as the factors of a (2+1)D convolution whose middle is normalised and rectified.

    The plain convolution's own norm belongs in the middle, as often as its output stands there; the norm after the
    temporal factor becomes the identity. Where the result is rectified anyway, one middle channel carries one output.
    Where it is summed, it may be negative: +x and -x are carried by two, and put together again. Spare middle channels
    are left at zero and the temporal factor does not read them.

    Args:
        spatial: [O, I, ky, kx].
        middle: M, channels between the factors.
        frames: kt, of the temporal factor.
        signed: whether the result is used without a ReLU.

    Returns:
        The spatial factor [M, I, 1, ky, kx] and the temporal one [O, M, kt, 1, 1].

    Raises:
        MiddleTooNarrowError: M < O, or M < 2·O if signed.
    """
    out = spatial.shape[0]
    needed = 2 * out if signed else out
    if middle < needed:
        raise MiddleTooNarrowError(f"it needs {needed} channels between its factors and has {middle}")
    first = torch.zeros(middle, *spatial.shape[1:])
    first[:out] = spatial
    if signed:
        first[out : 2 * out] = -spatial

    def signs(matrix: Tensor) -> None:
        matrix[:, :out] = torch.eye(out)
        if signed:
            matrix[:, out : 2 * out] = -torch.eye(out)

    return first.unsqueeze(2), _delta(out, middle, frames, signs)


def factor_temporal_first(spatial: Tensor, middle: int, frames: int) -> tuple[Tensor, Tensor]:
    """The same where the temporal factor comes first: it passes its input on, which must not be negative.

    Args:
        spatial: [O, I, ky, kx].
        middle: M, channels between the factors.
        frames: kt, of the temporal factor.

    Returns:
        The temporal factor [M, I, kt, 1, 1] and the spatial one [O, M, 1, ky, kx].

    Raises:
        MiddleTooNarrowError: M < I.
    """
    out, channels = spatial.shape[:2]
    if middle < channels:
        raise MiddleTooNarrowError(f"it needs {channels} channels between its factors and has {middle}")
    second = torch.zeros(out, middle, *spatial.shape[2:])
    second[:, :channels] = spatial

    def signs(matrix: Tensor) -> None:
        matrix[:channels] = torch.eye(channels)

    return _delta(middle, channels, frames, signs), second.unsqueeze(2)
