"""Non-maximum suppression of tubes: greedy by score, by the IoU averaged over all frames (Detect-and-Track)."""

import torch
from torch import Tensor
from torchvision.ops import batched_nms

from res3d.ops.tubes import tube_iou

BLOCK = 256  # tubes decided together; what they suppress is not looked at again


def tube_nms(tubes: Tensor, scores: Tensor, threshold: float, *, offset: int = 0) -> Tensor:
    """Indices of the tubes that are kept, best first.

    A tube is dropped if its mean IoU with a better one that is kept is above ``threshold``; of equal scores, the
    earlier is better.

    Args:
        tubes: [N, T, 4].
        scores: [N].
    """
    order = scores.sort(descending=True, stable=True).indices
    kept = []
    while len(order):
        block, order = order[:BLOCK], order[BLOCK:]
        block = block[_greedy(tube_iou(tubes[block], tubes[block], offset=offset).double() > threshold)]
        kept.append(block)
        if len(order):
            over = tube_iou(tubes[block], tubes[order], offset=offset).double() > threshold
            order = order[~over.any(dim=0)]
    return torch.cat(kept) if kept else order


def _greedy(over: Tensor) -> Tensor:
    """Who stays, [N] bool, of tubes in falling order; ``over`` [N, N]: whose IoU is above the threshold.

    Repeats "dropped by a kept better one" until nothing changes: then every tube's fate follows from its betters'.
    """
    over = over.triu(diagonal=1)
    keep = over.new_ones(len(over))
    while True:
        new = ~(over & keep[:, None]).any(dim=0)
        if torch.equal(new, keep):
            return keep
        keep = new


def batched_tube_nms(tubes: Tensor, scores: Tensor, groups: Tensor, threshold: float, *, offset: int = 0) -> Tensor:
    """``tube_nms`` within each group (class or level): indices of all that are kept, best first.

    Args:
        tubes: [N, T, 4].
        scores: [N].
        groups: [N] whole numbers.
    """
    if tubes.shape[1] == 1 and offset == 0:
        of_boxes: Tensor = batched_nms(tubes[:, 0], scores, groups, threshold)
        return of_boxes
    kept = []
    for group in sorted(set(groups.tolist())):
        members = torch.where(groups == group)[0]
        kept.append(members[tube_nms(tubes[members], scores[members], threshold, offset=offset)])
    if not kept:
        return groups.new_empty(0, dtype=torch.long)
    indices = torch.cat(kept).sort().values
    return indices[scores[indices].sort(descending=True, stable=True).indices]
