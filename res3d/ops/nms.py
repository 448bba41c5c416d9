"""Non-maximum suppression of tubes: greedy by score, by the IoU averaged over frames (Detect-and-Track)."""

import torch
from torch import Tensor
from torchvision.ops import batched_nms

from res3d.ops.tubes import box_sizes, tube_iou

BLOCK = 256  # tubes decided together; what they suppress is not looked at again


def tube_nms(tubes: Tensor, scores: Tensor, threshold: float, *, offset: int = 0) -> Tensor:
    """Indices of the tubes that are kept, best first.

    A tube is dropped if its mean IoU with a better one that is kept is above ``threshold``; of equal scores, the
    earlier is better. Frames where both are empty do not count: two tubes that leave the picture together are no less
    the same for it.

    Args:
        tubes: [N, T, 4].
        scores: [N].
    """
    order = scores.sort(descending=True, stable=True).indices
    kept = []
    while len(order):
        block, order = order[:BLOCK], order[BLOCK:]
        block = block[_greedy(_overlap(tubes[block], tubes[block], offset) > threshold)]
        kept.append(block)
        if len(order):
            over = _overlap(tubes[block], tubes[order], offset) > threshold
            order = order[~over.any(dim=0)]
    return torch.cat(kept) if kept else order


def _overlap(tubes: Tensor, others: Tensor, offset: int) -> Tensor:
    """[N, T, 4], [M, T, 4] -> [N, M] mean IoU over the frames where one of the two is not empty."""
    iou = tube_iou(tubes, others, offset=offset).double()
    empty, others_empty = (~_nonempty(t, offset) for t in (tubes, others))
    if not (empty.any() and others_empty.any()):
        return iou
    frames = tubes.shape[1]
    return iou * frames / (frames - empty.double() @ others_empty.double().T).clamp(min=1)


def _nonempty(tubes: Tensor, offset: int) -> Tensor:
    """[N, T] bool."""
    width, height = box_sizes(tubes, offset=offset)
    return (width > 0) & (height > 0)


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
