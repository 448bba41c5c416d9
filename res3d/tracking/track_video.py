"""Tracking of the objects in a video: streamed decoding, detection in overlapping clips, and linking."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from res3d.clips import ClipSampler
from res3d.structures import Category, ClipDetections, FrameTracks, VideoTracks
from res3d.tracking.linker import FrameLinker, TubeLinker
from res3d.tracking.settings import LinkSettings
from res3d.video import Clip, ClipStream, VideoReader, batched, to_planes

Detector = Callable[[list[Tensor]], list[dict[str, Any]]]
"""Takes clips, float32 [3, T, H, W] RGB in 0..1. Returns one dictionary per clip, as ``track_video`` describes it."""


def track_video(
    video: str | Path | VideoReader,
    model: Detector,
    *,
    clip_length: int = 8,
    clip_stride: int = 4,
    batch_size: int = 1,
    device: str | torch.device | None = None,
    categories: Mapping[int, Category] | None = None,
    progress: Callable[[int], None] | None = None,
    settings: LinkSettings | str = "default",
    **changes: Any,
) -> VideoTracks:
    """Detect tubes in overlapping clips of a video and link them into tracks.

    Args:
        video: a video file, or a ``VideoReader`` that reads a part of a video or resamples it. Frames are numbered in
            the order in which they are read, from 0.
        model: a detector. It takes a list of clips, float32 [3, T, H, W] RGB in 0..1, and returns a list with one
            dictionary per clip: boxes [D, T, 4] xyxy in pixels, visible [D, T], scores [D], labels [D], and optionally
            embeddings, masks and keypoints. A module runs in eval mode; afterwards its previous mode is restored. If it
            has a method ``detect``, that is called instead of the module (that of ``MaskRCNN3d`` returns masks one at a
            time).
        clip_length: frames per clip. If it is 1, ``clip_stride`` must be 1, and detections are linked frame by frame.
        clip_stride: frames from the start of one clip to the start of the next. It must be less than ``clip_length``,
            because tubes are linked by the frames that two clips share. The last clip ends with the video.
        batch_size: clips per call of the model.
        device: device of the clips; by default that of the model's parameters.
        categories: categories by label, which are written to track files; by default ``model.categories``, if present.
        progress: called with the number of frames read since the last call.
        settings, changes: settings of linking; see ``link_detections``.

    Raises:
        FileNotFoundError, VideoError: see ``VideoReader``.
        ValueError: clips that do not overlap, invalid settings, or invalid results of the model.
    """
    reader = video if isinstance(video, VideoReader) else VideoReader(video)
    frames = stream_video(
        reader,
        model,
        clip_length=clip_length,
        clip_stride=clip_stride,
        batch_size=batch_size,
        device=device,
        progress=progress,
        settings=settings,
        **changes,
    )
    return VideoTracks.from_frames(
        frames,
        name=reader.path.stem,
        fps=reader.fps or reader.info.fps,
        size=(reader.info.height, reader.info.width),
        categories=getattr(model, "categories", {}) if categories is None else categories,
    )


def stream_video(
    reader: VideoReader,
    model: Detector,
    *,
    clip_length: int = 8,
    clip_stride: int = 4,
    batch_size: int = 1,
    device: str | torch.device | None = None,
    progress: Callable[[int], None] | None = None,
    settings: LinkSettings | str = "default",
    **changes: Any,
) -> Iterator[FrameTracks]:
    """Track objects as ``track_video`` does, as a stream: yield every frame as soon as it is final.

    Memory does not grow with the length of the video. Arguments and errors are those of ``track_video``; invalid
    arguments raise at the call, errors of the video and of the model during the iteration.
    """
    sampler = check_clips(clip_length, clip_stride, batch_size)
    link_settings = LinkSettings.of(settings, changes)
    stream = ClipStream(
        reader=reader,
        sampler=sampler,
        prepare=partial(_send, device=_device(model, device)),
        prepared_bytes=3 * 4 * reader.info.height * reader.info.width,  # float32, after the transform
        transform=_to_unit_range,
        progress=progress or (lambda frames: None),
    )
    linker = FrameLinker(link_settings) if clip_length == 1 else TubeLinker(link_settings)
    return linker.link(_detect(stream, model, batch_size, link_settings.min_score))


def check_clips(clip_length: int, clip_stride: int, batch_size: int = 1) -> ClipSampler:
    """Check how a video is split into clips.

    Args:
        clip_length, clip_stride, batch_size: as for ``track_video``.

    Returns:
        The sampler of the clips. The last clip ends with the video.

    Raises:
        ValueError: a number below 1, or clips that do not overlap.
    """
    sampler = ClipSampler(clip_length, clip_stride, tail="shift")
    if clip_stride >= clip_length and clip_length > 1:
        raise ValueError(
            f"clip_stride must be less than {clip_length} (clip_length), so that clips overlap, not {clip_stride}"
        )
    if clip_length == 1 and clip_stride != 1:
        raise ValueError(f"clip_stride must be 1 if clip_length is 1, not {clip_stride}")
    if batch_size < 1:
        raise ValueError(f"batch_size must be ≥ 1, not {batch_size}")
    return sampler


def _send(frames: Tensor, device: torch.device) -> Tensor:
    """Copy frames to a device: uint8 [n, H, W, 3] -> uint8 [n, 3, H, W]."""
    planes = to_planes(frames)
    if device.type == "cuda":
        planes = planes.pin_memory()  # without it, the copy and the detector wait for each other
    return planes.to(device, non_blocking=True)


def _to_unit_range(frames: Tensor) -> Tensor:
    """Convert uint8 to float32 in 0..1.

    This is not done in the threads that run ``_send``: there, waiting frames would take four times the memory.
    """
    return frames.float().div_(255)


def _detect(stream: ClipStream, model: Detector, batch_size: int, min_score: float) -> Iterator[ClipDetections]:
    """Yield the detections of every clip, without those below ``min_score``."""
    with _eval_mode(model):
        for clips in batched(iter(stream), batch_size):
            yield from _run(clips, model, min_score)


def _run(clips: list[Clip], model: Detector, min_score: float) -> list[ClipDetections]:
    """Return the detections of each clip, with the numbers of its frames.

    The last clip of a video that is shorter than a clip repeats its last frame; the repetitions are left out.
    """
    detect: Detector = getattr(model, "detect", model)
    with torch.inference_mode():
        results = detect([clip.values for clip in clips])
        if len(results) != len(clips):
            raise ValueError(f"the model must return one result per clip: {len(clips)}, not {len(results)}")
        # A repeated frame has the same number.
        return [
            ClipDetections.from_mapping(result, list(dict.fromkeys(clip.numbers)), min_score=min_score)
            for clip, result in zip(clips, results, strict=True)
        ]


def _device(model: Detector, device: str | torch.device | None) -> torch.device:
    """Return ``device``, by default that of the model's first parameter, or the CPU."""
    if device is not None:
        return torch.device(device)
    if isinstance(model, nn.Module):
        parameter = next(model.parameters(), None)
        return torch.device("cpu") if parameter is None else parameter.device
    return torch.device("cpu")


@contextmanager
def _eval_mode(model: Detector) -> Iterator[None]:
    """Set all modules of the model to eval mode; restore the mode of each module at the end."""
    modes = [(module, module.training) for module in model.modules()] if isinstance(model, nn.Module) else []
    try:
        for module, _ in modes:
            module.training = False
        yield
    finally:
        for module, training in modes:
            module.training = training
