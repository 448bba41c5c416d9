"""Preprocessing of decoded frames for a network."""

from dataclasses import MISSING, asdict, dataclass, fields
from math import isfinite
from typing import Literal

import torch
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as F

from res3d.settings import check_choice
from res3d.settings.types import Json

CHANNEL_ORDERS = ("rgb", "bgr")
VALUE_RANGES = (1.0, 255.0)


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """Resize, center crop, scaling and normalization of frames, in the order of torchvision's video presets.

    Call it with uint8 frames [n, H, W, 3] RGB; it returns float32 [n, 3, h, w].

    Raises:
        ValueError: a size, mean, std, channel order or value range out of range, or a crop larger than the resized
            frames.
    """

    resize: int | tuple[int, int] | None
    """Length of the shorter side in pixels, or (height, width); None keeps the size."""
    crop: tuple[int, int] | None
    """(height, width) in pixels of the crop in the center; None keeps the whole frame."""
    mean: tuple[float, ...]
    """Subtracted from each of the three channels, in ``channel_order`` and ``value_range``."""
    std: tuple[float, ...]
    """Divisor of each channel after the subtraction of ``mean``, in the same order and range."""
    antialias: bool = False
    """Apply a low-pass filter when the resize reduces the size. torchvision trained its video models without."""
    channel_order: Literal["rgb", "bgr"] = "rgb"
    """Order of the network's input channels."""
    value_range: float = 1.0
    """Largest pixel value before ``mean`` and ``std``: 1.0 or 255.0."""

    def __post_init__(self) -> None:
        for name in ("resize", "crop", "mean", "std"):
            if isinstance(value := getattr(self, name), list):  # from ``to_dict`` or a JSON file
                object.__setattr__(self, name, tuple(value))
        sides = (self.resize,) if isinstance(self.resize, int) else (self.resize or ())
        for name, values in (("resize", sides), ("crop", self.crop or ())):
            lengths = (0, 1, 2) if name == "resize" else (0, 2)
            if any(not isinstance(v, int) or v < 1 for v in values) or len(values) not in lengths:
                raise ValueError(f"{name} must be whole pixels ≥ 1, not {getattr(self, name)!r}")
        numbers = (*self.mean, *self.std)
        if len(self.mean) != 3 or len(self.std) != 3 or not all(map(isfinite, numbers)) or min(self.std) <= 0:
            raise ValueError(f"mean and std must be three numbers each, std > 0, not {self.mean!r} and {self.std!r}")
        check_choice("channel_order", self.channel_order, CHANNEL_ORDERS)
        if self.value_range not in VALUE_RANGES:
            raise ValueError(f"value_range must be one of {VALUE_RANGES}, not {self.value_range!r}")
        self._check_crop(sides * 2 if len(sides) == 1 else sides)

    def _check_crop(self, sides: tuple[int, ...]) -> None:
        """Raise ValueError for a crop larger than frames resized to ``sides`` (height, width); () is any size."""
        if self.crop and sides and (self.crop[0] > sides[0] or self.crop[1] > sides[1]):
            raise ValueError(f"crop {self.crop} is larger than frames resized to {self.resize}")

    def __call__(self, frames: Tensor) -> Tensor:
        """Preprocess frames: uint8 [n, H, W, 3] RGB -> float32 [n, 3, h, w], on the device of ``frames``.

        Raises:
            ValueError: frames of another dtype or shape, or smaller than the crop.
        """
        check_frames(frames)
        return self.normalize(self.cut(frames))

    def cut(self, frames: Tensor) -> Tensor:
        """Resize frames and crop their center: uint8 [n, H, W, 3] -> uint8 [n, 3, h, w].

        Raises:
            ValueError: frames smaller than the crop.
        """
        size = self.resized(frames.shape[1], frames.shape[2])
        rows, columns = self.crop or size
        top, left = center_offsets(size, (rows, columns))
        return self.resize_window(frames, (slice(top, top + rows), slice(left, left + columns)))

    def resize_window(self, frames: Tensor, window: tuple[slice, slice] | None = None) -> Tensor:
        """Resize frames and return a window of the result: uint8 [n, H, W, 3] -> uint8 [n, 3, h, w].

        Args:
            frames: uint8 [n, H, W, 3].
            window: slices of the rows and columns of the resized frame; None returns the whole frame. Without
                ``antialias`` only the pixels of the window are computed.
        """
        height, width = self.resized(frames.shape[1], frames.shape[2])
        rows, columns = window or (slice(0, height), slice(0, width))
        if self.antialias and self.resize is not None:
            whole: Tensor = F.resize(
                frames.permute(0, 3, 1, 2), [height, width], InterpolationMode.BILINEAR, antialias=True
            )
            return whole[:, :, rows, columns]
        return _resize_bilinear(frames, (height, width), (rows, columns)).permute(0, 3, 1, 2)

    def normalize(self, pixels: Tensor) -> Tensor:
        """Order, scale and normalize the channels of pixels: uint8 [..., 3, h, w] RGB -> float32 of the same shape."""
        if self.channel_order == "bgr":
            pixels = pixels.flip(-3)
        scaled = F.to_dtype(pixels, torch.float32, scale=self.value_range == 1.0)
        normalized: Tensor = F.normalize(scaled, list(self.mean), list(self.std))
        return normalized

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """Return the (height, width) of a frame after the resize, the longer side rounded down as in torchvision."""
        if self.resize is None:
            return height, width
        if isinstance(self.resize, tuple):
            return self.resize
        if height <= width:
            return self.resize, int(self.resize * width / height)
        return int(self.resize * height / width), self.resize

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """Return the (height, width) of a frame of ``height`` and ``width`` after preprocessing."""
        return self.crop or self.resized(height, width)

    def to_dict(self) -> Json:
        """Return the fields as values for JSON.

        Fields that were added after version 0.1.0 are left out at their default, so that such files do not change.
        """
        plain = {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}
        defaults = {f.name: f.default for f in fields(self) if f.default is not MISSING and f.name in ADDED_FIELDS}
        return {key: value for key, value in plain.items() if key not in defaults or value != defaults[key]}


