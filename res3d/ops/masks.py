"""Pasting of the masks that a mask head predicts for boxes into frames."""

import torch
import torch.nn.functional as F
from torch import Tensor

from res3d.ops.resampling import linear_weights

BATCH_PIXELS = 1 << 24  # limits the memory of pasted masks that are computed together


def paste_masks(masks: Tensor, boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize the masks of boxes and paste them into frames, as torchvision's ``paste_masks_in_image``.

    Each mask is padded with zeros by one position on each side, its box is enlarged in proportion and truncated to
    whole pixels, and the mask is resized to that box.

    Args:
        masks: [R, S, S] in 0..1.
        boxes: [R, 4] xyxy pixels of the frame.
        size: (height, width) of the frame.

    Returns:
        Masks [R, height, width] in 0..1; 0 outside the boxes.
    """
    padded = F.pad(masks, (1, 1, 1, 1))
    side = padded.shape[-1]
    x1, y1, x2, y2 = _grow(boxes, side / masks.shape[-1]).unbind(-1)
    pasted = masks.new_empty(len(masks), *size)
    step = max(1, BATCH_PIXELS // (size[0] * size[1]))
    for start in range(0, len(masks), step):
        part = slice(start, start + step)
        rows = linear_weights(side, (y2 - y1 + 1)[part].clamp(min=1), y1[part], size[0]).to(masks.dtype)
        columns = linear_weights(side, (x2 - x1 + 1)[part].clamp(min=1), x1[part], size[1]).to(masks.dtype)
        with torch.autocast(boxes.device.type, enabled=False):
            pasted[part] = rows @ padded[part] @ columns.transpose(1, 2)
    return pasted


class BoxMasks:
    """Predicted masks of D tubes at the resolution of the mask head, pasted into frames on access.

    ``masks[d, t]`` is the mask [H, W] of object d in frame t. Masks of all objects and frames at full size would need
    gigabytes for a hundred objects in full HD.

    Args:
        masks: [D, T, S, S] in 0..1.
        boxes: [D, T, 4] xyxy pixels of the frames.
        size: (height, width) of the frames.
    """

    def __init__(self, masks: Tensor, boxes: Tensor, size: tuple[int, int]) -> None:
        self.masks = masks
        self.boxes = boxes
        self.size = size

    def __len__(self) -> int:
        return len(self.masks)

    def __getitem__(self, index: tuple[int, int]) -> Tensor:
        """Return the mask [H, W] of object ``d`` in frame ``t`` for the index ``d, t``.

        Raises:
            IndexError: an index that is not a pair (d, t), or one out of range.
        """
        if not isinstance(index, tuple) or len(index) != 2:
            raise IndexError(f"the index of a mask must be a pair [d, t], not [{index!r}]; whole() returns all masks")
        return paste_masks(self.masks[index][None], self.boxes[index][None], self.size)[0]

    def whole(self) -> Tensor:
        """Return all masks at full size: [D, T, 1, H, W]."""
        pasted = paste_masks(self.masks.flatten(0, 1), self.boxes.flatten(0, 1), self.size)
        return torch.unflatten(pasted, 0, self.boxes.shape[:2]).unsqueeze(2)


def _grow(boxes: Tensor, scale: float) -> Tensor:
    """Scale boxes [R, 4] around their centers and truncate them toward zero: [R, 4] int64."""
    half = (boxes[:, 2:] - boxes[:, :2]) * 0.5
    center = (boxes[:, 2:] + boxes[:, :2]) * 0.5
    return torch.cat([center - half * scale, center + half * scale], dim=1).long()
