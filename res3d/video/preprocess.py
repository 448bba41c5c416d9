"""From decoded frames to what a network was trained on, described as data."""

from dataclasses import asdict, dataclass
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
        sides = (self.resize,) if isinstance(self.resize, int) else (self.resize or ())
        for name, values in (("resize", sides), ("crop", self.crop or ())):
            if any(not isinstance(v, int) or v < 1 for v in values) or (name == "crop" and len(values) not in (0, 2)):
                raise ValueError(f"{name} must be whole pixels ≥ 1, not {getattr(self, name)!r}")
        if len(self.mean) != 3 or len(self.std) != 3 or any(s <= 0 for s in self.std):
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
        x = frames.permute(0, 3, 1, 2)
        if self.resize is not None:
            size = [self.resize] if isinstance(self.resize, int) else list(self.resize)
            x = F.resize(x, size, interpolation=InterpolationMode.BILINEAR, antialias=self.antialias)
        if self.crop is not None:
            if x.shape[2] < self.crop[0] or x.shape[3] < self.crop[1]:
                raise ValueError(f"crop {self.crop} is larger than frames of {tuple(x.shape[2:])} (height, width)")
            x = F.center_crop(x, list(self.crop))
        normalized: Tensor = F.normalize(F.to_dtype(x, torch.float32, scale=True), list(self.mean), list(self.std))
        return normalized

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}


# What torchvision's Kinetics-400 weights of r3d_18, mc3_18 and r2plus1d_18 come with (its VideoClassification preset)
KINETICS = Preprocessing(
    resize=(128, 171), crop=(112, 112), mean=(0.43216, 0.394666, 0.37645), std=(0.22803, 0.22145, 0.216989)
)
