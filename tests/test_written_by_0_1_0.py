"""Files that res3d 0.1.0 wrote load with the same content, and their models compute the same results."""

import csv
import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from helpers.pictures import write_pictures

import res3d
from res3d.backbone import find_spec
from res3d.cli import main
from res3d.detection import DetectorSpec
from res3d.structures import VideoTracks

OLD = Path(__file__).parent / "fixtures" / "written_by_0_1_0"
BACKBONES = ("resnet18_3d", "slow_r50", "resnet18v2_3d")
CLASSIFIERS = ("classifier", "classifier_thin")
DETECTORS = ("detector", "detector_c4")
FORMATS = {"flies.json": "cocovid", "flies.posetrack.json": "posetrack", "flies.txt": "mot"}
ARRAYS = ("frames", "boxes", "scores", "keypoints", "keypoints_scores")


def random_clip(seed: int, size: int = 48, length: int = 4) -> torch.Tensor:
    """Return a clip [3, T, H, W] in 0..1, from random integers: the same on every machine."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (3, length, size // 8, size // 8))
    return torch.from_numpy(coarse.repeat(8, axis=2).repeat(8, axis=3)).float() / 255


@torch.no_grad()
def compute(name: str) -> dict[str, np.ndarray]:
    """Return the outputs of the model in a file for fixed clips, as "NAME FIELD" -> array."""
    model = res3d.load_model(OLD / f"{name}.safetensors").eval()
    if name in DETECTORS:
        results = model([random_clip(seed=1), random_clip(seed=2)])
        outputs = {f"{n} {field}": value for n, result in enumerate(results) for field, value in result.items()}
    elif name in CLASSIFIERS:
        outputs = {"logits": model(random_clip(seed=1)[None])}
    else:
        outputs = model(random_clip(seed=1)[None])
    return {f"{name} {field}": value.numpy() for field, value in outputs.items()}


def to_plain_values(name: str, video: VideoTracks) -> tuple[dict[str, np.ndarray], dict[str, object]]:
    """Return the arrays of tracks by name, and the other values as JSON represents them."""
    arrays = {
        f"{name} {track.id} {field}": value
        for track in video.tracks
        for field in ARRAYS
        if (value := getattr(track, field)) is not None
    }
    rest = {
        "name": video.name,
        "num_frames": video.num_frames,
        "fps": video.fps,
        "size": None if video.size is None else list(video.size),
        "annotated": None if video.annotated is None else video.annotated.tolist(),
        "categories": [
            [label, category.name, list(category.keypoints), [list(edge) for edge in category.skeleton]]
            for label, category in video.categories.items()
        ],
        "labels": {str(track.id): track.label for track in video.tracks},
        "masks": {
            str(track.id): [None if mask is None else [*mask.size, mask.counts] for mask in track.masks]
            for track in video.tracks
            if track.masks is not None
        },
    }
    return arrays, rest


def read_tracks(name: str) -> VideoTracks:
    path = OLD / "tracks" / name
    if name.endswith(".csv"):
        pandas = pytest.importorskip("pandas")
        return VideoTracks.from_table(pandas.read_csv(path))
    if name == "two_videos.json":
        return VideoTracks.from_cocovid(path, "second.mp4")
    return getattr(VideoTracks, f"from_{FORMATS[name]}")(path)


TRACKS = (*FORMATS, "flies.csv", "two_videos.json")


@pytest.fixture(scope="module")
def expected() -> Mapping[str, np.ndarray]:
    with np.load(OLD / "expected.npz", allow_pickle=False) as file:
        return dict(file)


def assert_expected(outputs: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray], model: str) -> None:
    """Compare the outputs of a model with all expected arrays of its name."""
    assert outputs.keys() == {name for name in expected if name.startswith(f"{model} ")}
    for name, value in outputs.items():
        largest = np.abs(expected[name]).max(initial=0)
        assert value.dtype == expected[name].dtype, name
        np.testing.assert_allclose(value, expected[name], rtol=0, atol=1e-5 * float(largest), err_msg=name)


@pytest.mark.parametrize("name", [*BACKBONES, *CLASSIFIERS, *DETECTORS])
def test_models_compute_the_same_outputs(name, expected):
    outputs = compute(name)
    assert all(value.size for value in outputs.values()), "no output is empty"
    assert_expected(outputs, expected, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", BACKBONES)
def test_a_backbone_loads_completely(name):
    model = res3d.load_model(OLD / f"{name}.safetensors")
    assert type(model) is res3d.ResNet3d
    other = res3d.create_backbone(model.spec, weights=OLD / f"{name}.safetensors")
    report = res3d.load_weights(other, OLD / f"{name}.safetensors")
    categories = ("inflated", "initialized", "missing", "unexpected", "ignored")
    assert [category for category in categories if getattr(report, category)] == []
    state = model.state_dict()
    assert all(torch.equal(tensor, state[key]) for key, tensor in other.state_dict().items())


def test_a_classifier_has_its_clip_spec_and_classes():
    model = res3d.load_model(OLD / "classifier.safetensors")
    assert (type(model), model.num_classes, model.dropout.p) == (res3d.ClipClassifier, 3, 0.25)
    clips = model.trained_on
    assert (clips.length, clips.step, clips.fps, clips.resize, tuple(clips.crop)) == (6, 2, 12.5, 36, (32, 32))
    assert (tuple(clips.mean), tuple(clips.std)) == ((0.4, 0.5, 0.6), (0.2, 0.25, 0.3))
    assert tuple(model.categories) == ("walk", "run", "jump")
    assert res3d.load_model(OLD / "classifier_thin.safetensors").trained_on is None


@pytest.mark.parametrize("name", DETECTORS)
def test_a_detector_has_the_spec_and_settings_of_its_header(name):
    model = res3d.load_model(OLD / f"{name}.safetensors")
    assert isinstance(model, res3d.detection.MaskRCNN3d)
    header = json.loads(json.loads((OLD / "headers.json").read_text("utf-8"))[f"{name}.safetensors"]["res3d"])
    assert model.spec == DetectorSpec.from_yaml(header["spec"])
    for field, value in yaml.safe_load(header["settings"]).items():
        setting = getattr(model.settings, field)
        assert (list(setting) if isinstance(setting, tuple) else setting) == value, field


def test_a_detector_has_its_categories():
    model = res3d.load_model(OLD / "detector.safetensors")
    names = {label: (category.name, len(category.keypoints)) for label, category in model.categories.items()}
    assert names == {1: ("disc", 5), 2: ("square", 5), 3: ("triangle", 5)}


def test_the_specs_of_the_catalog_are_unchanged():
    texts = json.loads((OLD / "catalogue.json").read_text("utf-8"))
    assert len(texts) == 38
    for name, text in texts.items():
        spec = res3d.BackboneSpec.from_yaml(text)
        assert spec == find_spec(name)
        assert spec.to_yaml() == text


@pytest.mark.parametrize("pool", ["avg", "none"])
def test_features_load_unchanged(pool, expected):
    path = OLD / f"features_{pool}.npz"
    features = res3d.ClipFeatures.load(path)
    assert features.meta == json.loads(str(expected["meta"]))[pool]
    names = ("features", "frame_indices", "frame_times", "start_time", "end_time")
    with np.load(path, allow_pickle=False) as file:
        assert set(file) == {*names, "meta"}
        for name in names:
            assert getattr(features, name).dtype == file[name].dtype
            assert np.array_equal(getattr(features, name), file[name])
            assert np.array_equal(file[name], expected[f"features_{pool} {name}"])


@pytest.mark.parametrize("name", TRACKS)
def test_tracks_are_read_unchanged(name, expected):
    arrays, rest = to_plain_values(name, read_tracks(name))
    assert rest == json.loads(str(expected["tracks"]))[name]
    assert arrays.keys() == {key for key in expected if key.startswith(f"{name} ")}
    for key, value in arrays.items():
        assert value.dtype == expected[key].dtype, key
        assert np.array_equal(value, expected[key]), key


@pytest.mark.parametrize("name", [*FORMATS, "flies.csv"])
def test_tracks_are_written_byte_for_byte(tmp_path, name):
    video = VideoTracks.from_cocovid(OLD / "tracks" / "flies.json")  # it contains all fields of the other formats
    if name.endswith(".csv"):
        pytest.importorskip("pandas")
        video.to_table().to_csv(tmp_path / name, index=False)
    else:
        getattr(video, f"to_{FORMATS[name]}")(tmp_path / name)
    assert (tmp_path / name).read_bytes() == (OLD / "tracks" / name).read_bytes()
    if name in FORMATS:
        getattr(read_tracks(name), f"to_{FORMATS[name]}")(tmp_path / f"again_{name}")
        assert (tmp_path / f"again_{name}").read_bytes() == (OLD / "tracks" / name).read_bytes()


def read_curve(path: Path) -> list[dict[str, float]]:
    """Read the rows of a run's losses or scores, without the measured times."""
    with path.open() as file:
        rows = [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(file)]
    return [{key: v for key, v in row.items() if key not in ("step_seconds", "data_wait")} for row in rows]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["classifier", "detector"])
