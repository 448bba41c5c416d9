"""Settings for the preprocessing of frames, shared by several commands."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

from res3d.cli.errors import UsageError
from res3d.settings import Shown

if TYPE_CHECKING:
    from res3d.clips import ClipSpec

Channels3 = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class FrameSettings:
    """Preprocessing of frames. Settings that are None keep the preprocessing that the weights were trained with.

    For weights that do not record their preprocessing, they keep that of torchvision's Kinetics models.
    """

    resize: Annotated[int | str | None, Shown("N|HxW|none")] = None
    """Size in pixels that frames are resized to: 256 for the shorter side, 128x171 for height x width, or none. By
    default the size that the weights were trained with, or 128x171 if they do not record one."""
    crop: Annotated[int | str | None, Shown("N|HxW|none")] = None
    """Size in pixels of the center crop after resizing: 112 for a square, 112x160 for height x width, or none. By
    default the crop that the weights were trained with, or 112x112 if they do not record one."""
    mean: Channels3 | None = None
    """Mean that is subtracted from each RGB channel, for pixel values in 0..1: 0.45,0.45,0.45. By default the mean that
    the weights were trained with, or that of torchvision's Kinetics models if they do not record one."""
    std: Channels3 | None = None
    """Standard deviation that each RGB channel is divided by, after the mean is subtracted: 0.225,0.225,0.225. By
    default the one that the weights were trained with, or that of torchvision's Kinetics models."""

    def change(self, clip: "ClipSpec") -> "ClipSpec":
        """Return the clip spec with the preprocessing of these settings.

        Raises:
            UsageError: ``resize`` or ``crop`` is not a size in pixels.
            ValueError: the crop is larger than the resized frame.
        """
        size = clip.resize if self.resize is None else _parse_size("resize", self.resize)
        window = clip.crop if self.crop is None else _parse_size("crop", self.crop)
        if isinstance(window, int):
            window = (window, window)
        return replace(clip, resize=size, crop=window, mean=self.mean or clip.mean, std=self.std or clip.std)


def _parse_size(flag: str, value: int | str) -> int | tuple[int, int] | None:
    text = str(value).lower()
    if text == "none":
        return None
    parts = text.split("x")
    if not 1 <= len(parts) <= 2 or not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise UsageError(f"--{flag} must be pixels like 256 or 128x171 (height x width), or none, not {value!r}")
    return int(parts[0]) if len(parts) == 1 else (int(parts[0]), int(parts[1]))
