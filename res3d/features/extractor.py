"""Features of every clip of a video: decoding, preprocessing and the network run at the same time."""

import threading
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from res3d.backbone import ClipClassifier, ResNet3d
from res3d.features.clips import ClipAssembler, ReadyClip, ReadyFrame
from res3d.features.prefetch import prefetch
from res3d.structures import ClipFeatures, ClipFeaturesWriter
from res3d.version import __version__
from res3d.video import KINETICS, ClipSampler, Preprocessing, TimedFrame, VideoReader
from res3d.weights import hash_weights

LOGITS = "logits"  # the layer that is a classifier's output
CHUNK_BYTES = (
    8 * 2**20
)  # frames that are handed on together, the larger of decoded and preprocessed; about six at a time
CHUNK_FRAMES = 32
CHUNKS_AHEAD = 2  # between decoding, preprocessing and the network

Pool = Literal["avg", "max", "none"]
POOLS: dict[str, Callable[[Tensor], Tensor]] = {
    "avg": lambda maps: maps.mean(dim=(2, 3, 4)),
    "max": lambda maps: maps.amax(dim=(2, 3, 4)),
    "none": lambda maps: maps,
}
DType = Literal["auto", "float32", "bfloat16", "float16"]


class _Chunk(NamedTuple):
    """Some frames in a row; pictures [m, H, W, 3] of those that clips hold."""

    places: list[tuple[int, float, float]]  # source frame, its time, its end: frames themselves would hold memory
    held: list[bool]
    pictures: Tensor


