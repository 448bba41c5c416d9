"""Kinds of norm, in a table that a spec names. A new kind is one entry."""

from collections.abc import Callable
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class FrozenBatchNorm3d(nn.Module):
    """Batch norm whose statistics, scale and shift are buffers: a fixed affine map per channel.

    Shape: [N, C, T, H, W] -> the same. Its state has the keys of ``nn.BatchNorm3d``, so either loads the other's
    (the count of batches is dropped). Detectron's "frozen affine"; detectron2 has it for images.
    """

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, channels: int, eps: float) -> None:
        super().__init__()
        self.eps = eps
        self.register_buffer("weight", torch.ones(channels))
        self.register_buffer("bias", torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        if x.requires_grad:
            # F.batch_norm would keep x for its backward pass; a product with constants needs no x there.
            scale = self.weight * (self.running_var + self.eps).rsqrt()
            shift = self.bias - self.running_mean * scale
            return x * scale.view(-1, 1, 1, 1).to(x.dtype) + shift.view(-1, 1, 1, 1).to(x.dtype)
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: object) -> None:
        state_dict.pop(prefix + "num_batches_tracked", None)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def extra_repr(self) -> str:
        return f"{self.weight.shape[0]}, eps={self.eps}"


MAX_GROUPS = 32  # Wu & He 2018, "Group Normalization": 32 groups for the widths of ResNets


def group_norm(channels: int, eps: float, momentum: float) -> nn.Module:
    """Group norm with the largest number of groups that divides ``channels`` and is at most 32."""
    groups = max(g for g in range(1, MAX_GROUPS + 1) if channels % g == 0)
    return nn.GroupNorm(groups, channels, eps)


NormMaker: TypeAlias = Callable[[int, float, float], nn.Module]
NORMS: dict[str, NormMaker] = {
    "batch": lambda channels, eps, momentum: nn.BatchNorm3d(channels, eps, momentum),
    "frozen_batch": lambda channels, eps, momentum: FrozenBatchNorm3d(channels, eps),
    "group": group_norm,
    "sync_batch": lambda channels, eps, momentum: nn.SyncBatchNorm(channels, eps, momentum),
}
