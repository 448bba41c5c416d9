"""Features of every clip of a video: decoding, preprocessing and the network run at the same time."""

import os
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from res3d.backbone import ClipClassifier, ResNet3d, frame_wise_stages, stage_hint
from res3d.clips import KINETICS, ClipSampler, ClipSpec, Preprocessing
from res3d.features.clips import ClipAssembler, ReadyClip, ReadyFrame, stack_frames
from res3d.features.dense import DenseWindows, MapGrid
from res3d.features.prefetch import map_in_threads, prefetch
from res3d.features.stage_times import StageTimes
from res3d.features.stages import SplitNetwork
from res3d.inference import DType, optimize
from res3d.structures import ClipFeatures, ClipFeaturesWriter
from res3d.version import __version__
from res3d.video import TimedFrame, VideoReader
from res3d.weights import hash_weights

LOGITS = "logits"  # the layer that is a classifier's output
CHUNK_BYTES = (
    8 * 2**20
)  # frames that are handed on together, the larger of decoded and preprocessed; about six at a time
CHUNK_FRAMES = 32
CHUNKS_AHEAD = 2  # between decoding, preprocessing and the network
PREPARERS = min(4, os.cpu_count() or 1)  # threads that convert and preprocess

Pool = Literal["avg", "max", "none"]
POOLS: dict[str, Callable[[Tensor], Tensor]] = {
    "avg": lambda maps: maps.mean(dim=(2, 3, 4)),
    "max": lambda maps: maps.amax(dim=(2, 3, 4)),
    "none": lambda maps: maps,
}
Context = Literal["clip", "video"]


class _Place(NamedTuple):
    """Where a frame stands in the video; the decoded frame itself would hold memory."""

    source_index: int
    seconds: float
    end_seconds: float
    is_held: bool  # by some clip


class _Chunk(NamedTuple):
    """Some frames in a row, and the decoded ones that clips hold."""

    places: list[_Place]
    decoded: list[TimedFrame]


class _ReadyChunk(NamedTuple):
    """The same with the held frames' pixels [m, C, H, W], preprocessed, on the device."""

    places: list[_Place]
    pixels: Tensor | None


