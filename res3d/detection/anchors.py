"""Anchors: the boxes that a place of a map stands for, the same in every frame of a tube."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torchvision.models.detection.anchor_utils import AnchorGenerator


@dataclass(frozen=True, kw_only=True, slots=True)
class AnchorSpec:
    """Sides and shapes of the anchors of each level of maps, finest first."""

    sizes: tuple[tuple[int, ...], ...] = ((32,), (64,), (128,), (256,), (512,))
    """Sides in pixels of the square anchors of each level."""
    ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    """Height over width; the area stays."""
    placement: Literal["corner", "cell"] = "corner"
    """"corner": around the corner of a cell, half the sides rounded (torchvision). "cell": around its middle, the sides
    rounded and inclusive of the last pixel, as Fast R-CNN's first code made them (Detectron)."""

    def __post_init__(self) -> None:
        if not self.sizes or not all(self.sizes) or any(side <= 0 for level in self.sizes for side in level):
            raise ValueError(f"anchor sizes must be sides > 0 in pixels, some for each level, not {self.sizes!r}")
        if len({len(level) for level in self.sizes}) > 1:
            raise ValueError(f"every level needs as many anchor sizes as the others, not {self.sizes!r}")
        if not self.ratios or min(self.ratios) <= 0:
            raise ValueError(f"anchor ratios must be > 0, not {self.ratios!r}")
        if self.placement not in ("corner", "cell"):
            raise ValueError(f"anchor placement must be 'corner' or 'cell', not {self.placement!r}")

    @property
    def per_place(self) -> int:
        """Anchors per location."""
        return len(self.sizes[0]) * len(self.ratios)


class Anchors:
    """All anchors of a pyramid of maps whose levels have these ``strides`` (pixels).

    Raises:
        ValueError: sizes for another number of levels.
    """

    def __init__(self, spec: AnchorSpec, strides: Sequence[int]) -> None:
        if len(spec.sizes) != len(strides):
            raise ValueError(f"anchor sizes must be given for {len(strides)} levels of maps, not {len(spec.sizes)}")
        if spec.placement == "corner":
            generator = AnchorGenerator(spec.sizes, (spec.ratios,) * len(spec.sizes))
            self._cells: list[Tensor] = generator.cell_anchors
        else:
            self._cells = [_cell_anchors(s, sides, spec.ratios) for s, sides in zip(strides, spec.sizes, strict=True)]

    def __call__(self, maps: Sequence[Tensor], size: tuple[int, int], dtype: torch.dtype) -> list[Tensor]:
        """[A, 4] of each level's map [..., h, w] in a padded frame of ``size`` (height, width): rows, columns, shapes.

        The step from place to place is the frame's size over the map's, rounded down, as in torchvision: below the
        level's stride where that does not divide the frame.
        """
        anchors = []
        for cells, level in zip(self._cells, maps, strict=True):
            y, x = (
                torch.arange(places, device=level.device) * (whole // places)
                for places, whole in zip(level.shape[-2:], size, strict=True)
            )
            y, x = torch.meshgrid(y, x, indexing="ij")
            shifts = torch.stack([x, y, x, y], dim=2).view(-1, 1, 4)
            anchors.append((shifts + cells.to(level.device, dtype)).view(-1, 4))
        return anchors


def _cell_anchors(stride: int, sides: tuple[int, ...], ratios: tuple[float, ...]) -> Tensor:
    """[A, 4] around the middle of a cell of ``stride`` pixels; width and height count the last pixel."""
    middle = (stride - 1) / 2
    anchors = []
    for ratio in ratios:
        width = round((stride * stride / ratio) ** 0.5)
        height = round(width * ratio)
        for side in sides:
            half = [(length * side / stride - 1) / 2 for length in (width, height)]
            anchors.append([middle - half[0], middle - half[1], middle + half[0], middle + half[1]])
    return torch.tensor(anchors, dtype=torch.float64)
