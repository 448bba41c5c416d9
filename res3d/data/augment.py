"""Random augmentation of training clips and their targets."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import log
from typing import TypeVar, cast

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from res3d.ops.tubes import box_sizes

MIN_AREA = 0.1  # share of a box's area that must remain in the frame for its object to count as visible
Target = dict[str, Tensor]
Parts = dict[str, Tensor]
"""A clip and the boxes, masks and keypoints of its target as torchvision's ``tv_tensors``, by name."""
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Augmentation:
    """Random changes of a clip: scale, crop, flip and color, in this order. All frames of a clip change alike.

    Random numbers are drawn from torch's global generator.

    Raises:
        ValueError: a field out of range.
    """

    scale: tuple[float, float] = (1.0, 1.0)
    """Smallest and largest factor by which height and width are multiplied."""
    crop: tuple[int, int] | None = None
    """(height, width) in pixels of a window at a random location; smaller frames are padded with black. None does not
    crop."""
    flip: float = 0.0
    """Probability that left and right are swapped."""
    color: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    """Largest change of brightness, contrast, saturation and hue. The first three are multiplied by factors within
    1 ± the number; hue is shifted by up to that fraction of the color circle."""
    pairs: tuple[tuple[str, str], ...] | None = None
    """Pairs of keypoint names that a flip swaps; None pairs names that contain left and right."""

    def __post_init__(self) -> None:
        if not 0 < self.scale[0] <= self.scale[1] < float("inf"):
            raise ValueError(f"scale must be two factors > 0, the smaller one first, not {self.scale}")
        if self.crop is not None and min(self.crop) < 1:
            raise ValueError(f"crop must be (height, width) of at least 1 pixel, not {self.crop}")
        if not 0 <= self.flip <= 1:
            raise ValueError(f"flip must be a probability in [0, 1], not {self.flip!r}")
        if min(self.color) < 0 or max(self.color[:3]) > 1 or self.color[3] > 0.5:
            raise ValueError(f"color must be three numbers in [0, 1] and a fourth in [0, 0.5], not {self.color}")

    def __call__(self, clip: Tensor, target: T, *, flip_pairs: Sequence[tuple[int, int]] = ()) -> tuple[Tensor, T]:
        """Return an augmented clip [C, T, H', W'] and its augmented target.

        Args:
            clip: [C, T, H, W] in 0..1; the colors of clips without three channels are not changed.
            target: the target of a detector, or a value that augmentation does not change, like a label.
            flip_pairs: pairs of indices of keypoints that a flip swaps, see ``mirror_pairs``.
        """
        parts = _wrap(clip, target)
        parts = self._resize(parts)
        areas = None if "boxes" not in parts else _areas(parts["boxes"])
        parts = self._crop(parts)
        flipped = bool(torch.rand(()) < self.flip)
        if flipped:
            parts = _flip(parts)
        if any(self.color) and clip.shape[0] == 3:
            brightness, contrast, saturation, hue = self.color
            parts["clip"] = v2.ColorJitter(brightness, contrast, saturation, hue)(parts["clip"])
        new_clip = parts["clip"].as_subclass(Tensor).transpose(0, 1).contiguous()
        if areas is None:
            return new_clip, target
        new_target = _unwrap(parts, cast("Target", target), areas, flip_pairs if flipped else ())
        return new_clip, cast("T", new_target)

    def _resize(self, parts: Parts) -> Parts:
        low, high = (log(factor) for factor in self.scale)
        factor = float(torch.empty(()).uniform_(low, high).exp())
        if self.scale == (1.0, 1.0):
            return parts
        height, width = parts["clip"].shape[-2:]
        size = [max(1, round(height * factor)), max(1, round(width * factor))]
        return _apply(v2.functional.resize, parts, size)

    def _crop(self, parts: Parts) -> Parts:
        if self.crop is None:
            return parts
        height, width = parts["clip"].shape[-2:]
        top, left = (
            int(torch.randint(min(0, side - window), max(0, side - window) + 1, ()))
            for side, window in ((height, self.crop[0]), (width, self.crop[1]))
        )
        return _apply(v2.functional.crop, parts, top, left, *self.crop)