def test_a_resumed_run_ends_as_an_uninterrupted_run(tmp_path, monkeypatch, kind):
    pytest.importorskip("pytorch_lightning")
    monkeypatch.chdir(tmp_path)  # the paths in its configuration are relative
    shutil.copytree(OLD / f"{kind}_run", tmp_path / f"{kind}_run")
    shutil.copy(OLD / "backbone.yaml", tmp_path)
    write_pictures(tmp_path / "pictures")
    old_best = res3d.load_model(f"{kind}_run/best.safetensors")
    assert main(["train", "--config", f"{kind}_run/config.yaml"]) == 0
    for name in ("train", "validate"):
        rows, whole = read_curve(tmp_path / f"{kind}_run" / f"{name}.csv"), read_curve(OLD / f"{kind}_whole_{name}.csv")
        assert [row.keys() for row in rows] == [row.keys() for row in whole]
        for row, other in zip(rows, whole, strict=True):
            assert row == pytest.approx(other, rel=1e-3, abs=1e-6), f"step {other['step']}"
    before, after = (folder / f"{kind}_run" / "train.csv" for folder in (OLD, tmp_path))
    assert after.read_text().startswith(before.read_text()), "completed steps are not repeated"
    for name in ("best", "last"):
        assert res3d.load_model(f"{kind}_run/{name}.safetensors").state_dict().keys() == old_best.state_dict().keys()
