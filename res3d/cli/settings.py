"""Settings that several commands share: devices, clips, time ranges."""

from dataclasses import replace

import torch

from res3d.cli.command import UsageError
from res3d.clips import KINETICS, ClipSpec
from res3d.video import MIN_FPS

Channels3 = tuple[float, float, float]


def choose_clip(
    trained_on: ClipSpec | None,
    *,
    length: int | None,
    step: int | None,
    fps: float | None,
    resize: str | None,
    crop: str | None,
    mean: Channels3 | None,
    std: Channels3 | None,
) -> ClipSpec:
    """Return the clips that weights were trained on, by default 16 frames as for Kinetics, changed by the flags.

    Raises:
        UsageError: a size that is not in pixels.
        ValueError: values out of range or that do not go together.
    """
    chosen = ClipSpec.of(KINETICS, length=16) if trained_on is None else trained_on
    size = chosen.resize if resize is None else _parse_size("resize", resize)
    window = chosen.crop if crop is None else _parse_size("crop", crop)
    if isinstance(window, int):
        window = (window, window)
    return replace(
        chosen,
        length=chosen.length if length is None else length,
        step=chosen.step if step is None else step,
        fps=chosen.fps if fps is None else fps,
        resize=size,
        crop=window,
        mean=mean or chosen.mean,
        std=std or chosen.std,
    )


def find_device(name: str) -> str:
    """The device that a flag means: "auto" is CUDA where there is one. UsageError for one that cannot be used."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name == "meta":
        raise UsageError("--device meta: holds no data")
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        first = str(error).strip().splitlines()[0]
        raise UsageError(f"--device {name}: cannot be used here ({first})") from None
    return name


def _parse_size(flag: str, text: str) -> int | tuple[int, int] | None:
    if str(text).lower() == "none":
        return None
    parts = str(text).lower().split("x")
    if not 1 <= len(parts) <= 2 or not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise UsageError(f"--{flag} must be pixels like 256 or 128x171 (height x width), or none, not {text!r}")
    return int(parts[0]) if len(parts) == 1 else (int(parts[0]), int(parts[1]))


def check_range(start: float, end: float | None, fps: float | None) -> None:
    """UsageError for a range or rate that no video has."""
    if not 0 <= start < float("inf"):
        raise UsageError(f"--start must be ≥ 0 seconds, not {start}")
    if end is not None and not start < end:
        raise UsageError(f"--end must be later than --start ({start} s), not {end}")
    if fps is not None and not MIN_FPS <= fps < float("inf"):
        raise UsageError(f"--fps must be ≥ {MIN_FPS}, not {fps}")
