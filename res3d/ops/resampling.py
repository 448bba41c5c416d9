"""Interpolation matrices that resize the small maps of many boxes at once, each to the size of its box.

The products agree with ``torch.nn.functional.interpolate(align_corners=False)`` of each map alone. Shape letters:
R boxes, S positions along a side of a map, P output positions.
"""

import torch
from torch import Tensor

CUBIC_COEFFICIENT = -0.75  # of torch's bicubic interpolation


def linear_weights(size: int, lengths: Tensor, starts: Tensor, count: int) -> Tensor:
    """Return linear interpolation weights [R, P, S] for maps that are resized and pasted along one axis.

    Map r covers the output positions from ``starts[r]`` to ``starts[r] + lengths[r] - 1``; weights of output positions
    outside this range are zero.

    Args:
        size: S.
        lengths: [R] whole numbers ≥ 1, the size that each map is resized to.
        starts: [R] whole numbers, the output position of each map's beginning.
        count: P; the output positions are 0 to P - 1.
    """
    positions = torch.arange(count, device=starts.device) - starts[:, None]
    inside = (positions >= 0) & (positions < lengths[:, None])
    source = (((positions + 0.5) * (size / lengths[:, None].double())) - 0.5).clamp(0, size - 1)
    low = source.floor().long()
    fraction = source - low
    weights = source.new_zeros(*positions.shape, size)
    for index, part in ((low, 1 - fraction), ((low + 1).clamp(max=size - 1), fraction)):
        weights.scatter_add_(2, index[..., None], torch.where(inside, part, 0)[..., None])
    return weights


def cubic_weights(size: int, lengths: Tensor, count: int) -> Tensor:
    """Return bicubic interpolation weights [R, P, S] for maps that are resized along one axis.

    Weights of output positions at and beyond a map's length are undefined.

    Args:
        size: S.
        lengths: [R] whole numbers ≥ 1, the size that each map is resized to.
        count: P; the output positions are 0 to P - 1.
    """
    positions = torch.arange(count, device=lengths.device)
    source = (positions + 0.5) * (size / lengths[:, None].double()) - 0.5
    low = source.floor()
    fraction = source - low
    weights = source.new_zeros(*source.shape, size)
    for tap in (-1, 0, 1, 2):
        part = _cubic((fraction - tap).abs())
        index = (low.long() + tap).clamp(0, size - 1)
        weights.scatter_add_(2, index[..., None], part[..., None])
    return weights


def _cubic(x: Tensor) -> Tensor:
    """Return the cubic convolution kernel of Keys (1981) at distances 0 ≤ x ≤ 2."""
    a = CUBIC_COEFFICIENT
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return torch.where(x <= 1, near, far)