class FeatureExtractor:
    """A model with everything that decides its features: sampler, layer, pooling, preprocessing, precision.

    Every frame is decoded once, and preprocessed once if a clip holds it, however much clips overlap; so are the first
    stages of networks in which a frame's features do not depend on its clip. Memory does not grow with the video's
    length.

    Args:
        model: a backbone, or a classifier, whose backbone is used. What runs is a copy made fast, with the weights as
            they are now (see ``res3d.inference.optimize``).
        clip: the clips that the model takes; by default those that a classifier was trained on, if it says so
            (``trained_on``). The frame rate is the reader's: ``self.fps`` is what ``clip`` asks for.
        sampler: chooses the frames of clips; by default that of ``clip``, else ``ClipSampler()``.
        layer: the stage whose map is taken ("stem", "conv2", ...), by default the last; or "logits", a classifier's
            output, [clips, classes].
        pool: "avg" averages the map over time and space, "max" takes the largest, [clips, C]; "none" keeps the map,
            [clips, C, T', H', W'].
        preprocess: prepares frames; by default that of ``clip``, else torchvision's Kinetics preset (resize 128×171,
            crop 112×112).
        batch_size: clips that run through the network together.
        device: where to run; the model is moved there. By default where the model is.
        dtype: computing type; "auto" is bfloat16 on CUDA and float32 elsewhere. Features are float32.
        weights: what the weights are called in the file's ``meta``.
        context: what a clip's features depend on. "clip": on its frames alone, with zeros before and behind them.
            "video": the network runs once over the whole video, and a clip's features are its part of that map, so its
            first and last frames see their neighbours in the video where "clip" has zeros. The cost does not depend on
            how much clips overlap.
        share_frames: run stages that see one frame at a time once a frame where clips overlap. The features are the
            same; off, every clip runs whole.

    Raises:
        ValueError: an unknown layer, pool, dtype or context, a batch size below 1, a clip of segments or of several
            views, or, with context "video", a model or
            sampler that it is not defined for (see ``MapGrid``).
    """

    def __init__(
        self,
        model: ResNet3d | ClipClassifier,
        *,
        clip: ClipSpec | None = None,
        sampler: ClipSampler | None = None,
        layer: str | None = None,
        pool: Pool = "avg",
        preprocess: Preprocessing | None = None,
        batch_size: int = 4,
        device: str | torch.device | None = None,
        dtype: DType = "auto",
        weights: str | None = None,
        context: Context = "clip",
        share_frames: bool = True,
    ) -> None:
        self.backbone = model.backbone if isinstance(model, ClipClassifier) else model
        spec = self.backbone.spec
        self.layer = spec.stage_names[-1] if layer is None else layer
        layers = [*spec.stage_names, *([LOGITS] if isinstance(model, ClipClassifier) else [])]
        if self.layer not in layers:
            hint = stage_hint(self.layer, layers)
            raise ValueError(f"layer: {spec.name} has no stage {layer!r}{hint} (accepted: {', '.join(layers)})")
        self._model: ResNet3d | ClipClassifier = model if self.layer == LOGITS else self.backbone
        if spec.in_channels != 3:
            raise ValueError(f"videos have 3 channels, and {spec.name} takes {spec.in_channels}")
        if pool not in POOLS:
            raise ValueError(f"pool must be one of {', '.join(map(repr, POOLS))}, not {pool!r}")
        if context not in ("clip", "video"):
            raise ValueError(f"context must be 'clip' or 'video', not {context!r}")
        if not isinstance(batch_size, int) or batch_size < 1:
            raise ValueError(f"batch_size must be a whole number ≥ 1, not {batch_size!r}")
        if clip is None and isinstance(model, ClipClassifier):
            clip = model.trained_on
        self.fps = None if clip is None else clip.fps
        self.sampler = sampler or (ClipSampler() if clip is None else clip.sampler())
        self.pool = pool
        self.preprocess = preprocess or _preprocessing_of(clip)
        self.batch_size = batch_size
        self.device = torch.device(device) if device is not None else next(self.backbone.parameters()).device
        model.to(self.device)
        self._weights = weights
        self._weights_sha256 = hash_weights(self._model)
        self.context = context
        last = spec.stage_names[-1] if self.layer == LOGITS else self.layer
        self._grid = MapGrid(spec=spec, layer=last, sampler=self.sampler) if context == "video" else None
        stages = spec.stage_names[: spec.stage_names.index(last) + 1]
        optimized = optimize(self._model, dtype=dtype)
        self.dtype = optimized.dtype
        overlap = context == "video" or self.sampler.stride < self.sampler.span
        # A shifted last clip may hold any of the last frames, so all would have to be kept, and most of them in vain.
        overlap &= context == "video" or self.sampler.tail != "shift" or self.sampler.step == 1
        shared = [name for name in frame_wise_stages(spec) if name in stages] if share_frames and overlap else []
        self._one_at_a_time = threading.Lock()
        self.network = SplitNetwork(model=optimized, shared=tuple(shared), rest=stages[len(shared) :])

    def extract(self, reader: VideoReader, *, progress: Callable[[int], None] | None = None) -> ClipFeatures:
        """Features of the whole video in memory; ``progress`` is told of frames as they are read."""
        batches = list(self.batches(reader, progress=progress))
        return ClipFeatures.concatenate(batches, self.meta(reader))

    def extract_to(
        self,
        reader: VideoReader,
        path: str | Path,
        *,
        progress: Callable[[int], None] | None = None,
        times: StageTimes | None = None,
    ) -> int:
        """Features of the whole video to an ``.npz``, batch by batch; returns the number of clips."""
        with ClipFeaturesWriter(path) as writer:
            for batch in self.batches(reader, progress=progress, times=times):
                writer.append(batch)
            writer.finish(self.meta(reader))
            return writer.num_clips

    def batches(
        self,
        reader: VideoReader,
        *,
        progress: Callable[[int], None] | None = None,
        times: StageTimes | None = None,
    ) -> Iterator[ClipFeatures]:
        """Features batch by batch, in order, without ``meta``. A video too short for any clip gives one empty batch.

        ``progress`` is told of frames as they are read, ``times`` of how long each stage is busy. Several videos may be
        read at the same time, in threads; the network serves them one after the other.
        """
        size = self.preprocess.output_size(reader.info.height, reader.info.width)
        self.backbone.spec.check_size((self.sampler.length, *size))
        times, stop = times or StageTimes(), threading.Event()
        decoded = prefetch(self._chunks(reader, times), depth=CHUNKS_AHEAD, stop=stop)
        ready = map_in_threads(lambda chunk: self._prepare(chunk, times), decoded, workers=PREPARERS)
        with closing(prefetch(ready, depth=CHUNKS_AHEAD, stop=stop)) as prepared:
            yield from self._run(prepared, progress or (lambda frames: None), times)

    def time_stages(self, reader: VideoReader) -> dict[str, float]:
        """Seconds that each stage takes alone, one after the other, with the whole video in memory between them.

        Together they are what ``batches`` would take if nothing overlapped.
        """
        unused = StageTimes()
        began = time.perf_counter()
        decoded = list(self._chunks(reader, unused))
        decoding = time.perf_counter() - began
        began = time.perf_counter()
        source = (chunk for chunk in decoded)
        prepared = list(map_in_threads(lambda chunk: self._prepare(chunk, unused), source, workers=PREPARERS))
        preparing = time.perf_counter() - began
        began = time.perf_counter()
        for _ in self._run(iter(prepared), lambda frames: None, unused):
            pass
        return {"decode": decoding, "preprocess": preparing, "network": time.perf_counter() - began}

    def meta(self, reader: VideoReader) -> dict[str, Any]:
        """What goes into the file beside the features: how they were made, from what."""
        status = reader.path.stat()
        return {
            "model": self.backbone.spec.name,
            "spec": self.backbone.spec.to_yaml(),
            "weights": self._weights,
            "weights_sha256": self._weights_sha256,
            "layer": self.layer,
            "pool": self.pool,
            "preprocessing": self.preprocess.to_dict(),
            "sampler": asdict(self.sampler),
            "context": self.context,
            "start": reader.start,
            "end": reader.end,
            "fps": reader.fps,
            "allow_truncated": reader.allow_truncated,
            "dtype": self.dtype,
            "video": {
                "file": reader.path.name,
                "bytes": status.st_size,
                "modified": status.st_mtime,
                "fps": reader.info.fps,
                "width": reader.info.width,
                "height": reader.info.height,
                "damage": reader.damage,
            },
            "version": __version__,
        }

    def _clips(self, frames: Iterator[ReadyFrame], times: StageTimes) -> Iterator[ClipFeatures]:
        """Clip by clip, ``batch_size`` at a time."""

        def clips() -> Iterator[ReadyClip]:
            assembler = ClipAssembler(self.sampler)
            for frame in frames:
                yield from assembler.push(frame)
            yield from assembler.finish()

        for batch in _batched(clips(), self.batch_size):
            maps = self._clip_maps(stack_frames([clip.frames for clip in batch]), times)
            yield self._features(batch, maps, times)

    def _windows(self, frames: Iterator[ReadyFrame], grid: MapGrid, times: StageTimes) -> Iterator[ClipFeatures]:
        """As windows of the whole video's map; stretches hold about the frames of a batch."""
        run = partial(self._clip_maps, times=times)
        dense = DenseWindows(grid, run, core=self.batch_size * self.sampler.length, batch=self.batch_size)
        for frame in frames:
            for batch in dense.push(frame):
                yield self._features(*batch, times)
        for batch in dense.finish():
            yield self._features(*batch, times)

    def _chunks(self, reader: VideoReader, times: StageTimes) -> Generator[_Chunk, None, None]:
        """The video in chunks of a bounded size."""
        rows, columns = self.preprocess.output_size(reader.info.height, reader.info.width)
        frame_bytes = max(3 * reader.info.height * reader.info.width, 12 * rows * columns)  # decoded, then float32
        most = max(1, min(CHUNK_FRAMES, CHUNK_BYTES // frame_bytes))
        holds = self.sampler.uses if self._grid is None else self._grid.holds
        return _decode(reader, holds, most, times, pads=self.sampler.tail == "pad")

    def _run(
        self, prepared: Iterator[_ReadyChunk], progress: Callable[[int], None], times: StageTimes
    ) -> Iterator[ClipFeatures]:
        """Features of the clips of prepared chunks, batch by batch, or one empty batch."""
        frames, grid, empty = self._frames(prepared, progress, times), self._grid, True
        for batch in self._clips(frames, times) if grid is None else self._windows(frames, grid, times):
            empty = False
            yield batch
        if empty:
            yield self._no_clips()

    def _frames(
        self, prepared: Iterator[_ReadyChunk], progress: Callable[[int], None], times: StageTimes
    ) -> Iterator[ReadyFrame]:
        """The video's frames, each with its map after the shared stages (or its pixels) if a clip holds it."""
        for places, pixels in prepared:
            maps: Iterator[Tensor] = iter(())
            if pixels is not None:
                with self._one_at_a_time, times.measure("network"):
                    maps = iter(self.network.frame_maps(pixels))
            for index, seconds, end, is_held in places:
                yield ReadyFrame(index=index, seconds=seconds, end_seconds=end, pixels=next(maps) if is_held else None)
            progress(len(places))

    def _prepare(self, chunk: _Chunk, times: StageTimes) -> _ReadyChunk:
        if not chunk.decoded:
            return _ReadyChunk(chunk.places, None)
        with times.measure("preprocess"):
            pictures = torch.stack([torch.from_numpy(frame.rgb()) for frame in chunk.decoded])
            if self.device.type == "cuda":
                pictures = pictures.pin_memory()  # else the copy waits for the network, and the network for the copy
            return _ReadyChunk(chunk.places, self.preprocess(pictures.to(self.device, non_blocking=True)))

    def _clip_maps(self, frames: Tensor, times: StageTimes) -> Tensor:
        with self._one_at_a_time, times.measure("network"):
            return self.network.clip_maps(frames)

    @torch.no_grad()
    def _features(self, clips: list[ReadyClip], maps: Tensor, times: StageTimes) -> ClipFeatures:
        with times.measure("network"):  # a GPU is waited for here
            features = self.network.logits(maps) if self.layer == LOGITS else POOLS[self.pool](maps.float())
            features = features.cpu().contiguous()
        frames = [clip.frames for clip in clips]
        return ClipFeatures(
            features=features.numpy(),
            frame_indices=np.array([[f.index for f in row] for row in frames], dtype=np.int64),
            frame_times=np.array([[f.seconds for f in row] for row in frames], dtype=np.float64),
            start_time=np.array([row[0].seconds for row in frames], dtype=np.float64),
            end_time=np.array([row[-1].end_seconds for row in frames], dtype=np.float64),
        )

    def _no_clips(self) -> ClipFeatures:
        if isinstance(self._model, ClipClassifier):
            tail: tuple[int, ...] = (self._model.num_classes,)
        else:
            channels = self.backbone.feature_info[self.layer].channels
            tail = (channels, 0, 0, 0) if self.pool == "none" else (channels,)
        return ClipFeatures(
            features=np.empty((0, *tail), np.float32),
            frame_indices=np.empty((0, self.sampler.length), np.int64),
            frame_times=np.empty((0, self.sampler.length), np.float64),
            start_time=np.empty(0, np.float64),
            end_time=np.empty(0, np.float64),
        )


def extract_features(
    video: str | Path | VideoReader,
    model: ResNet3d | ClipClassifier,
    *,
    clip: ClipSpec | None = None,
    sampler: ClipSampler | None = None,
    layer: str | None = None,
    pool: Pool = "avg",
    preprocess: Preprocessing | None = None,
    batch_size: int = 4,
    device: str | torch.device | None = None,
    dtype: DType = "auto",
    context: Context = "clip",
) -> ClipFeatures:
    """Features of every clip of a video, with the frames and times each clip covers.

    Args:
        video: a file, or a reader that limits or resamples one. A file is resampled to the frame rate of ``clip``.
        model, clip, sampler, layer, pool, preprocess, batch_size, device, dtype, context: see ``FeatureExtractor``.

    Raises:
        FileNotFoundError, VideoError: see ``VideoReader``.
        ValueError: see ``FeatureExtractor``.
    """
    extractor = FeatureExtractor(
        model,
        clip=clip,
        sampler=sampler,
        layer=layer,
        pool=pool,
        preprocess=preprocess,
        batch_size=batch_size,
        device=device,
        dtype=dtype,
        context=context,
    )
    return extractor.extract(video if isinstance(video, VideoReader) else VideoReader(video, fps=extractor.fps))


def _preprocessing_of(clip: ClipSpec | None) -> Preprocessing:
    if clip is None:
        return KINETICS
    if clip.views > 1:
        raise ValueError(f"features are of one view of each frame, not of {clip.views} views")
    return clip.preprocessing


def _decode(
    reader: VideoReader, holds: Callable[[int], bool], most: int, times: StageTimes, *, pads: bool
) -> Generator[_Chunk, None, None]:
    """The reader's frames in chunks with up to ``most`` that clips hold, the last frame among them if it ``pads``."""
    places: list[_Place] = []
    decoded: list[TimedFrame] = []
    frames = _with_last(reader.frames())
    while True:
        with times.measure("decode"):
            position, frame, is_last = next(frames, (0, None, True))
        if frame is None:
            return
        is_held = holds(position) or (is_last and pads)
        places.append(_Place(frame.index, frame.seconds, frame.end_seconds, is_held))
        if is_held:
            decoded.append(frame)
        if is_last or len(decoded) == most or len(places) == CHUNK_FRAMES:
            yield _Chunk(places, decoded)
            places, decoded = [], []


def _with_last(frames: Iterable[TimedFrame]) -> Iterator[tuple[int, TimedFrame, bool]]:
    """(position, frame, whether it is the last)."""
    before: TimedFrame | None = None
    position = -1
    for position, frame in enumerate(frames):
        if before is not None:
            yield position - 1, before, False
        before = frame
    if before is not None:
        yield position, before, True


def _batched(clips: Iterator[ReadyClip], size: int) -> Iterator[list[ReadyClip]]:
    batch: list[ReadyClip] = []
    for clip in clips:
        batch.append(clip)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
