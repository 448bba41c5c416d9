"""Encoding of boxes as deltas to reference boxes (R-CNN, Girshick et al. 2014)."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from res3d.ops.tubes import box_sizes

MAX_GROWTH = math.log(1000.0 / 16)  # largest dw and dh, as in Detectron: a box grows at most 62.5 times


@dataclass(frozen=True, kw_only=True, slots=True)
class BoxCode:
    """Coder of a box g as deltas (dx, dy, dw, dh) to its reference box p, each multiplied by its weight.

    dx = (g_cx - p_cx) / p_w, dy = (g_cy - p_cy) / p_h, dw = log(g_w / p_w), dh = log(g_h / p_h).
    """

    weights: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
    """Factors of (dx, dy, dw, dh)."""
    offset: int = 0
    """Pixel convention of the boxes, see ``res3d.ops.tubes``."""

    def encode(self, boxes: Tensor, references: Tensor) -> Tensor:
        """Return the deltas [..., 4] of boxes [..., 4] to references [..., 4], all of positive size."""
        width, height, x, y = self._centers(boxes)
        ref_width, ref_height, ref_x, ref_y = self._centers(references)
        wx, wy, ww, wh = self.weights
        dx, dy = wx * (x - ref_x) / ref_width, wy * (y - ref_y) / ref_height
        dw, dh = ww * torch.log(width / ref_width), wh * torch.log(height / ref_height)
        return torch.stack([dx, dy, dw, dh], dim=-1)

    def decode(self, deltas: Tensor, references: Tensor) -> Tensor:
        """Return the boxes [..., 4] of deltas [..., 4] and references [..., 4].

        With offset 1, boxes are one pixel wider and higher than the encoded ones (x2 = x1 + width), as in Detectron.
        """
        ref_width, ref_height, ref_x, ref_y = self._centers(references)
        dx, dy, dw, dh = (delta / weight for delta, weight in zip(deltas.unbind(-1), self.weights, strict=True))
        x, y = dx * ref_width + ref_x, dy * ref_height + ref_y
        half_width = 0.5 * torch.exp(dw.clamp(max=MAX_GROWTH)) * ref_width
        half_height = 0.5 * torch.exp(dh.clamp(max=MAX_GROWTH)) * ref_height
        return torch.stack([x - half_width, y - half_height, x + half_width, y + half_height], dim=-1)

    def _centers(self, boxes: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the widths, heights, and centers x and y of boxes [..., 4]: [...] each."""
        width, height = box_sizes(boxes, offset=self.offset)
        return width, height, boxes[..., 0] + 0.5 * width, boxes[..., 1] + 0.5 * height
