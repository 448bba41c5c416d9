"""Whole runs of ``train``, from settings to files."""

import pytest
import torch
from helpers.cifar10 import write_cifar10
from helpers.detectors import THIN
from helpers.runs import change_settings, curve, detector_settings, losses, run, sensor_settings

import res3d
from res3d.training import TrainingSettings

CLIPS = {"kind": "synthetic", "num_clips": 4, "length": 2, "side": 32}


@pytest.mark.slow
def test_detector_run_writes_weights_curves_and_log_lines(tmp_path):
    settings = detector_settings(tmp_path / "run", epochs=2, averaging=0.5, warm_up=3, clip_gradient=5.0)
    heads = {"mask": True, "keypoints": 5, "spec": {"keypoints": {"convs": [8]}, "mask": {"convs": [8]}}}
    settings = change_settings(settings, model=heads)
    result, lines = run(settings)
    assert result.steps == 8
    assert result.weights == tmp_path / "run" / "best.safetensors"
    model = res3d.load_model(result.weights)
    assert isinstance(model, res3d.detection.MaskRCNN3d)
    assert (model.spec.keypoints.convs, model.spec.mask.convs) == ((8,), (8,))
    assert [c.name for c in model.spec.categories] == ["disc", "square", "triangle"]
    rows = curve(tmp_path / "run")
    assert [row["step"] for row in rows] == list(range(1, 9))
    assert [row["rate rest"] for row in rows[:3]] == pytest.approx([2e-3 / 3, 1e-3, 1e-3], rel=1e-4)
    assert all(0 <= row["data_wait"] <= 1 < row["loss"] for row in rows)
    sums = [sum(v for k, v in row.items() if k.startswith("loss_")) for row in rows]
    assert sums == pytest.approx(losses(tmp_path / "run"), rel=1e-4)
    scores = curve(tmp_path / "run", "validate")
    assert [row["step"] for row in scores] == [4, 8]
    assert {"box_ap", "mask_ap", "recall"} <= scores[0].keys()
    assert result.score == pytest.approx(max(row["quality"] for row in scores), abs=1e-6)
    assert lines[0].startswith("detector: resnet10_3d_thin, ")
    assert lines[1] == "train: 8 clips, 4 steps of 2 per epoch, 8 in all"
    assert lines[-1].startswith("8 steps in ")
    assert list((tmp_path / "run" / "tensorboard").iterdir())


def test_classifier_learns_to_separate_sensor_windows(tmp_path):
    result, _ = run(sensor_settings(tmp_path / "run", epochs=12, validate_every=6, schedule="cosine"))
    assert result.score == 1.0
    model = res3d.load_model(result.weights)
    assert isinstance(model, res3d.ClipClassifier)
    assert model.num_classes == 3


def test_cifar10_run_with_step_schedule(tmp_path, monkeypatch):
    write_cifar10(tmp_path / "data", monkeypatch)
    settings = TrainingSettings(
        model={"kind": "classifier", "backbone": "resnet14_cifar", "width": 0.25},
        train={"kind": "cifar10", "folder": str(tmp_path / "data"), "side": 40},
        validate={"kind": "cifar10", "folder": str(tmp_path / "data"), "part": "test"},
        augment={"flip": 0.5, "crop": [32, 32]},
        mean=[0.5, 0.5, 0.5],
        out=str(tmp_path / "run"),
        epochs=2,
        batch_size=10,
        optimizer="adam",
        schedule="step",
        milestones=[1.0],
        decay=1 / 3,
        log_every=1,
        accelerator="cpu",
    )
    result, _ = run(settings)
    assert result.steps == 4
    rates = [row["rate rest"] for row in curve(tmp_path / "run")]
    assert rates == pytest.approx([1e-3, 1e-3 / 3, 1e-3 / 3, 1e-3 / 3], rel=1e-3)
    assert "accuracy_top5" in curve(tmp_path / "run", "validate")[0]


@pytest.mark.slow
def test_runs_are_equal_if_their_seeds_are(tmp_path):
    changes = {"augment": {"flip": 0.5, "crop": [24, 24]}, "validate": None, "train": CLIPS}
    for name, more in (("a", {}), ("b", {"workers": 1}), ("c", {"seed": 1})):
        run(detector_settings(tmp_path / name, **changes, **more))
    assert losses(tmp_path / "a") == losses(tmp_path / "b") != losses(tmp_path / "c")
    a, b = (res3d.load_model(tmp_path / name / "last.safetensors").state_dict() for name in "ab")
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)


