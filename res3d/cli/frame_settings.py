"""How frames are prepared for a network: settings that several commands share."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

from res3d.cli.errors import UsageError
from res3d.settings import Shown

if TYPE_CHECKING:
    from res3d.clips import ClipSpec

Channels3 = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class FrameSettings:
    """Changes of what the weights were trained with or, where that is not known, of Kinetics's preparation."""

    resize: Annotated[int | str | None, Shown("N|HxW|none")] = None
    """Shorter side, or height and width, in pixels, or none; by default as the weights were trained, or 128x171."""
    crop: Annotated[int | str | None, Shown("HxW|none")] = None
    """Center crop, height and width in pixels, or none; by default as the weights were trained, or 112x112."""
    mean: Channels3 | None = None
    """Subtracted from each RGB channel, of values in 0..1; by default as the weights were trained, or Kinetics's."""
    std: Channels3 | None = None
    """What each RGB channel is divided by; by default as the weights were trained, or Kinetics's."""

    def change(self, clip: "ClipSpec") -> "ClipSpec":
        """Return the clip with the frames prepared as these settings say.

        Raises:
            UsageError: a size that is invalid.
            ValueError: sizes that do not go together.
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
