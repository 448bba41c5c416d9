"""Measurement of feature extraction from a video: gain of shared frames and of dense maps, overlap of its stages."""

import time
from dataclasses import dataclass
from statistics import median

import numpy as np
import torch

from res3d.backbone import ResNet3d
from res3d.cli.benchmark.timing import time_in_turns
from res3d.cli.command import Keywords
from res3d.clips import ClipSampler, Preprocessing
from res3d.features import ExtractionRun, FeatureExtractor, NetworkOptions, PipelineTimes
from res3d.structures import ClipFeatures
from res3d.video import VideoReader


@dataclass(frozen=True, kw_only=True)
class ExtractionResult:
    """Times of the extraction from one video, and numbers computed from them.

    The keys of ``seconds`` and ``network_seconds`` are the modes: "clip" runs the whole network on every clip, "shared"
    runs frame-wise stages once per frame, "video" runs the network once over the whole video.
    """

    network: str
    frames: int
    clips: int
    overlap: float  # k: mean number of clips that contain a frame
    shared: float  # p: share of the frame-wise stages in the time of a clip
    seconds: dict[str, float]  # wall time of the whole run, by mode
    network_seconds: dict[str, float]  # busy time of the network, by mode
    alone: dict[str, float]  # wall time of each pipeline stage, run alone
    difference: float  # "shared" from "clip": max|a - b| / max|b| over all features
    cosine: float  # mean cosine between the features of "video" and "clip"

    @property
    def formula(self) -> float:
        """Expected speedup of the network with shared frames: 1 / (1 - p + p / k)."""
        return 1 / (1 - self.shared + self.shared / self.overlap)

    def gain(self, mode: str) -> float:
        """Return the speedup of the network in the mode "shared" or "video", relative to "clip"."""
        return self.network_seconds["clip"] / self.network_seconds[mode]

    @property
    def overlapped(self) -> float:
        """Sum of the times of the pipeline stages run alone, divided by the time of the whole run; 1 is no overlap."""
        return sum(self.alone.values()) / self.seconds["shared"]


def measure_extraction(
    model: ResNet3d, reader: VideoReader, *, sampler: ClipSampler, preprocess: Preprocessing, repeats: int, dtype: str
) -> ExtractionResult:
    """Measure the extraction in all modes, and each pipeline stage alone.

    The modes run in turns, ``repeats`` times; the result has the medians.
    """
    settings: Keywords = {"sampler": sampler, "preprocess": preprocess}
    computing: Keywords = {"dtype": dtype}
    per_clip, per_frame = (NetworkOptions(**computing, share_frames=share) for share in (False, True))
    extractors = {
        "clip": FeatureExtractor(model, **settings, options=per_clip),
        "shared": FeatureExtractor(model, **settings, options=per_frame),
        "video": FeatureExtractor(model, **settings, options=per_frame, context="video"),
    }
    whole: dict[str, list[float]] = {mode: [] for mode in extractors}
    network: dict[str, list[float]] = {mode: [] for mode in extractors}
    alone: dict[str, list[float]] = {}
    features: dict[str, ClipFeatures] = {}
    for _ in range(repeats):
        for mode, extractor in extractors.items():
            times, start = PipelineTimes(), time.perf_counter()
            features[mode] = ExtractionRun(extractor, reader, times).extract()
            whole[mode].append(time.perf_counter() - start)
            network[mode].append(times.busy_seconds["network"])
        for stage, seconds in ExtractionRun(extractors["shared"], reader).time_alone().items():
            alone.setdefault(stage, []).append(seconds)
    clip, shared, video = (features[mode].features for mode in extractors)
    return ExtractionResult(
        network=model.spec.name,
        frames=sum(1 for _ in reader.frames()),
        clips=len(clip),
        overlap=features["clip"].frame_indices.size / len(np.unique(features["clip"].frame_indices)),
        shared=_frame_wise_share(extractors["shared"], sampler.length, preprocess),
        seconds={mode: median(values) for mode, values in whole.items()},
        network_seconds={mode: median(values) for mode, values in network.items()},
        alone={stage: median(values) for stage, values in alone.items()},
        difference=float(np.abs(shared - clip).max() / np.abs(clip).max()),
        cosine=float(np.mean((clip * video).sum(1) / np.linalg.norm(clip, axis=1) / np.linalg.norm(video, axis=1))),
    )


def _frame_wise_share(extractor: FeatureExtractor, length: int, preprocess: Preprocessing) -> float:
    """Return the share of the frame-wise stages in the time of a batch of clips."""
    split = extractor.network
    rows, columns = preprocess.output_size(256, 256)
    frames = torch.randn(length * extractor.options.batch_size, 3, rows, columns, device=extractor.device)
    maps = split.frame_maps(frames)
    clips = torch.unflatten(maps.permute(0, 2, 3, 1).contiguous(), 0, (-1, length)).permute(0, 4, 1, 2, 3)
    runs = {"frames": lambda: split.frame_maps(frames), "clips": lambda: split.clip_maps(clips)}
    timings = time_in_turns(runs, repeats=5, device=extractor.device)
    first, rest = timings["frames"].median, timings["clips"].median
    return first / (first + rest)
