"""Coordinates of frames that were resized."""

import torch
from torch import Tensor


def size_ratios(old: tuple[int, int], new: tuple[int, int], like: Tensor) -> tuple[Tensor, Tensor]:
    """Return the factors of rows and columns of a frame resized from ``old`` to ``new`` (height, width).

    Rounded to float32, as torchvision's detectors have it.
    """
    ratios = [
        torch.tensor(n, dtype=torch.float32) / torch.tensor(o, dtype=torch.float32)
        for o, n in zip(old, new, strict=True)
    ]
    height, width = (ratio.to(like.device) for ratio in ratios)
    return height, width


def resize_boxes(boxes: Tensor, old: tuple[int, int], new: tuple[int, int]) -> Tensor:
    """Return boxes [..., 4] of a frame of size ``old`` in that frame resized to ``new`` (height, width)."""
    height, width = size_ratios(old, new, boxes)
    return boxes * torch.stack([width, height, width, height])
