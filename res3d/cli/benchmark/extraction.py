"""Extraction from a real video: what sharing frames and dense maps gain, and how well its stages overlap."""

import time
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np
import torch

from res3d.backbone import ResNet3d
from res3d.cli.benchmark.timing import time_in_turns
from res3d.clips import ClipSampler, Preprocessing
from res3d.features import ExtractionRun, FeatureExtractor, NetworkOptions, PipelineTimes
from res3d.structures import ClipFeatures
from res3d.video import VideoReader


@dataclass(frozen=True, kw_only=True)
class ExtractionResult:
    """Seconds for one video, and what follows from them."""

    network: str
    frames: int
    clips: int
    overlap: float  # k: clips that hold a frame, on average
    shared: float  # p: the frame-wise stages' part of a clip's time
    seconds: dict[str, float]  # of whole runs
    network_seconds: dict[str, float]  # of the network in them
    alone: dict[str, float]  # seconds of each stage by itself
    difference: float  # shared frames from whole clips: largest of all features, relative to the largest
    cosine: float  # dense windows with whole clips, mean

    @property
    def formula(self) -> float:
        """The gain that sharing frames should bring the network: 1 / (1 - p + p / k)."""
        return 1 / (1 - self.shared + self.shared / self.overlap)

    def gain(self, way: str) -> float:
        """How many times faster the network is with "shared" or "video" than clip by clip."""
        return self.network_seconds["clip"] / self.network_seconds[way]

    @property
    def overlapped(self) -> float:
        """Time of the stages one after the other, each by itself, over that of the whole run: 1 where they add up."""
        return sum(self.alone.values()) / self.seconds["shared"]


def measure_extraction(
    model: ResNet3d, reader: VideoReader, *, sampler: ClipSampler, preprocess: Preprocessing, repeats: int, dtype: Any
) -> ExtractionResult:
    """Extraction clip by clip, with shared frames, and dense, and each stage alone; in turns; medians."""
    settings: dict[str, Any] = {"sampler": sampler, "preprocess": preprocess}
    alone_each, shared_once = (NetworkOptions(dtype=dtype, share_frames=share) for share in (False, True))
    ways = {
        "clip": FeatureExtractor(model, **settings, options=alone_each),
        "shared": FeatureExtractor(model, **settings, options=shared_once),
        "video": FeatureExtractor(model, **settings, options=shared_once, context="video"),
    }
    whole: dict[str, list[float]] = {way: [] for way in ways}
    network: dict[str, list[float]] = {way: [] for way in ways}
    alone: dict[str, list[float]] = {}
    features: dict[str, ClipFeatures] = {}
    for _ in range(repeats):
        for way, extractor in ways.items():
            times, began = PipelineTimes(), time.perf_counter()
            features[way] = ExtractionRun(extractor, reader, times).extract()
            whole[way].append(time.perf_counter() - began)
            network[way].append(times.busy_seconds["network"])
        for stage, seconds in ExtractionRun(ways["shared"], reader).time_alone().items():
            alone.setdefault(stage, []).append(seconds)
    clip, shared, video = (features[way].features for way in ways)
    return ExtractionResult(
        network=model.spec.name,
        frames=sum(1 for _ in reader.frames()),
        clips=len(clip),
        overlap=features["clip"].frame_indices.size / len(np.unique(features["clip"].frame_indices)),
        shared=_shared_part(ways["shared"], sampler.length, preprocess),
        seconds={way: median(values) for way, values in whole.items()},
        network_seconds={way: median(values) for way, values in network.items()},
        alone={stage: median(values) for stage, values in alone.items()},
        difference=float(np.abs(shared - clip).max() / np.abs(clip).max()),
        cosine=float(np.mean((clip * video).sum(1) / np.linalg.norm(clip, axis=1) / np.linalg.norm(video, axis=1))),
    )


def _shared_part(extractor: FeatureExtractor, length: int, preprocess: Preprocessing) -> float:
    """The frame-wise stages' part of the time of a batch of clips."""
    split = extractor.network
    rows, columns = preprocess.output_size(256, 256)
    frames = torch.randn(length * extractor.options.batch_size, 3, rows, columns, device=extractor.device)
    maps = split.frame_maps(frames)
    clips = torch.unflatten(maps.permute(0, 2, 3, 1).contiguous(), 0, (-1, length)).permute(0, 4, 1, 2, 3)
    runs = {"frames": lambda: split.frame_maps(frames), "clips": lambda: split.clip_maps(clips)}
    timings = time_in_turns(runs, repeats=5, device=extractor.device)
    first, rest = timings["frames"].median, timings["clips"].median
    return first / (first + rest)
