"""Random tubes, and torchvision's functions applied frame by frame: the oracle of what ours does at once."""

import torch


def random_tubes(count: int, frames: int, size: float = 100, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """[count, frames, 4] with sides from 1 to half of ``size``."""
    corners = torch.rand(count, frames, 2, dtype=dtype) * size
    return torch.cat([corners, corners + 1 + torch.rand(count, frames, 2, dtype=dtype) * size / 2], dim=2)


def moving_tubes(count: int, frames: int, size: float = 100) -> torch.Tensor:
    """[count, frames, 4] whose boxes drift a little, many of them over each other: something to suppress."""
    anchors = random_tubes(max(count // 4, 1), 1, size)
    picked = anchors[torch.randint(len(anchors), (count,))]
    drift = torch.randn(count, 1, 4) * 0.04 * size + torch.randn(count, frames, 4) * 0.01 * size
    tubes = picked + drift
    return torch.cat([tubes[..., :2], torch.maximum(tubes[..., 2:], tubes[..., :2] + 1)], dim=2)