def test_log_lines_use_the_singular_for_one(tmp_path):
    settings = sensor_settings(tmp_path / "run", epochs=1, batch_size=24)
    _, lines = run(change_settings(settings, validate={"rows": [24, 25]}))
    assert lines[1:3] == ["train: 24 clips, 1 step of 24 per epoch, 1 in all", "validate: 1 clip every epoch"]
    assert lines[-1].startswith("1 step in ")
    _, lines = run(change_settings(settings, validate={"rows": [24, 25]}))
    assert "is finished, after 1 step: nothing to do" in lines[0]


def test_result_without_validation_is_the_last_weights(tmp_path):
    result, _ = run(sensor_settings(tmp_path / "run", validate=None, epochs=1))
    assert result.weights.name == "last.safetensors"
    assert result.score is None
    assert not (tmp_path / "run" / "best.safetensors").exists()
    assert str(result) == f"{tmp_path / 'run' / 'last.safetensors'}: after 3 steps"


def test_accumulated_parts_equal_one_batch(tmp_path):
    spec = {"backbone": str(tmp_path / "sensor.yaml"), "kind": "classifier", "norm": "group"}
    for name, accumulate in (("whole", 1), ("parts", 4)):
        changes = {"model": spec, "accumulate": accumulate, "optimizer": "sgd", "validate": None}
        run(sensor_settings(tmp_path / name, **changes))
    assert losses(tmp_path / "parts") == pytest.approx(losses(tmp_path / "whole"), rel=1e-4)


@pytest.mark.slow
def test_flip_pairs_influence_what_keypoint_heads_learn(tmp_path):
    """Every clip is flipped. Pairs found by name equal explicit pairs, and no pairs give other losses."""
    for name, pairs in (("default", None), ("explicit", [["right", "left"]]), ("none", [])):
        augment = {"flip": 1.0, "pairs": pairs}
        settings = detector_settings(
            tmp_path / name, epochs=1, validate=None, augment=augment, train=CLIPS, batch_size=4
        )
        run(change_settings(settings, model={"keypoints": 5}))
    assert losses(tmp_path / "default") == losses(tmp_path / "explicit") != losses(tmp_path / "none")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": {"kind": "detectr"}}, "model.kind must be one of detector, classifier, not 'detectr'; did you mean"),
        ({"model": {}}, "model.kind must be one of detector, classifier, and is missing"),
        (
            {"train": {"kind": "labelled", "source": "x"}},
            "train.kind 'labelled' is for a classifier, not for a detector",
        ),
        ({"train": {"kind": "synthetic", "num_clip": 3}}, "train: unknown key 'num_clip'; did you mean 'num_clips'"),
        ({"validate": {"kind": "synthetic", "labels": "heading"}}, "train and validate must have the same classes"),
        ({"augment": {"flp": 1}}, "augment: unknown key 'flp'; did you mean 'flip'"),
        ({"augment": {"flip": 2}}, r"augment: flip must be a probability in \[0, 1\], not 2"),
        ({"mean": [0.5]}, "mean and std are not used by a detector"),
        ({"warm_up": 9}, "warm_up must be ≤ 8, the steps of the run, not 9"),
        ({"batch_size": 9}, "batch_size must be ≤ 8, the number of training clips, not 9"),
        ({"rates": {"nek": 1.0}}, "rates: the model has no module 'nek'; did you mean 'neck'"),
        ({"model": {"kind": "detector", "freeze_at": 2}}, "model has no key 'freeze_at': set freeze_at at the top"),
        ({"model": {"kind": "detector", "chanels": 2}}, "model: unknown key 'chanels'; did you mean 'channels'"),
        (
            {"model": {"kind": "detector", "backbone": str(THIN), "spec": {"box": {"fsc": 1}}}},
            "model.spec.box: unknown key 'fsc'; did you",
        ),
        ({"model": {"kind": "detector", "weights": "nowhere.pth"}}, "nowhere.pth: no such weights file"),
    ],
)
def test_invalid_settings_are_refused_before_training(tmp_path, changes, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        run(detector_settings(tmp_path / "run", **changes))
    assert not (tmp_path / "run" / "last.ckpt").exists()


def test_classifier_needs_a_backbone_and_matching_channels(tmp_path):
    with pytest.raises(ValueError, match="model: key 'backbone' is missing"):
        run(sensor_settings(tmp_path / "run", model={"kind": "classifier"}))
    with pytest.raises(ValueError, match="mean has 3 numbers, but clips have 2 channels"):
        run(sensor_settings(tmp_path / "run", mean=[0.1, 0.2, 0.3]))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("precision", ["bf16", "16"])
def test_gpu_trains_in_mixed_precision(tmp_path, precision):
    model = {"kind": "classifier", "backbone": str(tmp_path / "sensor.yaml"), "norm": "sync_batch"}
    result, _ = run(sensor_settings(tmp_path / "run", model=model, accelerator="gpu", precision=precision, epochs=12))
    assert result.score is not None
    assert result.score > 0.9
