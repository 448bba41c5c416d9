"""``res3d extract``: features of the clips of videos, one ``.npz`` a video."""

import threading
import time
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Literal

import torch
from tqdm import tqdm

from res3d.backbone import ResNet3d, count_parameters
from res3d.cli.command import UsageError
from res3d.cli.inputs import FAILED, complain, expand_videos, process_videos
from res3d.cli.sample import make_sample
from res3d.cli.settings import check_range, choose_clip, find_device
from res3d.features import ExtractionRun, FeatureExtractor, NetworkOptions, PipelineTimes
from res3d.structures import ClipFeatures
from res3d.version import __version__
from res3d.video import VideoReader
from res3d.weights import WeightsError, WeightsSource, create_backbone, open_weights

NOT_SETTINGS = ("version", "video", "weights")  # what may differ between a finished file and one to be made again


def extract(
    videos: list[str],
    *,
    model: str | None = None,
    weights: str | None = None,
    seed: int = 0,
    out: str = "features",
    length: int | None = None,
    stride: int | None = None,
    step: int | None = None,
    tail: Literal["pad", "drop", "shift"] = "pad",
    align: Literal["start", "center"] = "start",
    start: float = 0.0,
    end: float | None = None,
    fps: float | None = None,
    layer: str | None = None,
    pool: Literal["avg", "max", "none"] = "avg",
    resize: str | None = None,
    crop: str | None = None,
    mean: tuple[float, float, float] | None = None,
    std: tuple[float, float, float] | None = None,
    batch_size: int = 4,
    device: str = "auto",
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto",
    context: Literal["clip", "video"] = "clip",
    at_once: int = 1,
    decoders: int = 1,
    overwrite: bool = False,
    allow_truncated: bool = False,
) -> int:
    """Write the features of each video to OUT/NAME.npz: a row for every clip, with the frames and seconds it covers.

    Without a video, a sample is generated (OUT/res3d_sample.mp4) and used. Finished files made with the same settings
    are skipped. Exit code 0 if all went well, 1 if a video could not be processed, 2 for wrong settings, 130 after
    Ctrl-C.

    Args:
        videos: files, folders (searched for videos) or globs
        model: backbone, a name from res3d.list_backbones() or a YAML spec file; by default the weights' own, or r3d_18
        weights: a name from res3d.list_weights() or a file of any origin; without, they are random and mean little
        seed: of the random weights, where none are given
        out: folder for the results, made if absent
        length: frames per clip; by default as the weights were trained, or 16
        stride: frames from the start of one clip to the start of the next; by default 16, or with weights that bring
            their clips the length times the step
        step: frames from one frame of a clip to the next; by default as the weights were trained, or 1
        tail: at the end, pad repeats the last frame, drop leaves out partial clips, shift moves the last clip back
        align: clip k starts at frame k x stride, or is centered on it (with --tail pad)
        start: seconds to begin at
        end: seconds to end before
        fps: resample videos to this frame rate; by default as the weights were trained, or the video's own
        layer: stage to take features from (stem, conv2, ...); by default the last
        pool: avg and max over time and space give one vector a clip, none the whole map
        resize: shorter side, or HEIGHTxWIDTH, in pixels, or none; by default as the weights were trained, or 128x171
        crop: center crop, HEIGHTxWIDTH in pixels, or none; by default as the weights were trained, or 112x112
        mean: subtracted from each RGB channel, of values in 0..1; by default as the weights were trained, or Kinetics's
        std: each RGB channel is divided by it; likewise
        batch_size: clips that run through the network together
        device: auto, cpu, cuda, cuda:1, ...
        dtype: computing type; auto is bfloat16 on cuda, float32 elsewhere
        context: with clip, features depend on a clip's frames alone; with video, the network runs once over the whole
            video and clips are windows of its map, at a cost that does not depend on how much they overlap
        at_once: videos that are decoded at the same time
        decoders: segments of each video that are decoded at the same time
        overwrite: make finished files again
        allow_truncated: keep the frames of videos that end or break early, and say so in meta
    """
    try:
        check_range(start, end, fps)
        source = None if weights is None else open_weights(weights)
        trained_on = None if source is None else source.clip
        clip = choose_clip(trained_on, length=length, step=step, fps=fps, resize=resize, crop=crop, mean=mean, std=std)
        if stride is None and trained_on is None:
            stride = 16
        extractor = _make_extractor(
            model=model,
            source=source,
            seed=seed,
            clip=clip,
            sampler=clip.sampler(stride=stride, tail=tail, align=align),
            layer=layer,
            pool=pool,
            context=context,
            options=NetworkOptions(batch_size=batch_size, device=find_device(device), dtype=dtype),
        )
        # The files come before anything is written, so that a wrong range or folder leaves no trace.
        paths = expand_videos(videos) if videos else None
    except (WeightsError, FileNotFoundError) as error:
        return complain("extract", str(error))
    except ValueError as error:
        raise UsageError(str(error)) from None
    for flag, count in (("at-once", at_once), ("decoders", decoders)):
        if count < 1:
            raise UsageError(f"--{flag} must be ≥ 1, not {count}")
    if not out:
        raise UsageError("--out must name a folder")
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=folder):
            pass  # better to know now that nothing can be written here
        paths = paths or [make_sample(folder)]
    except OSError as error:
        raise UsageError(f"--out {out}: {error.strerror or error}") from None
    _print_settings(extractor, weights, seed, clip.fps)

    stopping = threading.Event()

    def extract_one(path: Path) -> None:
        reader = VideoReader(
            path, start=start, end=end, fps=clip.fps, allow_truncated=allow_truncated, decoders=decoders
        )
        _extract_one(extractor, reader, folder / f"{path.stem}.npz", stopping, overwrite=overwrite)

    failures = process_videos(paths, extract_one, command="extract", at_once=at_once, stopping=stopping)
    if len(paths) > 1:
        print(f"{len(paths) - failures} of {len(paths)} videos done")
    return FAILED if failures else 0


