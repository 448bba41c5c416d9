"""Smooth-L1 loss of tube box deltas."""

import torch
import torch.nn.functional as F
from torch import Tensor

from res3d.ops.box_code import BoxCode
from res3d.ops.tubes import box_sizes

BETA = 1 / 9  # smooth L1 is quadratic below this difference and linear above, as in torchvision


def tube_box_loss(code: BoxCode, deltas: Tensor, references: Tensor, boxes: Tensor, visible: Tensor) -> Tensor:
    """Return the smooth-L1 loss of box deltas: the sum over tubes of each tube's mean over its visible frames.

    Frames in which the reference is less than one pixel wide or high do not count.

    Args:
        code: encodes boxes as deltas.
        deltas: [P, T, 4] predicted deltas.
        references: [P, T, 4] boxes that the deltas refine.
        boxes: [P, T, 4] ground truth; read only where visible.
        visible: [P, T] bool, whether the object is visible in a frame.
    """
    width, height = box_sizes(references, offset=code.offset)
    # Boxes thinner than one pixel (clipped at the frame's edge) are excluded: their regression targets blow up.
    counted = visible & (width >= 1) & (height >= 1)
    # Boxes of hidden frames may be empty, with an infinite logarithm. They are replaced before the encoding, because
    # masking the loss afterwards would leave NaN gradients.
    unit_box = references.new_tensor([0.0, 0.0, 1.0, 1.0])
    targets = code.encode(*(torch.where(counted[..., None], tubes, unit_box) for tubes in (boxes, references)))
    loss = F.smooth_l1_loss(deltas, targets, beta=BETA, reduction="none").sum(dim=2)
    return (torch.where(counted, loss, 0).sum(dim=1) / counted.sum(dim=1).clamp(min=1)).sum()
