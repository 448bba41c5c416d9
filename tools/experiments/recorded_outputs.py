#!/usr/bin/env python
"""Record the outputs of res3d for saved weights and fixed inputs, and compare those of another version with them.

    python tools/experiments/recorded_outputs.py write FILE.npz [--only features tracks ...]
    python tools/experiments/recorded_outputs.py compare FILE.npz [--only ...] [--tolerance 1e-6]

``compare`` prints one line per entry with the largest difference, absolute and relative to the largest value of the
entry, and exits with 1 if an entry differs. Floating-point numbers may differ by ``--tolerance``, relative; the default
is 0. Integers and texts must be equal. Compare on the machine that wrote the file, because others round differently.
The weights are those in tests/fixtures/written_by_0_1_0 and the demonstration detector of the package.

The script uses public names and the commands in tools/ only. The few names that may be renamed are in functions under
"Names that may be renamed". It runs on one thread and takes about a minute.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported; the order of summation is then fixed

import argparse
import contextlib
import csv
import hashlib
import io
import json
import runpy
import shutil
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import av
import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

import res3d

TOOLS = Path(__file__).resolve().parent.parent
WEIGHTS = TOOLS.parent / "tests" / "fixtures" / "written_by_0_1_0"
BACKBONES = ("resnet18_3d", "slow_r50", "resnet18v2_3d")
CLOCKS = ("step_seconds", "data_wait")  # times in the curves of a run, which differ in every run

Array = NDArray[Any]
Entry = Array | str
Entries = dict[str, Entry]


# Names that may be renamed, one function each.


def preprocessing(resize: tuple[int, int], crop: tuple[int, int]) -> Any:
    """Return the preprocessing for ``extract_features(preprocess=...)``."""
    from res3d.video import Preprocessing

    return Preprocessing(resize=resize, crop=crop, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3))


def demo_detector() -> Any:
    """Return the demonstration detector of the package."""
    from res3d.detection import DEMO_WEIGHTS

    return res3d.load_model(DEMO_WEIGHTS).eval()


def cost_terms(*terms: tuple[str, float, float]) -> Any:
    """Return cost terms for ``link_detections(costs=...)`` from (name, weight, gate)."""
    from res3d.tracking import CostTerm

    return tuple(CostTerm(*term) for term in terms)


def link_clips(clips: list[tuple[list[int], dict[str, Any]]], **changes: Any) -> Any:
    """Return the tracks of overlapping clips, each (frame numbers, result of a detector)."""
    from res3d.structures import ClipDetections
    from res3d.tracking import link_tubes

    return link_tubes([ClipDetections.from_mapping(result, frames) for frames, result in clips], **changes)


def tube_scores(results: list[dict[str, Tensor]], targets: list[dict[str, Tensor]]) -> Mapping[str, Any]:
    from dataclasses import asdict

    from res3d.evaluation import score_tubes

    return asdict(score_tubes(results, targets))


def plain_tracks(path: Path) -> Any:
    return res3d.structures.VideoTracks.from_cocovid(path)


# Inputs: integers of seeded generators, which are the same on every machine.


def clip_of(seed: int, *, size: int = 48, length: int = 4) -> Tensor:
    """Return a clip of coarse noise: [3, T, H, W] in 0..1."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (3, length, size // 8, size // 8))
    return torch.from_numpy(coarse.repeat(8, axis=2).repeat(8, axis=3)).float() / 255


