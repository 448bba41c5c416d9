"""Small maps of boxes, each resized to its own box: every box at once, as products with matrices of weights.

Both agree with ``torch.nn.functional.interpolate(align_corners=False)`` of each map alone. Shape letters: R boxes,
S the side of a map, P positions.
"""

import torch
from torch import Tensor

CUBIC = -0.75  # torch's coefficient of bicubic interpolation


def linear_weights(size: int, lengths: Tensor, starts: Tensor, count: int) -> Tensor:
    """[R, count, size]: how positions 0 to count - 1 are interpolated from a map that covers [start, start + length).

    Rows outside it are zero.

    Args:
        size: S, of the map.
        lengths: [R] whole numbers ≥ 1, the size that each map is resized to.
        starts: [R] whole numbers, where it then begins.
        count: P.
    """
    places = torch.arange(count, device=starts.device) - starts[:, None]
    inside = (places >= 0) & (places < lengths[:, None])
    source = (((places + 0.5) * (size / lengths[:, None].double())) - 0.5).clamp(0, size - 1)
    low = source.floor().long()
    share = source - low
    weights = source.new_zeros(*places.shape, size)
    for index, part in ((low, 1 - share), ((low + 1).clamp(max=size - 1), share)):
        weights.scatter_add_(2, index[..., None], torch.where(inside, part, 0)[..., None])
    return weights


def cubic_weights(size: int, lengths: Tensor, count: int) -> Tensor:
    """[R, count, size]: bicubic weights of positions 0 to count - 1 of maps resized to ``lengths`` [R], each ≥ 1.

    Rows at and beyond a map's length mean nothing.
    """
    places = torch.arange(count, device=lengths.device)
    source = (places + 0.5) * (size / lengths[:, None].double()) - 0.5
    low = source.floor()
    share = source - low
    weights = source.new_zeros(*source.shape, size)
    for tap in (-1, 0, 1, 2):
        part = _cubic((share - tap).abs())
        index = (low.long() + tap).clamp(0, size - 1)
        weights.scatter_add_(2, index[..., None], part[..., None])
    return weights


def _cubic(x: Tensor) -> Tensor:
    """Keys' cubic convolution kernel at distances 0 ≤ x ≤ 2."""
    near = ((CUBIC + 2) * x - (CUBIC + 3)) * x * x + 1
    far = ((CUBIC * x - 5 * CUBIC) * x + 8 * CUBIC) * x - 4 * CUBIC
    return torch.where(x <= 1, near, far)
