"""Feature extraction from one video. Decoding, preprocessing and the network run at the same time."""

import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from res3d.backbone import ClipClassifier, ResNet3d
from res3d.clips import ClipSampler, ClipSpec, Preprocessing
from res3d.features.dense import DenseWindows, MapGrid
from res3d.features.extractor import Context, FeatureExtractor, NetworkOptions, Pool
from res3d.features.pipeline_times import PipelineTimes
from res3d.inference import DType
from res3d.structures import ClipFeatures, ClipFeaturesWriter
from res3d.video import Clip, ClipStream, StreamFrame, VideoReader, batched, stack_clips

Frames = Generator[StreamFrame, None, None]


@dataclass(frozen=True)
class ExtractionRun:
    """Extraction of the features of one video.

    Every frame is decoded once and, if a clip contains it, preprocessed once, even if clips overlap. Leading stages
    whose output for a frame does not depend on other frames also run once per frame (``NetworkOptions.share_frames``).
    The memory does not depend on the length of the video. Several runs of one extractor may be active at the same time
    in threads; the network computes for one of them at a time.
    """

    extractor: FeatureExtractor
    reader: VideoReader
    times: PipelineTimes = field(default_factory=PipelineTimes)
    """Busy times of the parts of the pipeline, added up during the run."""
    progress: Callable[[int], None] = lambda frames: None
    """Callback with the number of frames that were read since the last call."""
    stop: threading.Event | None = None
    """Once this event is set, the run ends with a StreamStoppedError, and an unfinished file is removed."""

    def extract(self) -> ClipFeatures:
        """Return the features of the whole video."""
        return ClipFeatures.concatenate(list(self.batches()), self.extractor.meta(self.reader))

    def extract_to(self, path: str | Path) -> int:
        """Write the features of the whole video to an ``.npz`` file, batch by batch, and return the number of clips."""
        with ClipFeaturesWriter(path) as writer:
            for batch in self.batches():
                writer.append(batch)
            writer.finish(self.extractor.meta(self.reader))
            return writer.num_clips

    def batches(self) -> Iterator[ClipFeatures]:
        """Yield the features batch by batch, in order, without ``meta``. A video without a clip gives one empty batch.

        Raises:
            VideoError: see ``VideoReader``.
            ValueError: clips of preprocessed frames are too small for the network.
            StreamStoppedError: see ``stop``.
        """
        self.extractor.check_size(self.reader)
        stream = self._stream()
        return self._features_of(stream, stream.frames())

    def time_alone(self) -> dict[str, float]:
        """Return the seconds of each part of the pipeline when they run one after the other.

        Their sum is the time that ``batches`` would take without overlap. The whole video is in memory between the
        parts.
        """
        stream = self._stream()
        seconds: dict[str, float] = {}
        start = time.perf_counter()
        chunks = list(stream.decode())
        seconds["decode"] = time.perf_counter() - start
        start = time.perf_counter()
        prepared = list(stream.prepare_chunks(chunk for chunk in chunks))
        seconds["preprocess"] = time.perf_counter() - start
        start = time.perf_counter()
        for _ in self._features_of(stream, stream.unpack(prepared)):
            pass
        seconds["network"] = time.perf_counter() - start
        return seconds

    def _stream(self) -> ClipStream:
        extractor, info = self.extractor, self.reader.info
        rows, columns = extractor.preprocess.output_size(info.height, info.width)
        return ClipStream(
            reader=self.reader,
            sampler=extractor.sampler,
            prepare=extractor.prepare,
            prepared_bytes=3 * 4 * rows * columns,  # float32
            transform=self._frame_maps,
            holds=None if extractor.grid is None else extractor.grid.contains,
            measure=self.times.measure,
            progress=self.progress,
            stop=self.stop,
        )

    def _features_of(self, stream: ClipStream, frames: Frames) -> Iterator[ClipFeatures]:
        """Yield the features of the clips of a stream, batch by batch; one empty batch if there is no clip."""
        grid, empty = self.extractor.grid, True
        for clips, maps in self._clips(stream, frames) if grid is None else self._windows(grid, frames):
            empty = False
            with self.times.measure("network"), torch.no_grad():  # waits for the GPU
                features = self.extractor.pool_maps(maps)
            yield _rows(clips, features)
        if empty:
            yield _no_clips(self.extractor)

    def _clips(self, stream: ClipStream, frames: Frames) -> Iterator[tuple[list[Clip], Tensor]]:
        """Yield clips with their maps [N, C, T', h, w], ``batch_size`` clips at a time."""
        for clips in batched(stream.assemble(frames), self.extractor.options.batch_size):
            yield clips, self._clip_maps(stack_clips(clips))

    def _windows(self, grid: MapGrid, frames: Frames) -> Iterator[tuple[list[Clip], Tensor]]:
        """Yield clips with their windows of the map of the whole video, ``batch_size`` clips at a time."""
        batch = self.extractor.options.batch_size
        # A segment has about as many frames as a batch of clips, and needs about as much memory.
        dense = DenseWindows(grid, self._clip_maps, core=batch * grid.sampler.length, batch=batch)
        with closing(frames):
            for frame in frames:
                yield from dense.push(frame)
        yield from dense.finish()

    def _frame_maps(self, frames: Tensor) -> Tensor:
        network = self.extractor.network
        with network.lock, self.times.measure("network"):
            return network.frame_maps(frames)

    def _clip_maps(self, frames: Tensor) -> Tensor:
        network = self.extractor.network
        with network.lock, self.times.measure("network"):
            return network.clip_maps(frames)


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
    """Return the features of every clip of a video, with the frames and times that each clip covers.

    Args:
        video: a file, or a reader for a part of one or for another frame rate. A file is resampled to the frame rate of
            ``clip``.
        model, clip, sampler, layer, pool, preprocess, context: see ``FeatureExtractor``.
        batch_size, device, dtype: see ``NetworkOptions``.

    Raises:
        FileNotFoundError, VideoError: see ``VideoReader``.
        ValueError: see ``FeatureExtractor`` and ``NetworkOptions``.
    """
    extractor = FeatureExtractor(
        model,
        clip=clip,
        sampler=sampler,
        preprocess=preprocess,
        layer=layer,
        pool=pool,
        context=context,
        options=NetworkOptions(batch_size=batch_size, device=device, dtype=dtype),
    )
    reader = video if isinstance(video, VideoReader) else VideoReader(video, fps=extractor.fps)
    return ExtractionRun(extractor, reader).extract()


def _rows(clips: list[Clip], features: Tensor) -> ClipFeatures:
    """Return features [N, ...] with the frames and times of their clips."""
    frames = [[frame.place for frame in clip.frames] for clip in clips]
    return ClipFeatures(
        features=features.numpy(),
        frame_indices=np.array([[frame.source_index for frame in row] for row in frames], dtype=np.int64),
        frame_times=np.array([[frame.seconds for frame in row] for row in frames], dtype=np.float64),
        start_time=np.array([row[0].seconds for row in frames], dtype=np.float64),
        end_time=np.array([row[-1].end_seconds for row in frames], dtype=np.float64),
    )


def _no_clips(extractor: FeatureExtractor) -> ClipFeatures:
    return ClipFeatures(
        features=np.empty((0, *extractor.empty_shape), np.float32),
        frame_indices=np.empty((0, extractor.sampler.length), np.int64),
        frame_times=np.empty((0, extractor.sampler.length), np.float64),
        start_time=np.empty(0, np.float64),
        end_time=np.empty(0, np.float64),
    )
