"""Folding of norms into the convolutions before them: ``norm(conv(x))`` becomes one convolution with a bias."""

import torch
from torch import Tensor, nn

from res3d.backbone import FrozenBatchNorm3d

FIXED_NORMS = (nn.BatchNorm3d, nn.SyncBatchNorm, FrozenBatchNorm3d)  # in eval mode: one scale and shift per channel


def is_fixed_norm(module: nn.Module) -> bool:
    """Return True if, in eval mode, the module applies a fixed scale and shift to each channel."""
    return isinstance(module, FIXED_NORMS) and module.running_mean is not None


@torch.no_grad()
def fold_norm(weight: Tensor, bias: Tensor | None, norm: nn.Module) -> tuple[Tensor, Tensor]:
    """Return weight [O, ...] and bias [O] of the one convolution that computes ``norm(conv(x))``.

    The result is exact at borders too, because the zeros of the padding are not affected. Computed in float64.

    Args:
        weight: weight of the convolution, [O, ...].
        bias: bias of the convolution, [O], or None.
        norm: a norm over O channels for which ``is_fixed_norm`` is true.
    """
    assert isinstance(norm, FIXED_NORMS)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = (norm.running_var.double() + norm.eps).rsqrt()
    if norm.weight is not None:
        scale = scale * norm.weight.double()
    shift = -norm.running_mean.double() if bias is None else bias.double() - norm.running_mean.double()
    shift = shift * scale
    if norm.bias is not None:
        shift = shift + norm.bias.double()
    folded = weight.double() * scale.view(-1, *[1] * (weight.dim() - 1))
    return folded.to(weight.dtype), shift.to(weight.dtype)