def _wrap(clip: Tensor, target: object) -> Parts:
    """Return a clip and its target as the types that torchvision's transforms accept.

    Objects and frames of the target become one axis.
    """
    parts: Parts = {"clip": tv_tensors.Video(clip.transpose(0, 1))}
    if not isinstance(target, Mapping):
        return parts
    size = (clip.shape[2], clip.shape[3])
    boxes = target["boxes"].flatten(0, 1)
    parts["boxes"] = tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=size)
    if "masks" in target:
        parts["masks"] = tv_tensors.Mask(target["masks"].flatten(0, 1))
    if "keypoints" in target:
        points = target["keypoints"][..., :2].flatten(0, 2)
        parts["keypoints"] = tv_tensors.KeyPoints(points, canvas_size=size)
    return parts


def _apply(function: Callable[..., Tensor], parts: Parts, *arguments: object) -> Parts:
    return {name: function(part, *arguments) for name, part in parts.items()}


def _flip(parts: Parts) -> Parts:
    """Swap left and right of all parts.

    Keypoints are coordinates in the plane, like the corners of boxes: x becomes W - x. torchvision's flip treats them
    as pixel indices (W - 1 - x), which would shift them by one pixel relative to their boxes.
    """
    flipped = _apply(v2.functional.horizontal_flip, {name: part for name, part in parts.items() if name != "keypoints"})
    if "keypoints" in parts:
        points = parts["keypoints"]
        x, y = points.as_subclass(Tensor).unbind(-1)
        flipped["keypoints"] = tv_tensors.wrap(torch.stack([parts["clip"].shape[-1] - x, y], dim=-1), like=points)
    return flipped


def _areas(boxes: Tensor) -> Tensor:
    """Return the areas [N] of boxes [N, 4]."""
    width, height = box_sizes(boxes.as_subclass(Tensor))
    return width * height


def _unwrap(parts: Parts, target: Target, areas: Tensor, swapped: Sequence[tuple[int, int]]) -> Target:
    """Return the augmented target. Objects that lie outside the new frame are marked as not visible.

    Args:
        parts: the augmented clip and annotations.
        target: the target before augmentation.
        areas: areas [N * T] of the boxes after scaling and before cropping.
        swapped: pairs of indices of keypoints to swap.
    """
    shape = target["visible"].shape
    size = parts["clip"].shape[-2:]
    boxes = parts["boxes"].as_subclass(Tensor)
    remaining = _areas(boxes)
    in_frame = (remaining >= MIN_AREA * areas) & (remaining > 0)
    visible = target["visible"] & torch.unflatten(in_frame, 0, shape)
    new_target = {
        **target,
        "visible": visible,
        "boxes": torch.where(visible[..., None], torch.unflatten(boxes, 0, shape), 0),
    }
    if "masks" in parts:
        masks = torch.unflatten(parts["masks"].as_subclass(Tensor), 0, shape)
        new_target["masks"] = masks & visible[..., None, None]
    if "keypoints" in parts:
        points = torch.unflatten(parts["keypoints"].as_subclass(Tensor), 0, target["keypoints"].shape[:3])
        flags = target["keypoints"][..., 2]
        new_target["keypoints"] = _keypoints(points, flags, visible, (size[0], size[1]), swapped)
    return new_target


def _keypoints(
    points: Tensor, flags: Tensor, visible: Tensor, size: tuple[int, int], swapped: Sequence[tuple[int, int]]
) -> Tensor:
    """Return keypoints [N, T, K, 3]: x, y and v, or zeros outside the frame and for objects that are not visible.

    Args:
        points: x and y, [N, T, K, 2].
        flags: v as in COCO, [N, T, K].
        visible: visibility of the objects, [N, T].
        size: (height, width) of the frames.
        swapped: pairs of indices of keypoints to swap.
    """
    x, y = points.unbind(-1)
    inside = (x >= 0) & (x < size[1]) & (y >= 0) & (y < size[0]) & visible[..., None]
    flags = flags * inside
    keypoints = torch.cat([torch.where((flags > 0)[..., None], points, 0), flags[..., None]], dim=-1)
    order = list(range(keypoints.shape[2]))
    for a, b in swapped:
        order[a], order[b] = b, a
    return keypoints[:, :, order]
