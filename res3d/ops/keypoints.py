"""Keypoints from the heatmaps that a keypoint head predicts for boxes."""

import torch
from torch import Tensor

from res3d.ops.resampling import cubic_weights

BATCH_POSITIONS = 1 << 24  # limits the memory of enlarged heatmaps


def heatmaps_to_keypoints(heatmaps: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Return the maximum of each heatmap after enlarging it to the size of its box.

    Computes the same as torchvision's function of this name, but for many boxes at once.

    Args:
        heatmaps: [R, K, S, S].
        boxes: [R, 4] xyxy pixels.

    Returns:
        Keypoints [R, K, 3], (x, y, 1) in pixels, and the values of the maxima [R, K].
    """
    sides = (boxes[:, 2:] - boxes[:, :2]).clamp(min=1)
    sizes = sides.ceil().long()  # [R, 2], width and height in whole pixels
    keypoints = heatmaps.new_ones(*heatmaps.shape[:2], 3)
    scores = heatmaps.new_zeros(heatmaps.shape[:2])
    order = sizes.prod(dim=1).argsort(descending=True)  # a batch shares one enlarged size: group boxes of similar size
    while len(order):
        count = max(1, BATCH_POSITIONS // (heatmaps.shape[1] * int(sizes[order].amax(dim=0).prod())))
        rows, order = order[:count], order[count:]
        width, height = (int(n) for n in sizes[rows].amax(dim=0))
        column_weights = cubic_weights(heatmaps.shape[-1], sizes[rows, 0], width).to(heatmaps.dtype)
        row_weights = cubic_weights(heatmaps.shape[-1], sizes[rows, 1], height).to(heatmaps.dtype)
        with torch.autocast(boxes.device.type, enabled=False):  # lower precision would move the maximum
            enlarged = row_weights[:, None] @ heatmaps[rows] @ column_weights.transpose(1, 2)[:, None]
        beyond_x = torch.arange(width, device=boxes.device) >= sizes[rows, 0, None]
        beyond_y = torch.arange(height, device=boxes.device) >= sizes[rows, 1, None]
        enlarged.masked_fill_((beyond_y[:, :, None] | beyond_x[:, None])[:, None], -torch.inf)
        scores[rows], index = enlarged.flatten(2).max(dim=2)
        scale = sides[rows] / sizes[rows]
        keypoints[rows, :, 0] = (index % width + 0.5) * scale[:, :1] + boxes[rows, :1]
        keypoints[rows, :, 1] = (index // width + 0.5) * scale[:, 1:] + boxes[rows, 1:2]
    return keypoints, scores
