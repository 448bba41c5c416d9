"""Norms folded into the convolutions before them: ``norm(conv(x))`` as one convolution with a bias."""

import torch
from torch import Tensor, nn

from res3d.backbone import FrozenBatchNorm3d

FIXED_NORMS = (nn.BatchNorm3d, nn.SyncBatchNorm, FrozenBatchNorm3d)  # in eval mode: one scale and shift a channel


def is_fixed_norm(module: nn.Module) -> bool:
    """True if, in eval mode, it maps every channel by a fixed scale and shift."""
    return isinstance(module, FIXED_NORMS) and module.running_mean is not None


@torch.no_grad()
def fold_norm(weight: Tensor, bias: Tensor | None, norm: nn.Module) -> tuple[Tensor, Tensor]:
    """Weight [O, ...] and bias [O] of the convolution that equals ``norm`` (see ``is_fixed_norm``) after the given one.

    Zeros that the convolution pads with stay zeros, so this is exact at borders too. Computed in float64.
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
