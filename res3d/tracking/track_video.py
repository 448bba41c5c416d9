"""Tracking of the objects in a video: decoding, detection in overlapping clips and linking, as a stream."""

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

# Takes clips [3, T, H, W] in 0..1 and gives a dictionary for each: boxes [D, T, 4], visible [D, T], scores [D], ...
Detector = Callable[[list[Tensor]], list[dict[str, Any]]]


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
        video: a file, or a reader that limits or resamples one; frames are numbered as they are read, from 0.
        model: a detector: takes a list of clips [3, T, H, W] in 0..1 and gives a list of dictionaries with boxes
            [D, T, 4], visible [D, T], scores [D], labels [D], and optionally embeddings, masks and keypoints. A module
            runs in eval mode and is given back in its own; if it has a method ``detect``, that is called in place of
            the module itself (MaskRCNN3d's gives masks one at a time).
        clip_length, clip_stride: frames in a clip, and from the start of one to the start of the next. Clips must
            overlap: tubes are linked by the frames that two share. The last clip ends with the video. With
            ``clip_length=1``, and a stride of 1, detections are linked frame by frame.
        batch_size: clips that run through the model together.
        device: where clips are put; by default where the model's parameters are.
        categories: what labels stand for, for the files that tracks are written to; by default what ``model`` says of
            itself (``model.categories``).
        progress: called with the number of frames that were read since the last call.
        settings, changes: how tubes are linked; see ``link_detections``.

    Raises:
        FileNotFoundError, VideoError: see ``VideoReader``.
        ValueError: clips that do not overlap, settings that are none, or results that are not as described.
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
    """The same as ``track_video``, frame by frame, each as soon as it is final, in memory independent of the length."""
    sampler = check_clips(clip_length, clip_stride, batch_size)
    chosen = LinkSettings.of(settings, changes)
    stream = ClipStream(
        reader=reader,
        sampler=sampler,
        prepare=partial(_send, device=_device(model, device)),
        prepared_bytes=3 * 4 * reader.info.height * reader.info.width,  # float32, after the transform
        transform=_to_unit_range,
        progress=progress or (lambda frames: None),
    )
    linker = FrameLinker(chosen) if clip_length == 1 else TubeLinker(chosen)
    return linker.link(_detect(stream, model, batch_size, chosen.min_score))


def check_clips(clip_length: int, clip_stride: int, batch_size: int = 1) -> ClipSampler:
    """How a video is cut into clips; ValueError for numbers that are none or clips that do not overlap."""
    sampler = ClipSampler(clip_length, clip_stride, tail="shift")
    if clip_stride >= clip_length and clip_length > 1:
        raise ValueError(f"clips must overlap: clip_stride must be below {clip_length}, the length, not {clip_stride}")
    if clip_length == 1 and clip_stride != 1:
        raise ValueError(f"clips of one frame are linked frame by frame: clip_stride must be 1, not {clip_stride}")
    if batch_size < 1:
        raise ValueError(f"batch_size must be ≥ 1, not {batch_size}")
    return sampler


def _send(frames: Tensor, device: torch.device) -> Tensor:
    """uint8 [n, H, W, 3] -> uint8 [n, 3, H, W] on the device."""
    planes = to_planes(frames)
    if device.type == "cuda":
        planes = planes.pin_memory()  # else the copy waits for the detector, and the detector for the copy
    return planes.to(device, non_blocking=True)


def _to_unit_range(frames: Tensor) -> Tensor:
    """uint8 -> float32 in 0..1. Not in the threads that send: frames that wait take a quarter of the memory."""
    return frames.float().div_(255)


def _detect(stream: ClipStream, model: Detector, batch_size: int, min_score: float) -> Iterator[ClipDetections]:
    with _eval_mode(model):
        for clips in batched(iter(stream), batch_size):
            yield from _run(clips, model, min_score)


def _run(clips: list[Clip], model: Detector, min_score: float) -> list[ClipDetections]:
    """Detections of each clip, with the numbers of its frames; those leave out the frames that pad a short video."""
    find: Detector = getattr(model, "detect", model)
    with torch.inference_mode():
        results = find([clip.values for clip in clips])
        if len(results) != len(clips):
            raise ValueError(f"the model gave {len(results)} results for {len(clips)} clips")
        return [
            ClipDetections.from_mapping(result, list(dict.fromkeys(clip.numbers)), min_score=min_score)
            for clip, result in zip(clips, results, strict=True)
        ]


def _device(model: Detector, device: str | torch.device | None) -> torch.device:
    if device is not None:
        return torch.device(device)
    if isinstance(model, nn.Module):
        parameter = next(model.parameters(), None)
        return torch.device("cpu") if parameter is None else parameter.device
    return torch.device("cpu")


@contextmanager
def _eval_mode(model: Detector) -> Iterator[None]:
    """Every module in eval mode, and each in its own again afterwards."""
    modes = [(module, module.training) for module in model.modules()] if isinstance(model, nn.Module) else []
    try:
        for module, _ in modes:
            module.training = False
        yield
    finally:
        for module, training in modes:
            module.training = training
