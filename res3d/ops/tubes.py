"""Tubes: one box per frame, ``[..., T, 4]`` xyxy in pixels. New tensors out; no tubes, ``[0, T, 4]``, are legal.

``offset`` is the pixel convention: with 0 a box ends where its last pixel ends, width x2 - x1; with 1 it names its last
pixel, width x2 - x1 + 1 (Detectron's). Shape letters: N and M tubes, T frames.
"""

import torch
from torch import Tensor
from torchvision.ops import clip_boxes_to_image


def box_sizes(boxes: Tensor, *, offset: int = 0) -> tuple[Tensor, Tensor]:
    """[..., 4] -> widths and heights, [...] each; negative where x2 + offset < x1."""
    x1, y1, x2, y2 = boxes.unbind(-1)
    return x2 - x1 + offset, y2 - y1 + offset


def tube_iou(tubes: Tensor, others: Tensor, *, visible: Tensor | None = None, offset: int = 0) -> Tensor:
    """Intersection over union of every pair, averaged over the frames where the first is visible: [N, M] in 0..1.

    IoU(a, b) = Σ_t v_t · IoU(a_t, b_t) / Σ_t v_t, and 0 where a is visible nowhere. Averaging over all frames, as
    Detect-and-Track does, would keep an object seen in v of T frames from ever passing v / T. The IoU of two empty
    boxes is 0.

    Args:
        tubes: [N, T, 4].
        others: [M, T, 4].
        visible: [N, T] bool; None counts all frames.
    """
    total = tubes.new_zeros(tubes.shape[0], others.shape[0])
    for t in range(tubes.shape[1]):  # frame by frame: memory of [N, M], whatever T
        iou = _pairwise_iou(tubes[:, t], others[:, t], offset)
        total += iou if visible is None else torch.where(visible[:, t, None], iou, 0)
    if visible is None:
        return total / max(tubes.shape[1], 1)
    return total / visible.sum(dim=1, keepdim=True).clamp(min=1)


def _pairwise_iou(a: Tensor, b: Tensor, offset: int) -> Tensor:
    """[N, 4], [M, 4] -> [N, M]."""
    width, height = (
        (torch.minimum(a[:, None, i + 2], b[None, :, i + 2]) - torch.maximum(a[:, None, i], b[None, :, i]) + offset)
        for i in (0, 1)
    )
    shared = width.clamp_(min=0).mul_(height.clamp_(min=0))
    areas = [w * h for w, h in (box_sizes(boxes, offset=offset) for boxes in (a, b))]
    union = areas[0][:, None] + areas[1][None] - shared
    return torch.where(shared > 0, shared / union, 0)


def tube_area(tubes: Tensor, *, offset: int = 0) -> Tensor:
    """[N, T, 4] -> [N]: the mean area over the frames where the box is not empty; 0 where it is empty in all."""
    width, height = box_sizes(tubes, offset=offset)
    areas = width.clamp(min=0) * height.clamp(min=0)
    return areas.sum(dim=1) / (areas > 0).sum(dim=1).clamp(min=1)


def clip_tubes(tubes: Tensor, size: tuple[int, int], *, offset: int = 0) -> Tensor:
    """[..., T, 4] cut to a frame of ``size`` (height, width)."""
    clipped: Tensor = clip_boxes_to_image(tubes, (size[0] - offset, size[1] - offset))
    return clipped


def large_tubes(tubes: Tensor, min_size: float, *, offset: int = 0) -> Tensor:
    """[N, T, 4] -> [N] bool: at least ``min_size`` wide and high in some frame.

    One frame is enough: a tube that leaves the picture is empty there, and no worse for it.
    """
    width, height = box_sizes(tubes, offset=offset)
    return ((width >= min_size) & (height >= min_size)).any(dim=1)


def mean_boxes(tubes: Tensor, visible: Tensor) -> Tensor:
    """[N, T, 4] and [N, T] bool -> [N, 4]: each tube's box averaged over the frames where it is visible."""
    total = torch.where(visible[..., None], tubes, 0).sum(dim=1)
    return total / visible.sum(dim=1, keepdim=True).clamp(min=1)


def fill_hidden(tubes: Tensor, visible: Tensor) -> Tensor:
    """[N, T, 4] with the box of every hidden frame replaced by that of the nearest visible one (the earlier of two).

    ``visible``: [N, T] bool, each row with at least one True.
    """
    frames = torch.arange(tubes.shape[1], device=tubes.device)
    distance = (frames[:, None] - frames[None]).abs()
    distance = torch.where(visible[:, None], distance, tubes.shape[1])  # [N, T, T]: to each visible frame
    nearest = distance.argmin(dim=2)
    return tubes.gather(1, nearest[..., None].expand_as(tubes))