def _make_extractor(*, model: str | None, source: WeightsSource | None, seed: int, **settings: Any) -> FeatureExtractor:
    chosen = model or (None if source is None else source.spec) or "r3d_18"
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        backbone: ResNet3d = create_backbone(chosen, weights=source)
    name = f"random, seed {seed}" if source is None else source.name
    return FeatureExtractor(backbone, weights=name, **settings)


def _extract_one(
    extractor: FeatureExtractor, reader: VideoReader, path: Path, stopping: threading.Event, *, overwrite: bool
) -> None:
    if not overwrite and _is_finished(path, extractor.meta(reader)):
        print(f"{reader.path}: {path} is finished already (--overwrite makes it again)")
        return
    began, times = time.perf_counter(), PipelineTimes()
    bar = tqdm(total=reader.num_frames, desc=reader.path.name, unit=" frames", leave=False, disable=None)
    with bar:
        frames = 0

        def progress(count: int) -> None:
            nonlocal frames
            frames += count
            bar.update(count)

        clips = ExtractionRun(extractor, reader, times, progress, stop=stopping).extract_to(path)
    seconds = time.perf_counter() - began
    print(f"{reader.path}: {frames} frames, {clips} clips -> {path} ({seconds:.1f} s, {frames / seconds:.0f} frames/s)")
    print(f"{reader.path}: busy: {times}")
    if clips == 0:
        span = extractor.sampler.span
        print(f"{reader.path}: no clip: {frames} frames are fewer than a clip's span of {span} (--tail pad keeps them)")
    if reader.damage:
        print(f"{reader.path}: truncated or damaged: {reader.damage}; the frames that decode were kept")


def _is_finished(path: Path, meta: dict[str, Any]) -> bool:
    """Whether ``path`` holds features made from this very file with these settings."""
    try:
        done = ClipFeatures.load_meta(path)
    except (OSError, ValueError):
        return False
    settings = {key for key in meta if key not in NOT_SETTINGS}
    video = ("file", "bytes", "modified")
    return all(done.get(key) == meta[key] for key in settings) and all(
        done.get("video", {}).get(key) == meta["video"][key] for key in video
    )


def _print_settings(extractor: FeatureExtractor, weights: str | None, seed: int, fps: float | None) -> None:
    backbone, sampler, preprocess = extractor.backbone, extractor.sampler, extractor.preprocess
    device = str(extractor.device)
    if extractor.device.type == "cuda":
        device += f" ({torch.cuda.get_device_name(extractor.device)})"
    else:
        device += f" ({torch.get_num_threads()} threads)"
    print(f"res3d {__version__}, torch {torch.__version__}, {device}, {extractor.dtype}")
    print(f"model: {backbone.spec.name}, {count_parameters(backbone):,} parameters; features of {extractor.layer}")
    if weights is None:
        print(f"weights: none given, so they are RANDOM (seed {seed}): good for trying things out, not as features")
    else:
        print(f"weights: {weights}")
    print(
        f"clips: {sampler.length} frames, step {sampler.step}, stride {sampler.stride}, tail {sampler.tail}, "
        f"align {sampler.align}" + ("" if fps is None else f", of videos at {fps:g} frames/s")
    )
    print(f"frames: resize {_size_text(preprocess.resize)}, crop {_size_text(preprocess.crop)}", flush=True)


def _size_text(size: int | tuple[int, int] | None) -> str:
    if size is None:
        return "none"
    return f"shorter side {size}" if isinstance(size, int) else f"{size[0]}x{size[1]}"
