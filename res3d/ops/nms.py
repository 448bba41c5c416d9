"""Non-maximum suppression of tubes: greedy by score, with the IoU averaged over frames (Detect-and-Track)."""

import torch
from torch import Tensor
from torchvision.ops import batched_nms

from res3d.ops.tubes import box_sizes, tube_iou

BLOCK = 256  # tubes decided together; those that they suppress are not compared with later blocks


def tube_nms(tubes: Tensor, scores: Tensor, threshold: float, *, offset: int = 0) -> Tensor:
    """Return the indices of the tubes that survive non-maximum suppression, best first: int64 [K].

    A tube is suppressed if its mean IoU with a surviving tube of higher score is above ``threshold``; of equal scores,
    the earlier one wins. Frames in which both tubes are empty do not count, so that two tubes of one object that leaves
    the picture still suppress each other.

    Args:
        tubes: [N, T, 4] xyxy pixels.
        scores: [N].
        threshold: IoU, 0 to 1.
        offset: pixel convention of the tubes, see ``res3d.ops.tubes``.
    """
    order = scores.sort(descending=True, stable=True).indices
    survivors = []
    while len(order):
        block, order = order[:BLOCK], order[BLOCK:]
        block = block[_greedy(_overlap(tubes[block], tubes[block], offset) > threshold)]
        survivors.append(block)
        if len(order):
            overlaps = _overlap(tubes[block], tubes[order], offset) > threshold
            order = order[~overlaps.any(dim=0)]
    return torch.cat(survivors) if survivors else order


def _overlap(tubes: Tensor, others: Tensor, offset: int) -> Tensor:
    """Return the mean IoU over the frames where at least one tube is not empty: [N, T, 4], [M, T, 4] -> [N, M]."""
    iou = tube_iou(tubes, others, offset=offset).double()
    empty, others_empty = (~_nonempty(t, offset) for t in (tubes, others))
    if not (empty.any() and others_empty.any()):
        return iou
    frames = tubes.shape[1]
    return iou * frames / (frames - empty.double() @ others_empty.double().T).clamp(min=1)


def _nonempty(tubes: Tensor, offset: int) -> Tensor:
    """Return whether the box of each frame has a positive size: [N, T, 4] -> bool [N, T]."""
    width, height = box_sizes(tubes, offset=offset)
    return (width > 0) & (height > 0)


def _greedy(overlaps: Tensor) -> Tensor:
    """Return which tubes survive greedy suppression: bool [N].

    Repeats "suppressed by a surviving tube of higher score" for all tubes at once until nothing changes. Then tube i
    is decided by tubes 0 to i - 1 alone, as in the greedy algorithm.

    Args:
        overlaps: bool [N, N], pairs with an IoU above the threshold, of tubes in descending order of score.
    """
    overlaps = overlaps.triu(diagonal=1)
    survives = overlaps.new_ones(len(overlaps))
    while True:
        update = ~(overlaps & survives[:, None]).any(dim=0)
        if torch.equal(update, survives):
            return survives
        survives = update


def batched_tube_nms(tubes: Tensor, scores: Tensor, groups: Tensor, threshold: float, *, offset: int = 0) -> Tensor:
    """Apply ``tube_nms`` within each group (class or pyramid level); return all surviving indices, best first.

    Args:
        tubes: [N, T, 4] xyxy pixels.
        scores: [N].
        groups: [N] whole numbers.
        threshold: IoU, 0 to 1.
        offset: pixel convention of the tubes, see ``res3d.ops.tubes``.
    """
    if tubes.shape[1] == 1 and offset == 0:
        survivors: Tensor = batched_nms(tubes[:, 0], scores, groups, threshold)
        return survivors
    indices_by_group = []
    for group in sorted(set(groups.tolist())):
        members = torch.where(groups == group)[0]
        indices_by_group.append(members[tube_nms(tubes[members], scores[members], threshold, offset=offset)])
    if not indices_by_group:
        return groups.new_empty(0, dtype=torch.long)
    indices = torch.cat(indices_by_group).sort().values
    return indices[scores[indices].sort(descending=True, stable=True).indices]
