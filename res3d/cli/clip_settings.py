"""How videos are cut into clips for a network: settings that several commands share."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from res3d.cli.command import Keywords
from res3d.cli.frame_settings import FrameSettings
from res3d.cli.video_files import ReaderSettings

if TYPE_CHECKING:
    from res3d.clips import ClipSpec

USUAL_LENGTH = 16  # frames of a clip, where the weights do not tell


@dataclass(frozen=True, kw_only=True)
class NetworkReader(ReaderSettings):
    """The part of each video that is read."""

    fps: float | None = None
    """Resample videos to this frame rate; by default as the weights were trained, or the video's own."""


@dataclass(frozen=True, kw_only=True)
class NetworkClips:
    """How videos are cut into clips."""

    length: int | None = None
    """Frames per clip; by default as the weights were trained, or 16."""
    stride: int | None = None
    """Frames from the start of one clip to the start of the next; by default the length times the step."""
    step: int | None = None
    """Frames from one frame of a clip to the next; by default as the weights were trained, or 1."""


def choose_clip(
    trained_on: "ClipSpec | None", clips: NetworkClips, frames: FrameSettings, reader: ReaderSettings
) -> "ClipSpec":
    """Return the clips that weights were trained on, by default 16 frames as for Kinetics, changed by the settings.

    Raises:
        UsageError: a size that is not in pixels.
        ValueError: values out of range or that do not go together.
    """
    from res3d.clips import KINETICS, ClipSpec

    usual = ClipSpec.of(KINETICS, length=USUAL_LENGTH) if trained_on is None else trained_on
    given: Keywords = {"length": clips.length, "step": clips.step, "fps": reader.fps}
    return frames.change(replace(usual, **{name: value for name, value in given.items() if value is not None}))
