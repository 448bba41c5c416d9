"""Anchor boxes at every location of a feature map; an anchor is the same box in every frame of a tube."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torchvision.models.detection.anchor_utils import AnchorGenerator


@dataclass(frozen=True, kw_only=True, slots=True)
class AnchorSpec:
    """Sizes, aspect ratios and placement of the anchors of each feature level, finest level first."""

    sizes: tuple[tuple[int, ...], ...] = ((32,), (64,), (128,), (256,), (512,))
    """Sides in pixels of the square anchors of each level; every level has equally many."""
    ratios: tuple[float, ...] = (0.5, 1.0, 2.0)
    """Aspect ratios, height over width. All ratios of one size have the same area."""
    placement: Literal["corner", "cell"] = "corner"
    """"corner": centered on the top left corner of a cell, half sides rounded to pixels (torchvision). "cell": centered
    on the cell, with width and height that count the last pixel, as in the first Fast R-CNN code (Detectron)."""

    def __post_init__(self) -> None:
        if not self.sizes or not all(self.sizes) or any(side <= 0 for level in self.sizes for side in level):
            raise ValueError(f"anchor sizes must be one or more sides > 0 (pixels) per level, not {self.sizes!r}")
        if len({len(level) for level in self.sizes}) > 1:
            raise ValueError(f"anchor sizes must have equally many sides at every level, not {self.sizes!r}")
        if not self.ratios or min(self.ratios) <= 0:
            raise ValueError(f"anchor ratios must be > 0, not {self.ratios!r}")
        if self.placement not in ("corner", "cell"):
            raise ValueError(f"anchor placement must be 'corner' or 'cell', not {self.placement!r}")

    @property
    def per_location(self) -> int:
        """Number of anchors at each location of a feature map."""
        return len(self.sizes[0]) * len(self.ratios)


class Anchors:
    """All anchors of a pyramid of feature maps.

    Args:
        spec: sizes, ratios and placement.
        strides: pixels per location of each level, finest first.

    Raises:
        ValueError: ``spec`` has sizes for another number of levels.
    """

    def __init__(self, spec: AnchorSpec, strides: Sequence[int]) -> None:
        if len(spec.sizes) != len(strides):
            raise ValueError(f"anchor sizes must have {len(strides)} feature levels, not {len(spec.sizes)}")
        if spec.placement == "corner":
            generator = AnchorGenerator(spec.sizes, (spec.ratios,) * len(spec.sizes))
            self._cells: list[Tensor] = generator.cell_anchors
        else:
            self._cells = [_cell_anchors(s, sides, spec.ratios) for s, sides in zip(strides, spec.sizes, strict=True)]

    def __call__(self, maps: Sequence[Tensor], size: tuple[int, int], dtype: torch.dtype) -> list[Tensor]:
        """Return the anchors of each level, [A, 4] xyxy in pixels, ordered by row, column and anchor of the location.

        The distance of neighbouring locations is the frame's size over the map's size, rounded down, as in torchvision.
        It is less than the stride of the level where that stride does not divide the frame.

        Args:
            maps: [..., h, w] of each level, finest first.
            size: (height, width) of the padded frames.
            dtype: of the anchors.
        """
        anchors = []
        for cells, level in zip(self._cells, maps, strict=True):
            y, x = (
                torch.arange(count, device=level.device) * (length // count)
                for count, length in zip(level.shape[-2:], size, strict=True)
            )
            y, x = torch.meshgrid(y, x, indexing="ij")
            shifts = torch.stack([x, y, x, y], dim=2).view(-1, 1, 4)
            anchors.append((shifts + cells.to(level.device, dtype)).view(-1, 4))
        return anchors


def _cell_anchors(stride: int, sides: tuple[int, ...], ratios: tuple[float, ...]) -> Tensor:
    """Return [A, 4] anchors centered on a cell of ``stride`` pixels; width and height count the last pixel."""
    center = (stride - 1) / 2
    anchors = []
    for ratio in ratios:
        width = round((stride * stride / ratio) ** 0.5)
        height = round(width * ratio)
        for side in sides:
            half = [(length * side / stride - 1) / 2 for length in (width, height)]
            anchors.append([center - half[0], center - half[1], center + half[0], center + half[1]])
    return torch.tensor(anchors, dtype=torch.float64)
