"""Norms of networks, in a table by name. A new kind is one entry of ``NORMS``."""

from collections.abc import Callable
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class FrozenBatchNorm3d(nn.Module):
    """Batch norm with fixed statistics, scale and shift: an affine map per channel whose numbers are buffers.

    Detectron calls it "frozen affine"; detectron2 has it for images. Its state dict has the keys of ``nn.BatchNorm3d``
    except ``num_batches_tracked``, which it drops when it loads one.

    Shape: [N, C, T, H, W] -> [N, C, T, H, W].
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
            # F.batch_norm would store x for the backward pass; the gradient of x * constant does not need x.
            scale = self.weight * (self.running_var + self.eps).rsqrt()
            shift = self.bias - self.running_mean * scale
            return x * scale.view(-1, 1, 1, 1).to(x.dtype) + shift.view(-1, 1, 1, 1).to(x.dtype)
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps)

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: object) -> None:
        state_dict.pop(prefix + "num_batches_tracked", None)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def extra_repr(self) -> str:
        return f"{self.weight.shape[0]}, eps={self.eps}"


MAX_GROUPS = 32  # default of Wu & He 2018, "Group Normalization"


def group_norm(channels: int, eps: float, momentum: float) -> nn.Module:
    """Return a group norm; its number of groups is the largest divisor of ``channels`` up to 32.

    ``momentum`` is unused: group norm has no running statistics.
    """
    groups = max(g for g in range(1, MAX_GROUPS + 1) if channels % g == 0)
    return nn.GroupNorm(groups, channels, eps)


NormMaker: TypeAlias = Callable[[int, float, float], nn.Module]
NORMS: dict[str, NormMaker] = {
    "batch": lambda channels, eps, momentum: nn.BatchNorm3d(channels, eps, momentum),
    "frozen_batch": lambda channels, eps, momentum: FrozenBatchNorm3d(channels, eps),
    "group": group_norm,
    "sync_batch": lambda channels, eps, momentum: nn.SyncBatchNorm(channels, eps, momentum),
}
"""Constructor by name, called with channels, eps and momentum."""
