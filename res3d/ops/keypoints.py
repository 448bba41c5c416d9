"""Keypoints from heatmaps of boxes."""

import torch
from torch import Tensor

from res3d.ops.resampling import cubic_weights

AT_ONCE = 1 << 24  # positions of enlarged heatmaps


def heatmaps_to_keypoints(heatmaps: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    """The highest place of each heatmap, enlarged to its box: torchvision's function of this name, all boxes at once.

    Args:
        heatmaps: [R, K, S, S].
        boxes: [R, 4] xyxy pixels.

    Returns:
        [R, K, 3] x, y and 1, and the height there, [R, K].
    """
    sides = (boxes[:, 2:] - boxes[:, :2]).clamp(min=1)
    whole = sides.ceil().long()  # [R, 2], width and height
    places = heatmaps.new_ones(*heatmaps.shape[:2], 3)
    scores = heatmaps.new_zeros(heatmaps.shape[:2])
    order = whole.prod(dim=1).argsort(descending=True)  # boxes of like size together: they share one enlarged size
    while len(order):
        count = max(1, AT_ONCE // (heatmaps.shape[1] * int(whole[order].amax(dim=0).prod())))
        rows, order = order[:count], order[count:]
        width, height = (int(n) for n in whole[rows].amax(dim=0))
        across = cubic_weights(heatmaps.shape[-1], whole[rows, 0], width).to(heatmaps.dtype)
        down = cubic_weights(heatmaps.shape[-1], whole[rows, 1], height).to(heatmaps.dtype)
        with torch.autocast(boxes.device.type, enabled=False):  # it would round where the highest place is
            enlarged = down[:, None] @ heatmaps[rows] @ across.transpose(1, 2)[:, None]
        beyond_x = torch.arange(width, device=boxes.device) >= whole[rows, 0, None]
        beyond_y = torch.arange(height, device=boxes.device) >= whole[rows, 1, None]
        enlarged.masked_fill_((beyond_y[:, :, None] | beyond_x[:, None])[:, None], -torch.inf)
        best, index = enlarged.flatten(2).max(dim=2)
        scores[rows] = best
        scale = sides[rows] / whole[rows]
        places[rows, :, 0] = (index % width + 0.5) * scale[:, :1] + boxes[rows, :1]
        places[rows, :, 1] = (index // width + 0.5) * scale[:, 1:] + boxes[rows, 1:2]
    return places, scores
