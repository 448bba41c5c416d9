"""Functions on tubes: one box per frame, ``[..., T, 4]`` xyxy in pixels.

Functions return new tensors and accept zero tubes, ``[0, T, 4]``. ``offset`` is the pixel convention. With 0, x2 is the
outer edge of a box's last pixel: width x2 - x1. With 1, x2 is the index of that pixel: width x2 - x1 + 1 (Detectron).
Shape letters: N and M tubes, T frames.
"""

import torch
from torch import Tensor
from torchvision.ops import clip_boxes_to_image


def box_sizes(boxes: Tensor, *, offset: int = 0) -> tuple[Tensor, Tensor]:
    """Return the widths and heights of boxes [..., 4], [...] each; a width is negative where x2 + offset < x1."""
    x1, y1, x2, y2 = boxes.unbind(-1)
    return x2 - x1 + offset, y2 - y1 + offset


def tube_iou(tubes: Tensor, others: Tensor, *, visible: Tensor | None = None, offset: int = 0) -> Tensor:
    """Return the IoU of every pair of tubes, averaged over the frames where the first is visible: [N, M] in 0..1.

    IoU(a, b) = Σ_t v_t · IoU(a_t, b_t) / Σ_t v_t, and 0 if a is not visible in any frame. The IoU of two empty boxes
    is 0. The average over all frames, as in Detect-and-Track, cannot exceed v / T for an object that is visible in v of
    T frames.

    Args:
        tubes: [N, T, 4].
        others: [M, T, 4].
        visible: [N, T] bool; None averages over all frames.
        offset: pixel convention.
    """
    total = tubes.new_zeros(tubes.shape[0], others.shape[0])
    for t in range(tubes.shape[1]):  # frame by frame, so that memory does not grow with T
        iou = _pairwise_iou(tubes[:, t], others[:, t], offset)
        total += iou if visible is None else torch.where(visible[:, t, None], iou, 0)
    if visible is None:
        return total / max(tubes.shape[1], 1)
    return total / visible.sum(dim=1, keepdim=True).clamp(min=1)


def _pairwise_iou(a: Tensor, b: Tensor, offset: int) -> Tensor:
    """Return the IoU of every pair of boxes: [N, 4], [M, 4] -> [N, M]."""
    width, height = (
        (torch.minimum(a[:, None, i + 2], b[None, :, i + 2]) - torch.maximum(a[:, None, i], b[None, :, i]) + offset)
        for i in (0, 1)
    )
    shared = width.clamp_(min=0).mul_(height.clamp_(min=0))
    areas = [w * h for w, h in (box_sizes(boxes, offset=offset) for boxes in (a, b))]
    union = areas[0][:, None] + areas[1][None] - shared
    return torch.where(shared > 0, shared / union, 0)


def tube_area(tubes: Tensor, *, offset: int = 0) -> Tensor:
    """Return the mean area of each tube over the frames where its box is not empty: [N, T, 4] -> [N].

    It is 0 if the box is empty in all frames.
    """
    width, height = box_sizes(tubes, offset=offset)
    areas = width.clamp(min=0) * height.clamp(min=0)
    return areas.sum(dim=1) / (areas > 0).sum(dim=1).clamp(min=1)


def clip_tubes(tubes: Tensor, size: tuple[int, int], *, offset: int = 0) -> Tensor:
    """Return tubes [..., T, 4] clipped to frames of ``size`` (height, width)."""
    clipped: Tensor = clip_boxes_to_image(tubes, (size[0] - offset, size[1] - offset))
    return clipped


def large_tubes(tubes: Tensor, min_size: float, *, offset: int = 0) -> Tensor:
    """Return whether a tube is at least ``min_size`` pixels wide and high in some frame: [N, T, 4] -> bool [N].

    One frame is enough, because the boxes of an object that leaves the picture are empty in later frames.
    """
    width, height = box_sizes(tubes, offset=offset)
    return ((width >= min_size) & (height >= min_size)).any(dim=1)


def mean_boxes(tubes: Tensor, visible: Tensor) -> Tensor:
    """Return the mean box of each tube over the frames where it is visible: [N, T, 4], bool [N, T] -> [N, 4].

    It is zero if the tube is not visible in any frame.
    """
    total = torch.where(visible[..., None], tubes, 0).sum(dim=1)
    return total / visible.sum(dim=1, keepdim=True).clamp(min=1)


def fill_hidden(tubes: Tensor, visible: Tensor) -> Tensor:
    """Return tubes in which the box of every hidden frame is replaced by the box of the nearest visible frame.

    Of two frames that are equally near, the earlier one is used.

    Args:
        tubes: [N, T, 4].
        visible: [N, T] bool, each row with at least one True.
    """
    frames = torch.arange(tubes.shape[1], device=tubes.device)
    distance = (frames[:, None] - frames[None]).abs()
    distance = torch.where(visible[:, None], distance, tubes.shape[1])  # [N, T, T]: to each visible frame
    nearest = distance.argmin(dim=2)
    return tubes.gather(1, nearest[..., None].expand_as(tubes))
