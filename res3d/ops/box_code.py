"""Boxes as corrections of reference boxes, frame by frame (R-CNN, Girshick et al. 2014)."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from res3d.ops.tubes import box_sizes

MAX_GROWTH = math.log(1000.0 / 16)  # Detectron's: a box grows at most 62.5 times


@dataclass(frozen=True, kw_only=True, slots=True)
class BoxCode:
    """Deltas (dx, dy, dw, dh) of a box g against its reference p, each times its weight.

    dx = (g_cx - p_cx) / p_w, dy = (g_cy - p_cy) / p_h, dw = log(g_w / p_w), dh = log(g_h / p_h).
    """

    weights: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
    offset: int = 0
    """Pixel convention of the boxes, see ``res3d.ops.tubes``."""

    def encode(self, boxes: Tensor, references: Tensor) -> Tensor:
        """[..., 4] of boxes and references of positive size -> [..., 4] deltas."""
        width, height, x, y = self._centers(boxes)
        ref_width, ref_height, ref_x, ref_y = self._centers(references)
        wx, wy, ww, wh = self.weights
        dx, dy = wx * (x - ref_x) / ref_width, wy * (y - ref_y) / ref_height
        dw, dh = ww * torch.log(width / ref_width), wh * torch.log(height / ref_height)
        return torch.stack([dx, dy, dw, dh], dim=-1)

    def decode(self, deltas: Tensor, references: Tensor) -> Tensor:
        """[..., 4] deltas and references -> [..., 4] boxes; with offset 1 as Detectron has it, x2 = x1 + width."""
        ref_width, ref_height, ref_x, ref_y = self._centers(references)
        dx, dy, dw, dh = (delta / weight for delta, weight in zip(deltas.unbind(-1), self.weights, strict=True))
        x, y = dx * ref_width + ref_x, dy * ref_height + ref_y
        half_width = 0.5 * torch.exp(dw.clamp(max=MAX_GROWTH)) * ref_width
        half_height = 0.5 * torch.exp(dh.clamp(max=MAX_GROWTH)) * ref_height
        return torch.stack([x - half_width, y - half_height, x + half_width, y + half_height], dim=-1)

    def _centers(self, boxes: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        width, height = box_sizes(boxes, offset=self.offset)
        return width, height, boxes[..., 0] + 0.5 * width, boxes[..., 1] + 0.5 * height
