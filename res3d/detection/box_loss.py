"""Smooth-L1 loss of tube box deltas."""

import torch
import torch.nn.functional as F
from torch import Tensor

from res3d.ops.box_code import BoxCode
from res3d.ops.tubes import box_sizes

BETA = 1 / 9  # where smooth L1 turns from square to straight, as in torchvision


def tube_box_loss(code: BoxCode, deltas: Tensor, references: Tensor, boxes: Tensor, visible: Tensor) -> Tensor:
    """Smooth L1 of corrections, summed over tubes, each the mean over the frames where its object is visible.

    Args:
        code: how boxes are written as corrections.
        deltas: [P, T, 4], predicted.
        references: [P, T, 4].
        boxes: [P, T, 4], true; read only where visible.
        visible: [P, T] bool.
    """
    width, height = box_sizes(references, offset=code.offset)
    # Boxes thinner than a pixel, clipped at the frame's edge, are left out: their regression targets blow up.
    learned = visible & (width >= 1) & (height >= 1)
    # A hidden frame's box may be empty, and its logarithm infinite: it is replaced before, not masked after.
    unit = references.new_tensor([0.0, 0.0, 1.0, 1.0])
    truth = code.encode(*(torch.where(learned[..., None], tubes, unit) for tubes in (boxes, references)))
    loss = F.smooth_l1_loss(deltas, truth, beta=BETA, reduction="none").sum(dim=2)
    return (torch.where(learned, loss, 0).sum(dim=1) / learned.sum(dim=1).clamp(min=1)).sum()
