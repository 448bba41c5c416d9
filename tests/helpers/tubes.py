"""Random tubes."""

import torch


def random_tubes(count: int, frames: int, size: float = 100, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Return tubes [count, frames, 4] of random boxes with sides from 1 to 1 + ``size`` / 2."""
    corners = torch.rand(count, frames, 2, dtype=dtype) * size
    return torch.cat([corners, corners + 1 + torch.rand(count, frames, 2, dtype=dtype) * size / 2], dim=2)


def moving_tubes(count: int, frames: int, size: float = 100) -> torch.Tensor:
    """Return tubes [count, frames, 4] with slowly moving boxes, many of which overlap, for non-maximum suppression."""
    anchors = random_tubes(max(count // 4, 1), 1, size)
    picked = anchors[torch.randint(len(anchors), (count,))]
    drift = torch.randn(count, 1, 4) * 0.04 * size + torch.randn(count, frames, 4) * 0.01 * size
    tubes = picked + drift
    return torch.cat([tubes[..., :2], torch.maximum(tubes[..., 2:], tubes[..., :2] + 1)], dim=2)
