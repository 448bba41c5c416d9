"""From decoded frames to what a network was trained on, described as data."""

from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

import torch
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F


@dataclass(frozen=True, kw_only=True, slots=True)
class Preprocessing:
    """Resize, centre crop, scale to 0..1, normalise: in this order, as torchvision's video presets do.

    Sizes are (height, width) in pixels; mean and std are per RGB channel of values in 0..1.
    """

    resize: int | tuple[int, int] | None  # the shorter side, or both sides; None keeps the size
    crop: tuple[int, int] | None  # None keeps all
    mean: tuple[float, ...]
    std: tuple[float, ...]
    antialias: bool = False  # torchvision trained its video models on frames resized without

    def __post_init__(self) -> None:
        for name in ("resize", "crop", "mean", "std"):
            if isinstance(value := getattr(self, name), list):  # as ``to_dict``, and so a file, has them
                object.__setattr__(self, name, tuple(value))
        sides = (self.resize,) if isinstance(self.resize, int) else (self.resize or ())
        for name, values in (("resize", sides), ("crop", self.crop or ())):
            lengths = (0, 1, 2) if name == "resize" else (0, 2)
            if any(not isinstance(v, int) or v < 1 for v in values) or len(values) not in lengths:
                raise ValueError(f"{name} must be whole pixels ≥ 1, not {getattr(self, name)!r}")
        numbers = (*self.mean, *self.std)
        if len(self.mean) != 3 or len(self.std) != 3 or not all(map(isfinite, numbers)) or min(self.std) <= 0:
            raise ValueError(f"mean and std must be three numbers each, std > 0, not {self.mean!r} and {self.std!r}")
        if self.crop and sides:
            height, width = sides * 2 if len(sides) == 1 else sides
            if self.crop[0] > height or self.crop[1] > width:
                raise ValueError(f"crop {self.crop} is larger than frames resized to {self.resize}")

    def __call__(self, frames: Tensor) -> Tensor:
        """uint8 [n, H, W, 3] RGB -> float32 [n, 3, h, w], on the device of ``frames``.

        Raises:
            ValueError: another type or shape, or frames smaller than the crop.
        """
        if frames.dtype != torch.uint8 or frames.dim() != 4 or frames.shape[3] != 3:
            raise ValueError(f"frames must be uint8 [n, H, W, 3], not {frames.dtype} {tuple(frames.shape)}")
        height, width = self.resized(frames.shape[1], frames.shape[2])
        top, left, rows, columns = self._crop_window(height, width)
        if self.antialias and self.resize is not None:
            x = F.resize(frames.permute(0, 3, 1, 2), [height, width], InterpolationMode.BILINEAR, antialias=True)
            x = x[:, :, top : top + rows, left : left + columns]
        else:
            window = (slice(top, top + rows), slice(left, left + columns))
            x = _resize_bilinear(frames, (height, width), window).permute(0, 3, 1, 2)
        normalized: Tensor = F.normalize(F.to_dtype(x, torch.float32, scale=True), list(self.mean), list(self.std))
        return normalized

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) of a frame after the resize; the longer side is rounded down, as in torchvision."""
        if self.resize is None:
            return height, width
        if isinstance(self.resize, tuple):
            return self.resize
        if height <= width:
            return self.resize, int(self.resize * width / height)
        return int(self.resize * height / width), self.resize

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """(height, width) of what comes out of a frame."""
        return self.crop or self.resized(height, width)

    def _crop_window(self, height: int, width: int) -> tuple[int, int, int, int]:
        """(top, left, rows, columns), rounded as torchvision's center_crop does."""
        if self.crop is None:
            return 0, 0, height, width
        rows, columns = self.crop
        if height < rows or width < columns:
            raise ValueError(f"crop {self.crop} is larger than frames of {(height, width)} (height, width)")
        return round((height - rows) / 2), round((width - columns) / 2), rows, columns

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}


# What torchvision's Kinetics-400 weights of r3d_18, mc3_18 and r2plus1d_18 come with (its VideoClassification preset)
KINETICS = Preprocessing(
    resize=(128, 171), crop=(112, 112), mean=(0.43216, 0.394666, 0.37645), std=(0.22803, 0.22145, 0.216989)
)


def _resize_bilinear(frames: Tensor, size: tuple[int, int], window: tuple[slice, slice]) -> Tensor:
    """uint8 [n, H, W, 3] -> the ``window`` of it resized to ``size``, uint8 [n, h, w, 3].

    The values are those of torch's bilinear interpolation without antialiasing in float32, rounded, which is what video
    models were trained on; torchvision's own resize of uint8 frames rounds its weights, and differs in a quarter of the
    pixels by one level. Only the pixels that the window needs are read, which makes large frames cheap.
    """
    y0, y1, fy = (part[window[0]] for part in _neighbours(frames.shape[1], size[0], frames.device))
    x0, x1, fx = (part[window[1]] for part in _neighbours(frames.shape[2], size[1], frames.device))

    def rows(y: Tensor) -> Tensor:
        row = frames.index_select(1, y)
        weight = fx.view(1, 1, -1, 1)
        return row.index_select(2, x0).float() * (1 - weight) + row.index_select(2, x1).float() * weight

    weight = fy.view(1, -1, 1, 1)
    return (rows(y0) * (1 - weight) + rows(y1) * weight).round_().to(torch.uint8)


def _neighbours(old: int, new: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """For each of ``new`` places along an axis of ``old`` pixels: the two pixels around it and the second's weight."""
    scale = torch.tensor(old / new, dtype=torch.float32, device=device)
    place = (scale * (torch.arange(new, dtype=torch.float32, device=device) + 0.5) - 0.5).clamp_(min=0)
    first = place.long().clamp_(max=old - 1)
    return first, (first + 1).clamp_(max=old - 1), place - first
