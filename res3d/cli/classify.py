"""``res3d classify``: the likeliest classes of a video and of its clips."""

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from res3d.cli.command import UsageError
from res3d.cli.inputs import FAILED, complain, expand_videos, process_videos
from res3d.cli.settings import check_range, choose_clip, find_device
from res3d.features import LOGITS, ExtractionRun, FeatureExtractor, NetworkOptions
from res3d.structures import ClipFeatures
from res3d.video import VideoReader
from res3d.weights import WeightsError, load_classifier, open_weights


def classify(
    videos: list[str],
    *,
    weights: str = "torchvision/r3d_18.kinetics400",
    model: str | None = None,
    categories: str | None = None,
    top: int = 5,
    length: int | None = None,
    stride: int | None = None,
    step: int | None = None,
    start: float = 0.0,
    end: float | None = None,
    fps: float | None = None,
    resize: str | None = None,
    crop: str | None = None,
    mean: tuple[float, float, float] | None = None,
    std: tuple[float, float, float] | None = None,
    batch_size: int = 4,
    device: str = "auto",
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto",
    allow_truncated: bool = False,
) -> int:
    """Print the likeliest classes of each video, and of each of its clips.

    A clip's probabilities are the softmax of its logits, a video's the mean of its clips'. Registered weights bring
    their clip length, frame rate, preprocessing and class names. Exit codes as for extract.

    Args:
        videos: files, folders (searched for videos) or globs
        weights: a name from res3d.list_weights(), or a file with a classifier
        model: backbone of a file that does not name it
        categories: text file with one class name a line, for weights that bring none
        top: how many classes to print
        length: frames per clip; by default as the weights were trained, or 16
        stride: frames from the start of one clip to the start of the next; by default the length times the step
        step: frames from one frame of a clip to the next; by default as the weights were trained, or 1
        start: seconds to begin at
        end: seconds to end before
        fps: resample videos to this frame rate; by default as the weights were trained, or the video's own
        resize: shorter side, or HEIGHTxWIDTH, in pixels, or none; by default as the weights were trained
        crop: center crop, HEIGHTxWIDTH in pixels, or none; by default as the weights were trained
        mean: subtracted from each RGB channel, of values in 0..1; by default as the weights were trained
        std: each RGB channel is divided by it; likewise
        batch_size: clips that run through the network together
        device: auto, cpu, cuda, cuda:1, ...
        dtype: computing type; auto is bfloat16 on cuda, float32 elsewhere
        allow_truncated: use the frames of videos that end or break early
    """
    if not videos:
        raise UsageError("name a video to classify")
    if top < 1:
        raise UsageError(f"--top must be ≥ 1, not {top}")
    try:
        source = open_weights(weights)
        paths = expand_videos(videos)
        check_range(start, end, fps)
        clip = choose_clip(source.clip, length=length, step=step, fps=fps, resize=resize, crop=crop, mean=mean, std=std)
        names = Path(categories).read_text(encoding="utf-8").splitlines() if categories else None
        classifier = load_classifier(source, model=model)
        extractor = FeatureExtractor(
            classifier,
            clip=clip,
            sampler=clip.sampler(stride=stride),
            layer=LOGITS,
            options=NetworkOptions(batch_size=batch_size, device=find_device(device), dtype=dtype),
            weights=weights,
        )
    except (WeightsError, FileNotFoundError) as error:
        return complain("classify", str(error))
    except ValueError as error:
        raise UsageError(str(error)) from None
    if names is None:
        names = list(classifier.categories) or [f"class {number}" for number in range(classifier.num_classes)]
    if len(names) != classifier.num_classes:
        raise UsageError(f"--categories {categories}: {len(names)} names for {classifier.num_classes} classes")
    class_names = names

    def classify_one(path: Path) -> None:
        reader = VideoReader(path, start=start, end=end, fps=clip.fps, allow_truncated=allow_truncated)
        _print_classes(path, ExtractionRun(extractor, reader).extract(), class_names, top)

    return FAILED if process_videos(paths, classify_one, command="classify") else 0


def _print_classes(path: Path, logits: ClipFeatures, names: list[str], top: int) -> None:
    scaled = np.exp(logits.features - logits.features.max(axis=1, keepdims=True))
    probabilities = scaled / scaled.sum(axis=1, keepdims=True)
    for row, start, end in zip(probabilities, logits.start_time, logits.end_time, strict=True):
        print(f"{path}: {start:7.2f} to {end:7.2f} s  {_best(row, names, top)}")
    print(f"{path}: whole video         {_best(probabilities.mean(axis=0), names, top)}", flush=True)


def _best(probabilities: NDArray[np.float32], names: list[str], top: int) -> str:
    order = np.argsort(-probabilities, kind="stable")[:top]
    return ", ".join(f"{names[i]} {100 * probabilities[i]:.1f} %" for i in order)
