"""How frames are prepared for a network: settings that several commands share."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated

from res3d.cli.errors import UsageError
from res3d.settings import Shown

if TYPE_CHECKING:
    from res3d.backbone import ClipInput
    from res3d.video import Preprocessing

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

    def preprocessing(self, trained_on: "ClipInput | None") -> "Preprocessing":
        """Return the preparation for weights that were trained on such clips.

        Raises:
            UsageError: a size that is invalid.
            ValueError: sizes that do not go together.
        """
        from res3d.features import preprocessing_of
        from res3d.video import KINETICS

        usual = KINETICS if trained_on is None else preprocessing_of(trained_on)
        size = usual.resize if self.resize is None else _parse_size("resize", self.resize)
        window = usual.crop if self.crop is None else _parse_size("crop", self.crop)
        if isinstance(window, int):
            window = (window, window)
        return replace(usual, resize=size, crop=window, mean=self.mean or usual.mean, std=self.std or usual.std)


def _parse_size(flag: str, value: int | str) -> int | tuple[int, int] | None:
    text = str(value).lower()
    if text == "none":
        return None
    parts = text.split("x")
    if not 1 <= len(parts) <= 2 or not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise UsageError(f"--{flag} must be pixels like 256 or 128x171 (height x width), or none, not {value!r}")
    return int(parts[0]) if len(parts) == 1 else (int(parts[0]), int(parts[1]))
