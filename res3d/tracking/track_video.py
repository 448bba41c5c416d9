"""A video and a detector in, tracks out: frames are read once, clips overlap, tubes are linked as they come."""

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from res3d.structures import Category, ClipDetections, FrameTracks, VideoTracks
from res3d.tracking.linker import FrameLinker, TubeLinker
from res3d.tracking.settings import LinkSettings
from res3d.video import ClipSampler, VideoReader

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
        progress: told of frames as they are read.
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
    clips = _clips(_pixels(reader, progress or (lambda frames: None)), sampler)
    linker = FrameLinker(chosen) if clip_length == 1 else TubeLinker(chosen)
    return linker.link(_detect(clips, model, batch_size, _device(model, device), chosen.min_score))


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


def _pixels(reader: VideoReader, progress: Callable[[int], None]) -> Iterator[Tensor]:
    """uint8 [3, H, W]."""
    for frame in reader.frames():
        yield torch.from_numpy(frame.rgb()).permute(2, 0, 1)
        progress(1)


def _clips(frames: Iterator[Tensor], sampler: ClipSampler) -> Iterator[tuple[list[int], Tensor]]:
    """(frame numbers, uint8 [3, T, H, W]) of each clip. A video shorter than one is padded with its last frame.

    The numbers leave padding out. The frames of one clip are held at a time.
    """
    length = sampler.length
    held: deque[Tensor] = deque(maxlen=length)
    count = covered = 0
    for frame in frames:
        held.append(frame)
        count += 1
        if count >= length and (count - length) % sampler.stride == 0:
            yield list(range(count - length, count)), torch.stack(list(held), dim=1)
            covered = count
    if covered < count:
        own = len(held)
        held.extend([held[-1]] * (length - own))
        yield list(range(count - own, count)), torch.stack(list(held), dim=1)


def _detect(
    clips: Iterator[tuple[list[int], Tensor]], model: Detector, batch_size: int, device: torch.device, min_score: float
) -> Iterator[ClipDetections]:
    with _eval_mode(model):
        batch: list[tuple[list[int], Tensor]] = []
        for clip in clips:
            batch.append(clip)
            if len(batch) == batch_size:
                yield from _run(batch, model, device, min_score)
                batch = []
        if batch:
            yield from _run(batch, model, device, min_score)


def _run(
    batch: list[tuple[list[int], Tensor]], model: Detector, device: torch.device, min_score: float
) -> list[ClipDetections]:
    find: Detector = getattr(model, "detect", model)
    with torch.inference_mode():
        results = find([clip.to(device).float() / 255 for _, clip in batch])
        if len(results) != len(batch):
            raise ValueError(f"the model gave {len(results)} results for {len(batch)} clips")
        return [
            ClipDetections.from_mapping(result, frames, min_score=min_score)
            for (frames, _), result in zip(batch, results, strict=True)
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
