"""Coordinates in resized frames."""

import torch
from torch import Tensor


def size_ratios(old: tuple[int, int], new: tuple[int, int], like: Tensor) -> tuple[Tensor, Tensor]:
    """Return the ratios new / old of heights and widths of a frame: two scalar tensors.

    Rounded to float32, as in torchvision's detectors.

    Args:
        old: (height, width) before the resize.
        new: (height, width) after the resize.
        like: tensor whose device the ratios are on.
    """
    ratios = [
        torch.tensor(n, dtype=torch.float32) / torch.tensor(o, dtype=torch.float32)
        for o, n in zip(old, new, strict=True)
    ]
    height, width = (ratio.to(like.device) for ratio in ratios)
    return height, width


def resize_boxes(boxes: Tensor, old: tuple[int, int], new: tuple[int, int]) -> Tensor:
    """Return boxes [..., 4] of a frame of size ``old`` (height, width) after the frame is resized to ``new``."""
    height, width = size_ratios(old, new, boxes)
    return boxes * torch.stack([width, height, width, height])