def write_video(path: Path, *, frames: int = 30, height: int = 64, width: int = 80) -> None:
    """Write a video of moving coarse noise at 25 frames per second."""
    rng = np.random.default_rng(3)
    wide = rng.integers(0, 256, (height // 8, (width + 2 * frames) // 8 + 1, 3)).astype(np.uint8)
    wide = wide.repeat(8, axis=0).repeat(8, axis=1)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for n in range(frames):
            image = np.ascontiguousarray(wide[:, 2 * n : 2 * n + width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())


def targets_of(seed: int, *, size: int = 48, length: int = 4, count: int = 2) -> dict[str, Tensor]:
    """Return the target of ``count`` drifting objects, invisible in one frame, with masks and five keypoints."""
    rng = np.random.default_rng(seed)
    corner = rng.integers(0, size // 2, (count, 1, 2)) + np.arange(length)[None, :, None]
    boxes = np.concatenate([corner, corner + rng.integers(12, 20, (count, 1, 2))], axis=2)
    visible = np.ones((count, length), bool)
    visible[:, 1] = False
    y, x = np.arange(size)[:, None], np.arange(size)
    x1, y1, x2, y2 = (boxes[..., n, None, None] for n in range(4))
    points = np.stack([boxes[..., 0, None] + [1, 3, 5, 7, 9], boxes[..., 1, None] + [2, 4, 2, 4, 2]], axis=-1)
    visibility = np.full((*points.shape[:3], 1), 2)
    return {
        "boxes": torch.from_numpy(boxes).float(),
        "visible": torch.from_numpy(visible),
        "labels": torch.from_numpy(np.arange(count) % 3 + 1),
        "track_ids": torch.from_numpy(np.arange(count) + 1),
        "masks": torch.from_numpy((x >= x1) & (x < x2) & (y >= y1) & (y < y2)),
        "keypoints": torch.from_numpy(np.concatenate([points, visibility], axis=3)).float(),
    }


def wandering(seed: int, *, frames: int = 60, objects: int = 5) -> list[dict[str, Array]]:
    """Return the detections of wandering objects of three classes, with misses, false positives and all fields."""
    rng = np.random.default_rng(seed)
    position, speed = rng.uniform(50, 250, (objects, 2)), rng.normal(0, 2, (objects, 2))
    appearance = rng.normal(0, 1, (objects, 8))
    detections = []
    for _ in range(frames):
        speed = speed + rng.normal(0, 0.3, speed.shape)
        position = position + speed
        detected = np.flatnonzero(rng.random(objects) > 0.12)
        alarms = rng.uniform(0, 300, (rng.poisson(0.5), 2))
        center = np.concatenate([position[detected], alarms])
        scores = np.concatenate([rng.uniform(0.3, 1, len(detected)), rng.uniform(0.05, 0.7, len(alarms))])
        embeddings = np.concatenate([appearance[detected], rng.normal(0, 1, (len(alarms), 8))])
        embeddings = embeddings + rng.normal(0, 0.2, (len(center), 8))
        offsets = np.array([[0, 0], [6, 0], [-6, 0], [0, 8]])
        points = center[:, None] + offsets + rng.normal(0, 1, (len(center), 4, 2))
        detections.append(
            {
                "boxes": np.concatenate([center - 15, center + 15], axis=1).astype(np.float32),
                "scores": scores.astype(np.float32),
                "labels": np.concatenate([detected % 3, rng.integers(0, 3, len(alarms))]) + 1,
                "embeddings": (embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)).astype(np.float32),
                "keypoints": np.concatenate([points, np.ones((len(center), 4, 1))], axis=2).astype(np.float32),
                "keypoints_scores": rng.normal(0, 3, (len(center), 4)).astype(np.float32),
            }
        )
    return detections


def write_pictures(folder: Path) -> None:
    """Write videos of two classes as FOLDER/CLASS/VIDEO/FRAME.png, and the tracks of a square in FOLDER.json."""
    rng = np.random.default_rng(5)
    data: dict[str, Any] = {"categories": [], "videos": [], "images": [], "annotations": []}
    data["categories"] = [{"id": n, "name": name} for n, name in enumerate(("first", "second", "third"), start=1)]
    for number in range(8):
        name = ("bright", "dark")[number % 2]
        video = folder / name / f"video{number}"
        video.mkdir(parents=True)
        data["videos"].append({"id": number, "name": f"video{number}", "width": 48, "height": 48})
        for frame in range(8):
            image = rng.integers(90, 150, (48, 48, 3)).astype(np.uint8)
            x, y, side = 2 + 2 * frame + number, 4 + frame + number, 14
            image[y : y + side, x : x + side] = 230 if name == "bright" else 20
            Image.fromarray(image).save(video / f"{frame:03d}.png")
            key = {"id": 100 * number + frame, "video_id": number}
            data["images"].append(
                {**key, "frame_id": frame, "file_name": f"{frame:03d}.png", "width": 48, "height": 48}
            )
            box = {
                "bbox": [x, y, side, side],
                "area": side * side,
                "iscrowd": 0,
                "category_id": number % 3 + 1,
                "instance_id": 1,
            }
            data["annotations"].append({**key, "image_id": key["id"], **box})
    folder.with_suffix(".json").write_text(json.dumps(data))
    for video in folder.glob("*/*"):  # a dataset of tracks has all videos in one folder
        shutil.copytree(video, folder.with_name(f"{folder.name}_flat") / video.name)


# Helpers


def run_tool(name: str, *arguments: object) -> str:
    """Run a script in tools/ and return its output.

    Raises:
        RuntimeError: its exit code is not 0.
    """
    argv, sys.argv = sys.argv, [name, *map(str, arguments)]
    output, errors = io.StringIO(), io.StringIO()
    code: object = 0
    try:
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
            runpy.run_path(str(TOOLS / name), run_name="__main__")
    except SystemExit as stop:
        code = stop.code
    finally:
        sys.argv = argv
    if code:
        raise RuntimeError(f"{name} {' '.join(map(str, arguments))}: exit code {code}\n{errors.getvalue()}")
    return output.getvalue()


def digest(path: Path) -> str:
    data = path.read_bytes()
    return f"{len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()}"


def weights_flag(name: str) -> str:
    return f"--weights={WEIGHTS / name}.safetensors"


def load(name: str) -> Any:
    return res3d.load_model(WEIGHTS / f"{name}.safetensors").eval()


def arrays_of(name: str, tensors: Mapping[str, Any]) -> Entries:
    return {f"{name} {field}": tensor.detach().numpy() for field, tensor in tensors.items()}


def feature_arrays(name: str, features: Any) -> Entries:
    fields = ("features", "frame_indices", "frame_times", "start_time", "end_time")
    return {f"{name} {field}": getattr(features, field) for field in fields}


def track_arrays(name: str, tracks: Any) -> Entries:
    """Return all tracks in one array per field, with one row per object and frame, and the masks as text."""
    entries: Entries = {}
    items = tracks.tracks
    entries[f"{name} ids"] = np.concatenate([[t.id] * len(t.frames) for t in items] or [[]]).astype(np.int64)
    entries[f"{name} labels"] = np.array([t.label for t in items], np.int64)
    for field in ("frames", "boxes", "scores", "keypoints", "keypoints_scores"):
        arrays = [array for t in items if (array := getattr(t, field)) is not None]
        if arrays:
            entries[f"{name} {field}"] = np.concatenate(arrays)
    masks = [None if m is None else [*m.size, m.counts] for t in items if t.masks is not None for m in t.masks]
    metadata = [tracks.num_frames, tracks.name, tracks.fps, tracks.size]
    entries[f"{name} masks and facts"] = json.dumps([masks, metadata])
    return entries


def curve_arrays(name: str, path: Path) -> Entries:
    """Return the columns of the losses or scores of a run, without times."""
    with path.open() as file:
        rows = list(csv.DictReader(file))
    columns = [column for column in rows[0] if column not in CLOCKS]
    values = {column: np.array([float(row[column] or "nan") for row in rows]) for column in columns}
    return {f"{name} {column}": column_values for column, column_values in values.items()}


def sums_of(model: nn.Module) -> Array:
    """Return the sum and the sum of squares of each tensor, in the order of names: [tensors, 2]."""
    state = sorted(model.state_dict().items())
    return np.array([[float(t.double().sum()), float(t.double().square().sum())] for _, t in state])


# Recorded parts: one function each, which gets an empty folder.


def record_features(folder: Path) -> Iterator[Entries]:
    video = folder / "noise.mp4"
    write_video(video)
    frames = [(frame, seconds) for frame, seconds in res3d.video.VideoReader(video)]
    yield {"video frames": np.stack([f for f, _ in frames]), "video seconds": np.array([s for _, s in frames])}
    sampler = res3d.video.ClipSampler
    ways: dict[str, dict[str, Any]] = {
        "overlapping": {"sampler": sampler(8, 4)},
        "overlapping, video": {"sampler": sampler(8, 4), "context": "video"},
        "stepped, max of conv3": {"sampler": sampler(4, 5, step=3, tail="shift"), "layer": "conv3", "pool": "max"},
        "maps of conv4": {"sampler": sampler(8, 6, tail="drop"), "layer": "conv4", "pool": "none"},
        "maps of conv4, video": {
            "sampler": sampler(8, 4, tail="drop"),
            "layer": "conv4",
            "pool": "none",
            "context": "video",
        },
        "every frame": {"sampler": sampler(5, 1, align="center"), "layer": "conv4"},
        "every frame, video": {"sampler": sampler(5, 1, align="center"), "layer": "conv4", "context": "video"},
        "resampled": {"sampler": sampler(6, 3), "reader": {"fps": 10.0, "start": 0.2, "end": 1.1}},
    }
    for name in BACKBONES:
        for way, keywords in ways.items():
            reader = res3d.video.VideoReader(video, **keywords.get("reader", {}))
            features = res3d.extract_features(
                reader,
                load(name),
                preprocess=preprocessing((36, 48), (32, 32)),
                dtype="float32",
                batch_size=3,
                **{key: value for key, value in keywords.items() if key != "reader"},
            )
            yield feature_arrays(f"{name} {way}", features)
    clips = {"length": 8, "stride": 4, "pool": "none", "resize": 48, "crop": "40x40", "dtype": "float32"}
    numbers = {"mean": "[0.4,0.5,0.6]", "std": "[0.2,0.25,0.3]"}
    flags = [f"--{key}={value}" for key, value in {**clips, **numbers}.items()]
    for name in ("resnet18_3d", "classifier"):
        for context in ("clip", "video"):
            out = folder / f"{name}_{context}"
            run_tool(
                "extract_features.py",
                video,
                weights_flag(name),
                f"--context={context}",
                "--step=1",
                *flags,
                f"--out={out}",
            )
            features = res3d.ClipFeatures.load(out / "noise.npz")
            yield feature_arrays(f"command {name}, {context}", features)
            yield {f"command {name}, {context} meta": stable_meta(features.meta)}
    heads: dict[str, dict[str, Any]] = {
        "overlapping": {"layer": "logits"},
        "maps of conv4": {"layer": "conv4", "pool": "none"},
    }
    output = run_tool("classify.py", video, weights_flag("classifier"), "--resize=36x48", "--dtype=float32")
    yield {"command classify": output.replace(str(folder), "FOLDER").replace(str(WEIGHTS), "WEIGHTS")}
    for way, keywords in heads.items():
        features = res3d.extract_features(
            video,
            load("classifier"),
            sampler=sampler(6, 3),
            preprocess=preprocessing((36, 48), (32, 32)),
            dtype="float32",
            **keywords,
        )
        yield feature_arrays(f"classifier {way}", features)


def stable_meta(meta: Mapping[str, Any]) -> str:
    """Return the metadata as text, without times, versions and paths of this machine."""
    video = {key: value for key, value in meta["video"].items() if key != "modified"}
    rest = {key: value for key, value in meta.items() if key != "version"}
    return json.dumps({**rest, "video": video, "weights": Path(meta["weights"]).name}, sort_keys=True, indent=1)


@torch.no_grad()
def record_logits(folder: Path) -> Iterator[Entries]:
    for name in ("classifier", "classifier_thin"):
        model = load(name)
        for size, length in ((48, 4), (40, 5)):
            logits = model(torch.stack([clip_of(1, size=size, length=length), clip_of(2, size=size, length=length)]))
            yield {f"{name} {length} frames of {size}": logits.numpy()}
    for name in BACKBONES:
        model = load(name)
        model = res3d.create_backbone(model.spec, weights=model.state_dict(), out_features=["stem", "conv2", "conv4"])
        yield arrays_of(f"{name} maps", model.eval()(clip_of(3)[None]))


def record_detections(folder: Path) -> Iterator[Entries]:
    clips = [clip_of(1), clip_of(2, size=56, length=4)]
    for name in ("detector", "detector_c4"):
        with torch.no_grad():
            for number, result in enumerate(load(name)(clips)):
                yield arrays_of(f"{name} clip {number}", result)
        model = load(name).train()
        torch.manual_seed(0)
        targets = [targets_of(1), targets_of(2, size=56)]
        if name == "detector_c4":  # it has no mask head
            targets = [{field: value for field, value in target.items() if field != "masks"} for target in targets]
        losses = model(clips, targets)
        yield arrays_of(f"{name} loss", losses)
        sum(losses.values()).backward()
        grads = {n: p.grad for n, p in model.named_parameters() if p.grad is not None}
        yield {f"{name} gradients": np.array([float(grads[n].double().square().sum()) for n in sorted(grads)])}
    model, frames = demo_detector(), sample_frames(folder)
    for start, length in ((0, 8), (48, 8), (70, 1)):
        clip = torch.from_numpy(np.stack(frames[start : start + length])).permute(3, 0, 1, 2).float() / 255
        with torch.no_grad():
            result = dict(model([clip])[0])
        result["masks"] = result["masks"][..., ::6, ::6].contiguous()  # to keep the file small
        yield arrays_of(f"demo frames {start} to {start + length}", result)


def sample_frames(folder: Path) -> list[NDArray[np.uint8]]:
    return [image for image, _ in res3d.video.VideoReader(sample(folder))]


def sample(folder: Path) -> Path:
    """Return the sample video, with its tracks and ground truth beside it. All parts share it."""
    out = folder.parent / "sample"
    if not out.exists():
        run_tool(
            "detect_and_track.py", f"--out={out}", "--no-draw", "--formats=[mot,posetrack,table]", "--dtype=float32"
        )
    return out / "res3d_sample.mp4"


def record_tracks(folder: Path) -> Iterator[Entries]:
    video = sample(folder)
    result = video.with_suffix(".json")
    yield {f"sample {path.name}": digest(path) for path in sorted(video.parent.iterdir()) if path != result}
    data = json.loads(result.read_text())
    info = data.pop("info")
    del info["path"], info["video"]["modified"]  # they differ in every run
    yield {"sample res3d_sample.json": json.dumps(data), "sample info": json.dumps(info, indent=1)}
    yield track_arrays("sample", plain_tracks(result))
    model = demo_detector()
    ways: dict[str, dict[str, Any]] = {
        "short clips": {"clip_length": 4, "clip_stride": 2},
        "frames": {"clip_length": 1, "clip_stride": 1, "fill_gaps": 3},
        "few": {"max_tracks": 4, "min_length": 1, "batch_size": 2},
        "preset": {"settings": "detect_and_track"},
    }
    for way, keywords in ways.items():
        tracks = res3d.tracking.track_video(res3d.video.VideoReader(video, end=1.16), model, **keywords)
        yield track_arrays(f"track_video {way}", tracks)
    out = folder / "resampled"
    flags = [
        "--no-draw",
        "--fps=10",
        "--end=2.0",
        "--new-score=0.8",
        "--max-lost=5",
        "--min-size=96",
        "--dtype=float32",
    ]
    run_tool("detect_and_track.py", video, f"--out={out}", *flags)
    yield track_arrays("resampled", plain_tracks(out / "res3d_sample.json"))
    tracks = plain_tracks(WEIGHTS / "tracks" / "flies.json")
    for name in ("mot", "cocovid", "posetrack"):
        getattr(tracks, f"to_{name}")(folder / name)
        yield {f"flies as {name}": digest(folder / name)}
    tracks.to_table().to_csv(folder / "table", index=False)
    yield {"flies as table": digest(folder / "table")}


def record_links(folder: Path) -> Iterator[Entries]:
    ways: dict[str, dict[str, Any]] = {
        "default": {},
        "detect_and_track": {"settings": "detect_and_track", "min_score": 0.5, "high_score": 0.5, "new_score": 0.5},
        "max_tracks": {"max_tracks": 4, "class_overlap": None},
        "no gaps filled": {"fill_gaps": 0, "min_length": 1, "max_lost": 2},
        "greedy, no motion": {"assignment": "greedy", "motion": "none", "lost_reach": 0.5, "low_overlap": 0.3},
        "oks": {"costs": cost_terms(("overlap", 1.0, 0.9), ("oks", 1.0, 0.9))},
        "pck": {"costs": cost_terms(("overlap", 1.0, 1.0), ("pck", 2.0, 0.8)), "new_score": 0.5},
        "appearance": {"costs": cost_terms(("overlap", 0.5, 0.9), ("appearance", 1.0, 0.5)), "min_area": 10.0},
    }
    for seed in (1, 2):
        detections = wandering(seed)
        for way, keywords in ways.items():
            yield track_arrays(f"{seed} {way}", res3d.tracking.link_detections(detections, **keywords))
    clips = wandering_clips(4)
    for way in ("default", "max_tracks", "no gaps filled", "greedy, no motion", "oks", "appearance"):
        yield track_arrays(f"clips {way}", link_clips(clips, **ways[way]))


def wandering_clips(seed: int, *, length: int = 6, stride: int = 3) -> list[tuple[list[int], dict[str, Any]]]:
    """Return tubes of objects on straight paths, with misses and frames in which an object is not visible."""
    rng = np.random.default_rng(seed)
    start, speed, appearance = rng.uniform(40, 260, (5, 2)), rng.normal(0, 3, (5, 2)), rng.normal(0, 1, (5, 8))
    clips = []
    for first in range(0, 49, stride):
        frames = np.arange(first, first + length)
        objects = np.flatnonzero(rng.random(5) > 0.15)
        count = len(objects)
        center = (
            start[objects, None] + speed[objects, None] * frames[None, :, None] + rng.normal(0, 1, (count, length, 2))
        )
        points = center[:, :, None] + np.array([[0, 0], [6, 0], [0, 8]]) + rng.normal(0, 1, (count, length, 3, 2))
        result = {
            "boxes": np.concatenate([center - 12, center + 12], axis=2).astype(np.float32),
            "visible": rng.uniform(0.3, 1, (count, length)).astype(np.float32),
            "scores": rng.uniform(0.3, 1, count).astype(np.float32),
            "labels": objects % 2 + 1,
            "embeddings": appearance[objects].astype(np.float32),
            "keypoints": np.concatenate([points, np.ones((*points.shape[:3], 1))], axis=3).astype(np.float32),
            "keypoints_scores": rng.normal(0, 3, points.shape[:3]).astype(np.float32),
        }
        clips.append((frames.tolist(), result))
    return clips


def record_training(folder: Path) -> Iterator[Entries]:
    write_pictures(folder / "pictures")
    write_sensor(folder)
    with _chdir(folder):
        for name, settings in training_runs().items():
            out = name.replace(" ", "_").replace(",", "")
            config = Path(f"{out}_config.yaml")
            config.write_text(yaml.safe_dump({**COMMON, **settings, "out": out}))
            run_tool("train.py", "--config", config)
            yield curve_arrays(f"{name}: train", Path(out, "train.csv"))
            if "validate" in settings:
                yield curve_arrays(f"{name}: validate", Path(out, "validate.csv"))
            yield {f"{name}: weights": sums_of(res3d.load_model(Path(out, "last.safetensors")))}


@contextlib.contextmanager
def _chdir(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


COMMON: Mapping[str, Any] = {
    "epochs": 5,
    "batch_size": 2,
    "log_every": 1,
    "learning_rate": 0.003,
    "accelerator": "cpu",
    "seed": 3,
}


def training_runs() -> dict[str, dict[str, Any]]:
    """Return the settings of all training runs. Each has 20 steps: 5 epochs of 4 steps with 2 clips."""
    spec = str(WEIGHTS / "backbone.yaml")
    classifier = {"kind": "classifier", "backbone": spec, "weights": str(WEIGHTS / "classifier_thin.safetensors")}
    small = yaml.safe_load((WEIGHTS / "detector_run" / "config.yaml").read_text())["model"]
    detector = {key: value for key, value in small.items() if key != "spec"}
    detector |= {"backbone": spec, "weights": str(WEIGHTS / "detector.safetensors")}
    labelled = {"kind": "labelled", "source": "pictures", "length": 4}
    scored = {**labelled, "place": "middle", "crop": [40, 40]}
    synthetic = {"kind": "synthetic", "num_clips": 8, "length": 3, "side": 48}
    tracked = {"kind": "tracked", "annotations": "pictures.json", "videos": "pictures_flat", "length": 4, "stride": 8}
    boxes = {key: value for key, value in detector.items() if key != "keypoints"} | {"mask": False}
    frozen = {"freeze_at": 2, "views": 2, "cache": "cache"}
    sensor = {"kind": "sensor", "windows": "windows.npy", "labels": "labels.npy"}
    return {
        "classifier": {
            "model": classifier,
            "train": labelled,
            "validate": scored,
            "augment": {"flip": 0.5, "crop": [40, 40], "scale": [1.0, 1.3], "color": [0.2, 0.2, 0.1, 0.05]},
            "mean": [0.5, 0.5, 0.5],
            "std": [0.25, 0.25, 0.25],
            "averaging": 0.5,
        },
        "classifier, random head, frozen and cached": {
            "model": {**classifier, "head": "new", "dropout": 0.2},
            "train": labelled,
            "validate": scored,
            "augment": {"crop": [40, 40], "flip": 0.5},
            "optimizer": "sgd",
            "rates": {"backbone": 0.1},
            "schedule": "cosine",
            "warm_up": 3,
            **frozen,
        },
        "classifier, frozen": {"model": classifier, "train": labelled, "freeze_at": 3, "unfreeze": {2: 1}},
        "sensor, random start": {
            "model": {"kind": "classifier", "backbone": "sensor.yaml"},
            "train": {**sensor, "rows": [0, 8]},
            "validate": {**sensor, "rows": [8, 16]},
            "optimizer": "adam",
            "weight_decay": 0.01,
        },
        "detector": {
            "model": detector,
            "train": synthetic,
            "validate": {**synthetic, "num_clips": 2, "seed": 9},
            "augment": {"flip": 0.5, "color": [0.1, 0.1, 0.1, 0.0]},
            "clip_gradient": 5.0,
            "schedule": "step",
            "milestones": [3],
            "accumulate": 2,
        },
        "detector, frozen and cached": {"model": detector, "train": synthetic, **frozen},
        "detector of tracked clips": {
            "model": boxes,
            "train": {**tracked, "jitter": 2},
            "validate": tracked,
            "augment": {"flip": 0.5, "crop": [40, 40], "scale": [1.0, 1.2]},
            "averaging": 0.9,
            "freeze_at": 1,
        },
        "detector of tracked clips, frozen and cached": {"model": boxes, "train": tracked, **frozen},
    }


SENSOR = """
name: tiny_sensor
in_channels: 2
stem: {conv: {kernel: [1, 1, 3]}, width: 4, stride: [1, 1, 1]}
stages:
- {width: 4, blocks: [{convs: [{kernel: [1, 1, 3]}, {kernel: [1, 1, 3]}]}]}
- {width: 8, stride: [1, 1, 2], blocks: [{convs: [{kernel: [1, 1, 3]}, {kernel: [1, 1, 3]}]}]}
"""


def write_sensor(folder: Path) -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(16) % 3
    windows = rng.integers(-20, 20, (16, 2, 16)) + 15 * labels[:, None, None] * np.arange(16)
    np.save(folder / "windows.npy", (windows / 100).astype(np.float32))
    np.save(folder / "labels.npy", labels)
    (folder / "sensor.yaml").write_text(SENSOR)


def record_scores(folder: Path) -> Iterator[Entries]:
    video = sample(folder)
    predictions, truth = video.with_suffix(".json"), video.with_name("res3d_sample_truth.json")
    pairs = {
        "sample": (predictions, truth),
        "sample, boxes": (video.with_suffix(".txt"), truth),
        "sample, poses": (video.with_name("res3d_sample.posetrack.json"), truth),
        "flies, boxes": (WEIGHTS / "tracks" / "flies.txt", WEIGHTS / "tracks" / "flies.json"),
    }
    for name, (predicted, true) in pairs.items():
        run_tool("evaluate.py", predicted, true, f"--json={folder / 'scores.json'}")
        yield {name: json.dumps(json.loads((folder / "scores.json").read_text()), indent=1)}
    targets = [targets_of(seed, count=4) for seed in range(6)]
    rng = np.random.default_rng(7)
    results: list[dict[str, Tensor]] = []
    for number, target in enumerate(targets):
        moved = torch.from_numpy(rng.normal(0, 1.0, (4, 1, 2)).repeat(2, axis=2) * [[[0]], [[1]], [[3]], [[9]]]).float()
        results.append(
            {
                "boxes": target["boxes"] + moved,
                "scores": torch.from_numpy(rng.permutation(4) / 4 + 0.1).float(),
                "labels": target["labels"].where(target["track_ids"] != number % 5, torch.tensor(3)),
                "visible": torch.from_numpy(rng.random((4, 4))).float(),
                "masks": target["masks"][:, :, None].float() * 0.9,
                "keypoints": target["keypoints"] + torch.from_numpy(rng.normal(0, 2.5, (4, 4, 5, 3))).float(),
            }
        )
    yield {"tubes": json.dumps({key: str(value) for key, value in tube_scores(results, targets).items()}, indent=1)}


def record_reports(folder: Path) -> Iterator[Entries]:
    import torchvision

    for name, backbone, make, keywords in (
        ("torchvision r3d_18", "r3d_18", torchvision.models.video.r3d_18, {}),
        ("torchvision r2plus1d_18", "r2plus1d_18", torchvision.models.video.r2plus1d_18, {}),
        ("torchvision resnet18", "resnet18_3d", torchvision.models.resnet18, {}),
        ("torchvision resnet18, mean", "resnet18_3d", torchvision.models.resnet18, {"inflate": "mean"}),
        ("torchvision resnet50", "resnet50_3d", torchvision.models.resnet50, {"norm_eps": 1e-3}),
    ):
        torch.manual_seed(0)
        state = make().state_dict()
        model = res3d.create_backbone(backbone)
        yield report_entries(name, model, state, **keywords)
        if name.endswith("resnet18"):
            yield {f"{name} map": model.eval()(clip_of(1)[None])["conv5"].detach().numpy()}
        if name.endswith("r3d_18"):
            yield report_entries(f"{name}, classifier", res3d.create_classifier(backbone, 400), state)
            yield report_entries(f"{name}, to conv3", res3d.create_backbone(backbone, body="conv3"), state)
            extended = {**state, "strange.weight": torch.zeros(2)}
            yield report_entries(f"{name}, strange", res3d.create_backbone(backbone), extended, strict=False)
            path = folder / "r3d_18.pth"
            torch.save({"state_dict": state}, path)
            yield report_entries(f"{name}, file", res3d.create_backbone(backbone), path)
            run_tool("convert_weights.py", path, folder / "r3d_18.safetensors", "--model=r3d_18")
            yield {f"{name}, converted: weights": sums_of(res3d.load_model(folder / "r3d_18.safetensors"))}
    yield report_entries("our backbone", load("resnet18_3d"), WEIGHTS / "resnet18_3d.safetensors")
    thin = res3d.create_backbone(WEIGHTS / "backbone.yaml")
    yield report_entries("our classifier to a backbone", thin, WEIGHTS / "classifier_thin.safetensors")
    detector = load("detector")
    yield report_entries("our detector", detector, WEIGHTS / "detector.safetensors")
    yield report_entries(
        "our classifier to a detector", detector, WEIGHTS / "classifier_thin.safetensors", strict=False
    )
    torch.manual_seed(0)
    peer = torchvision.models.detection.maskrcnn_resnet50_fpn(weights=None, weights_backbone=None, num_classes=5)
    detector_3d = res3d.detection.mask_rcnn_3d("resnet50_3d", 5)
    yield report_entries("torchvision maskrcnn_resnet50_fpn", detector_3d, peer.state_dict())
    yield report_entries(
        "torchvision resnet50 to a detector", detector_3d, torchvision.models.resnet50().state_dict(), strict=False
    )
    name = "torchvision/r3d_18.kinetics400"
    assert name in res3d.list_weights()
    yield {"list_weights": "\n".join(res3d.list_weights())}


def report_entries(name: str, model: nn.Module, source: Any, **keywords: Any) -> Entries:
    report = res3d.load_weights(model, source, **keywords)
    fields = (
        "layout",
        "channel_order",
        "norm_eps",
        "loaded",
        "inflated",
        "initialized",
        "missing",
        "unexpected",
        "ignored",
    )
    keys = json.dumps({field: getattr(report, field) for field in fields}, indent=1)
    text = str(report).replace(str(WEIGHTS), "WEIGHTS")
    if isinstance(source, Path):
        text = text.replace(str(source.parent), "FOLDER")
    entries: Entries = {f"{name}: report": text, f"{name}: keys": keys}
    # Missing weights are random, so their sums are not recorded.
    return entries if report.missing else {**entries, f"{name}: weights": sums_of(model)}


def record_tables(folder: Path) -> Iterator[Entries]:
    yield {"list_backbones": "\n".join(res3d.list_backbones())}
    for name in res3d.list_backbones():
        with torch.device("meta"):  # a table needs shapes only
            model = res3d.create_backbone(name)
        yield {f"{name} yaml": model.spec.to_yaml()}
        yield {f"{name} table": str(res3d.describe(model, (model.spec.in_channels, 8, 64, 64)))}
    yield {"classifier table": str(res3d.describe(load("classifier"), (3, 4, 48, 48)))}
    frozen = load("slow_r50")
    frozen.freeze(3)
    yield {"frozen table": str(res3d.describe(frozen, (3, 4, 48, 48)))}


PARTS: Mapping[str, Callable[[Path], Iterator[Entries]]] = {
    "features": record_features,
    "logits": record_logits,
    "detections": record_detections,
    "tracks": record_tracks,
    "links": record_links,
    "training": record_training,
    "scores": record_scores,
    "reports": record_reports,
    "tables": record_tables,
}


def record(only: list[str]) -> Entries:
    """Return the entries of the parts ``only``, by PART/NAME."""
    entries: Entries = {}
    with TemporaryDirectory() as temporary:
        for part in only:
            start = time.perf_counter()
            torch.set_num_threads(1)  # commands change it
            torch.use_deterministic_algorithms(True, warn_only=True)
            folder = Path(temporary) / part
            folder.mkdir()
            count = len(entries)
            for group in PARTS[part](folder):
                if duplicates := [name for name in group if f"{part}/{name}" in entries]:
                    raise RuntimeError(f"two entries have the name {part}/{duplicates[0]}")
                entries |= {f"{part}/{name}": value for name, value in group.items()}
            print(f"{part}: {len(entries) - count} entries in {time.perf_counter() - start:.1f} s", file=sys.stderr)
    return entries


def write(entries: Entries, path: Path) -> None:
    arrays: dict[str, Any] = {name: value for name, value in entries.items() if not isinstance(value, str)}
    texts = {name: value for name, value in entries.items() if isinstance(value, str)}
    with path.open("wb") as file:
        np.savez_compressed(file, texts=np.array(json.dumps(texts)), **arrays)


def read(path: Path) -> Entries:
    with np.load(path, allow_pickle=False) as file:
        entries: Entries = {name: file[name] for name in file if name != "texts"}
        texts: dict[str, str] = json.loads(str(file["texts"]))
    return {**entries, **texts}


def difference(before: Entry | None, now: Entry | None, tolerance: float) -> tuple[bool, str]:
    """Return whether two entries are equal within the tolerance, and a description of the difference."""
    if before is None or now is None:
        return False, "is new" if before is None else "is missing"
    if isinstance(before, str) or isinstance(now, str):
        if isinstance(before, str) and isinstance(now, str) and before != now:
            return False, first_difference(before, now)
        return (True, "equal text") if type(before) is type(now) else (False, "has another type")
    if before.shape != now.shape or before.dtype != now.dtype:
        return False, f"is {now.dtype} {list(now.shape)}, was {before.dtype} {list(before.shape)}"
    if np.array_equal(before, now, equal_nan=before.dtype.kind == "f"):
        return True, "max abs 0, max rel 0"
    a, b = before.astype(np.float64), now.astype(np.float64)
    if not np.array_equal(np.isfinite(a), np.isfinite(b)):
        return False, "has infinity or NaN at other positions"
    finite = np.isfinite(a)
    largest, scale = float(np.abs(a - b)[finite].max()), float(np.abs(a)[finite].max())
    relative = largest / scale if scale else float("inf")
    return before.dtype.kind == "f" and relative <= tolerance, f"max abs {largest:.3g}, max rel {relative:.3g}"


def first_difference(before: str, now: str) -> str:
    old, new = before.splitlines(), now.splitlines()
    for number, (a, b) in enumerate(zip(old, new, strict=False), start=1):
        if a != b:
            at = next((n for n, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
            return f"line {number}: is {b[max(0, at - 40) : at + 40]!r}, was {a[max(0, at - 40) : at + 40]!r}"
    return f"is {len(new)} lines, was {len(old)}"


def compare(before: Entries, now: Entries, tolerance: float) -> int:
    """Print one line per entry, and return how many differ."""
    count = 0
    for name in [*before, *(name for name in now if name not in before)]:
        same, text = difference(before.get(name), now.get(name), tolerance)
        count += not same
        print(f"{'ok     ' if same else 'DIFFERS'} {name}: {text}")
    print(f"{len(before)} entries before, {len(now)} now, {count} differ")
    return count


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["write", "compare"])
    parser.add_argument("file", type=Path)
    parser.add_argument("--only", nargs="+", choices=[*PARTS], default=[*PARTS], help="parts to record")
    parser.add_argument("--tolerance", type=float, default=0.0, help="accepted relative difference of floats")
    options = parser.parse_args()
    before = read(options.file) if options.action == "compare" else {}  # fails before the work if there is no file
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        now = record(options.only)
    if options.action == "write":
        write(now, options.file)
        return 0
    selected = {name: value for name, value in before.items() if any(fnmatchcase(name, f"{p}/*") for p in options.only)}
    return 1 if compare(selected, now, options.tolerance) else 0


if __name__ == "__main__":
    sys.exit(main())
