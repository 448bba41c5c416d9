"""Random changes of clips for training, with their targets changed alike."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import log
from typing import TypeVar, cast

import torch
from torch import Tensor
from torchvision import tv_tensors
from torchvision.transforms import v2

from res3d.ops.tubes import box_sizes

SEEN = 0.1  # of a box's area that must be left in the frame for its object to count as visible there
Target = dict[str, Tensor]
Parts = dict[str, Tensor]
"""A clip and what its target has of boxes, masks and keypoints: torchvision's tensors, by name."""
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Augmentation:
    """Random changes of a clip, in this order, the same for every frame. Draws from torch's generator.

    Raises:
        ValueError: numbers out of range.
    """

    scale: tuple[float, float] = (1.0, 1.0)
    """Least and largest factor of the sides of frames."""
    crop: tuple[int, int] | None = None
    """(height, width) of a window at a random location; smaller frames are padded with black. None keeps all."""
    flip: float = 0.0
    """Probability that left and right are swapped."""
    color: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    """Variation of brightness, contrast, saturation and hue: factors within 1 ± the number, hue by up to that part of
    a turn."""
    pairs: tuple[tuple[str, str], ...] | None = None
    """Names of keypoints that a flip swaps; None takes those whose names say left and right."""

    def __post_init__(self) -> None:
        if not 0 < self.scale[0] <= self.scale[1] < float("inf"):
            raise ValueError(f"scale must be two factors > 0 in order, not {self.scale}")
        if self.crop is not None and min(self.crop) < 1:
            raise ValueError(f"crop must be (height, width) in pixels, not {self.crop}")
        if not 0 <= self.flip <= 1:
            raise ValueError(f"flip must be a probability, not {self.flip!r}")
        if min(self.color) < 0 or max(self.color[:3]) > 1 or self.color[3] > 0.5:
            raise ValueError(f"color must be three numbers in [0, 1] and a fourth in [0, 0.5], not {self.color}")

    def __call__(self, clip: Tensor, target: T, *, flip_pairs: Sequence[tuple[int, int]] = ()) -> tuple[Tensor, T]:
        """A clip [C, T, H, W] in 0..1 and its target, both changed.

        Args:
            clip: of one or three channels; colors are left as they are where there is one.
            target: a detector's targets, or anything that such changes leave true, like a label.
            flip_pairs: positions of keypoints that change places in a flip, see ``mirror_pairs``.
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
        changed = parts["clip"].as_subclass(Tensor).transpose(0, 1).contiguous()
        if areas is None:
            return changed, target
        unwrapped = _unwrap(parts, cast("Target", target), areas, flip_pairs if flipped else ())
        return changed, cast("T", unwrapped)

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
    """As torchvision's transforms tell things apart, with objects and frames in one axis."""
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
    """Points are places in the plane, as the corners of boxes are: x becomes W - x. (torchvision's flip takes them for
    numbers of pixels, W - 1 - x, which would move them by a pixel against their boxes.)
    """
    flipped = _apply(v2.functional.horizontal_flip, {name: part for name, part in parts.items() if name != "keypoints"})
    if "keypoints" in parts:
        points = parts["keypoints"]
        x, y = points.as_subclass(Tensor).unbind(-1)
        flipped["keypoints"] = tv_tensors.wrap(torch.stack([parts["clip"].shape[-1] - x, y], dim=-1), like=points)
    return flipped


def _areas(boxes: Tensor) -> Tensor:
    width, height = box_sizes(boxes.as_subclass(Tensor))
    return width * height


def _unwrap(parts: Parts, target: Target, areas: Tensor, swapped: Sequence[tuple[int, int]]) -> Target:
    """The target after the changes: what they moved out of the frame is not visible any more."""
    shape = target["visible"].shape
    size = parts["clip"].shape[-2:]
    boxes = parts["boxes"].as_subclass(Tensor)
    left = (_areas(boxes) >= SEEN * areas) & (_areas(boxes) > 0)
    visible = target["visible"] & torch.unflatten(left, 0, shape)
    changed = {
        **target,
        "visible": visible,
        "boxes": torch.where(visible[..., None], torch.unflatten(boxes, 0, shape), 0),
    }
    if "masks" in parts:
        masks = torch.unflatten(parts["masks"].as_subclass(Tensor), 0, shape)
        changed["masks"] = masks & visible[..., None, None]
    if "keypoints" in parts:
        places = torch.unflatten(parts["keypoints"].as_subclass(Tensor), 0, target["keypoints"].shape[:3])
        changed["keypoints"] = _keypoints(places, target["keypoints"][..., 2], visible, (size[0], size[1]), swapped)
    return changed


def _keypoints(
    places: Tensor, flags: Tensor, visible: Tensor, size: tuple[int, int], swapped: Sequence[tuple[int, int]]
) -> Tensor:
    """[N, T, K, 3]: zeros where a point is out of the frame or its object is not visible."""
    x, y = places.unbind(-1)
    inside = (x >= 0) & (x < size[1]) & (y >= 0) & (y < size[0]) & visible[..., None]
    flags = flags * inside
    points = torch.cat([torch.where((flags > 0)[..., None], places, 0), flags[..., None]], dim=-1)
    order = list(range(points.shape[2]))
    for one, other in swapped:
        order[one], order[other] = other, one
    return points[:, :, order]