ADDED_FIELDS = ("channel_order", "value_range", "sampling", "segment_length", "views")  # after version 0.1.0

# Preset of torchvision's Kinetics-400 weights of r3d_18, mc3_18 and r2plus1d_18 (VideoClassification).
KINETICS = Preprocessing(
    resize=(128, 171), crop=(112, 112), mean=(0.43216, 0.394666, 0.37645), std=(0.22803, 0.22145, 0.216989)
)


def check_frames(frames: Tensor) -> None:
    """Raise ValueError unless ``frames`` are uint8 [n, H, W, 3]."""
    if frames.dtype != torch.uint8 or frames.dim() != 4 or frames.shape[3] != 3:
        raise ValueError(f"frames must be uint8 [n, H, W, 3], not {frames.dtype} {tuple(frames.shape)}")


def center_offsets(size: tuple[int, int], crop: tuple[int, int]) -> tuple[int, int]:
    """Return the (top, left) of a center crop, rounded half to even as in torchvision's ``center_crop``.

    Args:
        size: (height, width) of the frame.
        crop: (height, width) of the crop.

    Raises:
        ValueError: a crop larger than the frame.
    """
    (height, width), (rows, columns) = size, crop
    if height < rows or width < columns:
        raise ValueError(f"crop {crop} is larger than frames of {size} (height, width)")
    return round((height - rows) / 2), round((width - columns) / 2)


def _resize_bilinear(frames: Tensor, size: tuple[int, int], window: tuple[slice, slice]) -> Tensor:
    """Resize frames to ``size`` and return a window: uint8 [n, H, W, 3] -> uint8 [n, h, w, 3].

    The result is that of torch's bilinear interpolation without antialiasing in float32, rounded; video models were
    trained on such frames. torchvision's resize of uint8 frames rounds its weights and differs by one level in a
    quarter of the pixels. Only the pixels that the window needs are read, which makes large frames cheap.
    """
    if frames.shape[1:3] == size:
        return frames[:, window[0], window[1]]
    y0, y1, fy = (part[window[0]] for part in _neighbors(frames.shape[1], size[0], frames.device))
    x0, x1, fx = (part[window[1]] for part in _neighbors(frames.shape[2], size[1], frames.device))

    def interpolate_rows(y: Tensor) -> Tensor:
        rows = frames.index_select(1, y)
        weight = fx.view(1, 1, -1, 1)
        return rows.index_select(2, x0).float() * (1 - weight) + rows.index_select(2, x1).float() * weight

    weight = fy.view(1, -1, 1, 1)
    return (interpolate_rows(y0) * (1 - weight) + interpolate_rows(y1) * weight).round_().to(torch.uint8)


def _neighbors(old: int, new: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Return the indices of the two pixels around each output position, and the second pixel's weight: [new] each.

    ``old`` and ``new`` are the numbers of pixels along the axis before and after the resize.
    """
    scale = torch.tensor(old / new, dtype=torch.float32, device=device)
    location = (scale * (torch.arange(new, dtype=torch.float32, device=device) + 0.5) - 0.5).clamp_(min=0)
    first = location.long().clamp_(max=old - 1)
    return first, (first + 1).clamp_(max=old - 1), location - first