class FeatureExtractor:
    """A model with everything that decides its features: sampler, layer, pooling, preprocessing, precision.

    Every frame is decoded once, and preprocessed once if a clip holds it, however much clips overlap; memory does not
    grow with the video's length.

    Args:
        model: a backbone, or a classifier, whose backbone is used. It runs in eval mode and is given back in its own.
        sampler: which frames make which clip.
        layer: the stage whose map is taken ("stem", "conv2", ...), by default the last; or "logits", a classifier's
            output, [clips, classes].
        pool: "avg" averages the map over time and space, "max" takes the largest, [clips, C]; "none" keeps the map,
            [clips, C, T', H', W'].
        preprocess: by default torchvision's Kinetics preset (resize 128×171, crop 112×112).
        batch_size: clips that run through the network together.
        device: where to run; the model is moved there. By default where the model is.
        dtype: computing type, by autocast; "auto" is bfloat16 on CUDA and float32 elsewhere. Features are float32.
        weights: what the weights are called in the file's ``meta``.

    Raises:
        ValueError: an unknown layer, pool or dtype, or a batch size below 1.
    """

    def __init__(
        self,
        model: ResNet3d | ClipClassifier,
        *,
        sampler: ClipSampler | None = None,
        layer: str | None = None,
        pool: Pool = "avg",
        preprocess: Preprocessing | None = None,
        batch_size: int = 4,
        device: str | torch.device | None = None,
        dtype: DType = "auto",
        weights: str | None = None,
    ) -> None:
        self.backbone = model.backbone if isinstance(model, ClipClassifier) else model
        spec = self.backbone.spec
        self.layer = spec.stage_names[-1] if layer is None else layer
        layers = [*spec.stage_names, *([LOGITS] if isinstance(model, ClipClassifier) else [])]
        if self.layer not in layers:
            raise ValueError(f"layer: {spec.name} has no stage {layer!r} (accepted: {', '.join(layers)})")
        self._model: ResNet3d | ClipClassifier = model if self.layer == LOGITS else self.backbone
        if spec.in_channels != 3:
            raise ValueError(f"videos have 3 channels, and {spec.name} takes {spec.in_channels}")
        if pool not in POOLS:
            raise ValueError(f"pool must be one of {', '.join(map(repr, POOLS))}, not {pool!r}")
        if dtype not in ("auto", "float32", "bfloat16", "float16"):
            raise ValueError(f"dtype must be 'auto', 'float32', 'bfloat16' or 'float16', not {dtype!r}")
        if not isinstance(batch_size, int) or batch_size < 1:
            raise ValueError(f"batch_size must be a whole number ≥ 1, not {batch_size!r}")
        self.sampler = sampler or ClipSampler()
        self.pool = pool
        self.preprocess = preprocess or KINETICS
        self.batch_size = batch_size
        self.device = torch.device(device) if device is not None else next(self.backbone.parameters()).device
        if dtype == "auto":
            dtype = "bfloat16" if self.device.type == "cuda" else "float32"
        self.dtype = dtype
        self._model.to(self.device)
        self._weights = weights
        self._weights_sha256 = hash_weights(self._model)

    def extract(self, reader: VideoReader, *, progress: Callable[[int], None] | None = None) -> ClipFeatures:
        """Features of the whole video in memory; ``progress`` is told of frames as they are read."""
        batches = list(self.batches(reader, progress=progress))
        return ClipFeatures.concatenate(batches, self.meta(reader))

    def extract_to(
        self, reader: VideoReader, path: str | Path, *, progress: Callable[[int], None] | None = None
    ) -> int:
        """Features of the whole video to an ``.npz``, batch by batch; returns the number of clips."""
        with ClipFeaturesWriter(path) as writer:
            for batch in self.batches(reader, progress=progress):
                writer.append(batch)
            writer.finish(self.meta(reader))
            return writer.num_clips

    def batches(self, reader: VideoReader, *, progress: Callable[[int], None] | None = None) -> Iterator[ClipFeatures]:
        """Features batch by batch, in order, without ``meta``. A video too short for any clip gives one empty batch."""
        modes = [(module, module.training) for module in self._model.modules()]  # a caller may mix them
        self._model.eval()
        empty = True
        try:
            with closing(self._clips(reader, progress or (lambda frames: None))) as clips:
                for batch in _batched(clips, self.batch_size):
                    empty = False
                    yield self._run(batch)
        finally:
            for module, training in modes:
                module.training = training
        if empty:
            yield self._no_clips()

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

    def _clips(self, reader: VideoReader, progress: Callable[[int], None]) -> Generator[ReadyClip, None, None]:
        assembler = ClipAssembler(self.sampler)
        rows, columns = self.preprocess.output_size(reader.info.height, reader.info.width)
        frame_bytes = max(3 * reader.info.height * reader.info.width, 12 * rows * columns)  # decoded, then float32
        most = max(1, min(CHUNK_FRAMES, CHUNK_BYTES // frame_bytes))
        stop = threading.Event()
        chunks = prefetch(_decode(reader, self.sampler, most), depth=CHUNKS_AHEAD, stop=stop)
        with closing(prefetch(self._prepare(chunks), depth=CHUNKS_AHEAD, stop=stop)) as prepared:
            for frames in prepared:
                for frame in frames:
                    yield from assembler.push(frame)
                progress(len(frames))
        yield from assembler.finish()

    def _prepare(self, chunks: Generator[_Chunk, None, None]) -> Iterator[list[ReadyFrame]]:
        """Frames preprocessed on the device, a chunk at a time."""
        with closing(chunks):
            for chunk in chunks:
                pixels: Iterator[Tensor] = iter(())
                if len(chunk.pictures):
                    pixels = iter(self.preprocess(chunk.pictures.to(self.device, non_blocking=True)))
                yield [
                    ReadyFrame(index=index, seconds=seconds, end_seconds=end, pixels=next(pixels) if held else None)
                    for (index, seconds, end), held in zip(chunk.places, chunk.held, strict=True)
                ]

    @torch.inference_mode()
    def _run(self, clips: list[ReadyClip]) -> ClipFeatures:
        batch = torch.stack([clip.pixels() for clip in clips])
        if self.dtype == "float32":  # without autocast the model's own type computes, be it double or half
            batch = batch.to(next(self.backbone.parameters()).dtype)
        with self._autocast():
            if isinstance(self._model, ClipClassifier):
                features = self._model(batch).float()
            else:
                maps: Tensor = self._model(batch, (self.layer,))[self.layer]
                features = POOLS[self.pool](maps.float())
        frames = [clip.frames for clip in clips]
        return ClipFeatures(
            features=features.cpu().numpy(),
            frame_indices=np.array([[f.index for f in row] for row in frames], dtype=np.int64),
            frame_times=np.array([[f.seconds for f in row] for row in frames], dtype=np.float64),
            start_time=np.array([row[0].seconds for row in frames], dtype=np.float64),
            end_time=np.array([row[-1].end_seconds for row in frames], dtype=np.float64),
        )

    def _autocast(self) -> AbstractContextManager[object]:
        if self.dtype == "float32":
            return nullcontext()
        return torch.autocast(self.device.type, dtype=getattr(torch, self.dtype))

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
    sampler: ClipSampler | None = None,
    layer: str | None = None,
    pool: Pool = "avg",
    preprocess: Preprocessing | None = None,
    batch_size: int = 4,
    device: str | torch.device | None = None,
    dtype: DType = "auto",
) -> ClipFeatures:
    """Features of every clip of a video, with the frames and times each clip covers.

    Args:
        video: a file, or a reader that limits or resamples one.
        model, sampler, layer, pool, preprocess, batch_size, device, dtype: see ``FeatureExtractor``.

    Raises:
        FileNotFoundError, VideoError: see ``VideoReader``.
        ValueError: see ``FeatureExtractor``.
    """
    reader = video if isinstance(video, VideoReader) else VideoReader(video)
    extractor = FeatureExtractor(
        model,
        sampler=sampler,
        layer=layer,
        pool=pool,
        preprocess=preprocess,
        batch_size=batch_size,
        device=device,
        dtype=dtype,
    )
    return extractor.extract(reader)


def _decode(reader: VideoReader, sampler: ClipSampler, most: int) -> Iterator[_Chunk]:
    """The reader's frames in chunks of up to ``most`` pictures, converted to RGB only where a clip holds them."""
    places: list[tuple[int, float, float]] = []
    held: list[bool] = []
    pictures: list[Tensor] = []
    for position, frame, is_last in _with_last(reader.frames()):
        holds = sampler.uses(position) or (is_last and sampler.tail == "pad")
        places.append((frame.index, frame.seconds, frame.end_seconds))
        held.append(holds)
        if holds:
            pictures.append(torch.from_numpy(frame.rgb()))
        if is_last or len(pictures) == most or len(places) == CHUNK_FRAMES:
            yield _Chunk(places, held, torch.stack(pictures) if pictures else torch.empty(0))
            places, held, pictures = [], [], []


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
