"""Masks of boxes, put where they belong in a frame."""

import torch
import torch.nn.functional as F
from torch import Tensor

from res3d.ops.resampling import linear_weights

AT_ONCE = 1 << 24  # pixels


def paste_masks(masks: Tensor, boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Square masks of boxes as masks of whole frames, as torchvision's ``paste_masks_in_image`` does it.

    A mask is padded by one on each side, its box grown alike and cut to whole pixels, and the mask is resized to it.

    Args:
        masks: [R, S, S] in 0..1.
        boxes: [R, 4] xyxy pixels of the frame.
        size: (height, width) of the frame.

    Returns:
        [R, height, width], 0 outside the boxes.
    """
    padded = F.pad(masks, (1, 1, 1, 1))
    side = padded.shape[-1]
    x1, y1, x2, y2 = _grow(boxes, side / masks.shape[-1]).unbind(-1)
    pasted = masks.new_empty(len(masks), *size)
    step = max(1, AT_ONCE // (size[0] * size[1]))
    for start in range(0, len(masks), step):
        part = slice(start, start + step)
        rows = linear_weights(side, (y2 - y1 + 1)[part].clamp(min=1), y1[part], size[0]).to(masks.dtype)
        columns = linear_weights(side, (x2 - x1 + 1)[part].clamp(min=1), x1[part], size[1]).to(masks.dtype)
        with torch.autocast(boxes.device.type, enabled=False):
            pasted[part] = rows @ padded[part] @ columns.transpose(1, 2)
    return pasted


class BoxMasks:
    """Masks of D tubes as they were predicted, for their boxes; put into a frame when asked for.

    Whole, they need a float a pixel of every object and frame: gigabytes for a hundred objects in full HD.

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

    def __getitem__(self, place: tuple[int, int]) -> Tensor:
        """[H, W]: object ``d`` in frame ``t``. IndexError for anything but a pair (d, t)."""
        if not isinstance(place, tuple) or len(place) != 2:
            raise IndexError(f"masks are taken one at a time, masks[d, t], not masks[{place!r}]; whole() gives all")
        return paste_masks(self.masks[place][None], self.boxes[place][None], self.size)[0]

    def whole(self) -> Tensor:
        """[D, T, 1, H, W], all of them."""
        pasted = paste_masks(self.masks.flatten(0, 1), self.boxes.flatten(0, 1), self.size)
        return torch.unflatten(pasted, 0, self.boxes.shape[:2]).unsqueeze(2)


def _grow(boxes: Tensor, scale: float) -> Tensor:
    """[R, 4] whole numbers: boxes scaled around their centers, then cut toward zero."""
    half = (boxes[:, 2:] - boxes[:, :2]) * 0.5
    center = (boxes[:, 2:] + boxes[:, :2]) * 0.5
    return torch.cat([center - half * scale, center + half * scale], dim=1).long()
