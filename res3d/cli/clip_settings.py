"""Settings for the clips of a network, shared by several commands."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from res3d.cli.command import Keywords
from res3d.cli.frame_settings import FrameSettings
from res3d.cli.video_files import ReaderSettings

if TYPE_CHECKING:
    from res3d.clips import ClipSpec

DEFAULT_LENGTH = 16  # frames of a clip, for weights without a clip spec


@dataclass(frozen=True, kw_only=True)
class NetworkReader(ReaderSettings):
    """Part and frame rate of each video that is read for a network."""

    fps: float | None = None
    """Frames per second that videos are resampled to. By default the frame rate that the weights were trained with, or
    that of the video if the weights do not record one."""


@dataclass(frozen=True, kw_only=True)
class NetworkClips:
    """Sampling of clips from a video."""

    length: int | None = None
    """Frames per clip. By default the clip length that the weights were trained with, or 16 if they do not record
    one."""
    stride: int | None = None
    """Frames from the start of one clip to the start of the next. By default length x step, so that clips do not
    overlap."""
    step: int | None = None
    """Frames from one frame of a clip to the next: 2 takes every second frame. By default the step that the weights
    were trained with, or 1 if they do not record one."""


def choose_clip(
    trained_on: "ClipSpec | None", clips: NetworkClips, frames: FrameSettings, reader: ReaderSettings
) -> "ClipSpec":
    """Return the clip spec of the weights, changed by the settings of the user.

    Args:
        trained_on: clip spec of the weights; None for weights without one, which get 16 frames
            with the preprocessing of torchvision's Kinetics models.
        clips: length and step.
        frames: resizing, cropping and normalization.
        reader: frame rate.

    Raises:
        UsageError: ``resize`` or ``crop`` is not a size in pixels.
        ValueError: values are out of range or contradict each other.
    """
    from res3d.clips import KINETICS, ClipSpec

    default = ClipSpec.of(KINETICS, length=DEFAULT_LENGTH) if trained_on is None else trained_on
    settings: Keywords = {"length": clips.length, "step": clips.step, "fps": reader.fps}
    return frames.change(replace(default, **{name: value for name, value in settings.items() if value is not None}))
