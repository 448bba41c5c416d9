import json
import resource
import tempfile
from dataclasses import replace

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from helpers.cifar10 import write_cifar10
from helpers.detectors import THIN
from helpers.runs import changed, curve, detector_settings, losses, run, sensor_files, sensor_settings
from torch import nn

import res3d
from res3d.data import CATEGORIES, SyntheticVideo, synthetic_clips
from res3d.structures.formats import write_cocovid
from res3d.training import TrainingSettings
from res3d.training.checkpoints import Checkpoints, DirectCheckpointIO
from res3d.training.module import TrainingModule
from res3d.training.plan import make_plan
from res3d.weights import WeightsError

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def state(path) -> dict[str, torch.Tensor]:
    return res3d.load_model(path).state_dict()


def assert_equal_weights(one, other) -> None:
    a, b = state(one), state(other)
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)


class Killed(BaseException):
    """What a run cannot catch."""


def raise_killed(*_: object) -> None:
    raise Killed


def kill_at(step: int, monkeypatch) -> None:
    """Stop the run in the middle of a step, as if the machine had failed."""
    original = TrainingModule.training_step

    def failing(self, batch, batch_idx):
        if self.global_step == step:
            raise Killed
        return original(self, batch, batch_idx)

    monkeypatch.setattr(TrainingModule, "training_step", failing)


def test_a_detector_learns_and_its_best_weights_are_kept(tmp_path):
    settings = detector_settings(tmp_path / "run", epochs=2, averaging=0.5, warm_up=3, clip_gradient=5.0)
    heads = {"mask": True, "keypoints": 5, "spec": {"keypoints": {"convs": [8]}, "mask": {"convs": [8]}}}
    settings = changed(settings, model=heads)
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
    parts = [sum(v for k, v in row.items() if k.startswith("loss_")) for row in rows]
    assert parts == pytest.approx(losses(tmp_path / "run"), rel=1e-4)
    scores = curve(tmp_path / "run", "validate")
    assert [row["step"] for row in scores] == [4, 8]
    assert {"box_ap", "mask_ap", "recall"} <= scores[0].keys()
    assert result.score == pytest.approx(max(row["quality"] for row in scores), abs=1e-6)
    assert lines[0].startswith("detector: resnet10_3d_thin, ")
    assert lines[1] == "train: 8 clips, 4 steps of 2 an epoch, 8 in all"
    assert lines[-1].startswith("8 steps in ")
    assert list((tmp_path / "run" / "tensorboard").iterdir())


def test_a_classifier_learns_to_tell_sensor_windows_apart(tmp_path):
    result, _ = run(sensor_settings(tmp_path / "run", epochs=12, schedule="cosine"))
    assert result.score == 1.0
    model = res3d.load_model(result.weights)
    assert isinstance(model, res3d.ClipClassifier)
    assert model.num_classes == 3


def test_cifar10_trains_from_its_folder(tmp_path, monkeypatch):
    write_cifar10(tmp_path / "data", monkeypatch)
    settings = TrainingSettings(
        model={"kind": "classifier", "backbone": "resnet14_cifar"},
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


def test_two_runs_of_one_seed_are_the_same_and_of_two_are_not(tmp_path):
    changes = {"augment": {"flip": 0.5, "crop": [24, 24]}, "validate": None}
    for name, more in (("a", {}), ("b", {"workers": 1}), ("c", {"seed": 1})):
        run(detector_settings(tmp_path / name, **changes, **more))
    assert losses(tmp_path / "a") == losses(tmp_path / "b") != losses(tmp_path / "c")
    assert_equal_weights(tmp_path / "a" / "last.safetensors", tmp_path / "b" / "last.safetensors")


@pytest.mark.parametrize("step", [1, 3, 4, 6], ids=lambda step: f"killed_in_step_{step}")
def test_a_run_that_was_killed_ends_where_another_does(tmp_path, step):
    """In the first epoch, in its last step, in the first step of the second epoch, and in the middle of it."""
    changes = {
        "epochs": 3,
        "averaging": 0.9,
        "checkpoint_every": 1,
        "schedule": "cosine",
        "augment": {"flip": 0.5},
        "log_every": 2,
        "accumulate": 2,
    }
    run(detector_settings(tmp_path / "whole", **changes))
    with pytest.MonkeyPatch.context() as monkeypatch:
        kill_at(step, monkeypatch)
        with pytest.raises(Killed):
            run(detector_settings(tmp_path / "killed", **changes))
    _, lines = run(detector_settings(tmp_path / "killed", **changes))
    assert f"resuming from {tmp_path / 'killed' / 'last.ckpt'}, after {step} of 12 steps" in lines
    assert losses(tmp_path / "killed") == losses(tmp_path / "whole")
    assert curve(tmp_path / "killed", "validate") == curve(tmp_path / "whole", "validate")
    for name in ("best.safetensors", "last.safetensors"):
        assert_equal_weights(tmp_path / "whole" / name, tmp_path / "killed" / name)


def test_a_finished_run_is_left_alone_and_goes_on_for_more_epochs(tmp_path):
    run(sensor_settings(tmp_path / "run", epochs=1))
    before = (tmp_path / "run" / "last.ckpt").stat().st_mtime_ns
    result, lines = run(sensor_settings(tmp_path / "run", epochs=1))
    assert lines == [f"{tmp_path / 'run'} is finished, after 3 steps: nothing to do; with more epochs it would go on"]
    assert (result.steps, result.weights.name) == (3, "best.safetensors")
    assert (tmp_path / "run" / "last.ckpt").stat().st_mtime_ns == before
    run(sensor_settings(tmp_path / "run", epochs=2))
    run(sensor_settings(tmp_path / "whole", epochs=2))
    assert losses(tmp_path / "run") == losses(tmp_path / "whole")


@pytest.mark.parametrize("changes", [{}, {"validate": None, "averaging": 0.9}], ids=["scored", "averaged"])
def test_a_run_that_was_killed_before_its_last_weights_were_written_gets_them(tmp_path, changes):
    run(sensor_settings(tmp_path / "whole", epochs=1, **changes))
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(Checkpoints, "on_train_end", raise_killed)
        with pytest.raises(Killed):
            run(sensor_settings(tmp_path / "killed", epochs=1, **changes))
    result, lines = run(sensor_settings(tmp_path / "killed", epochs=1, **changes))
    assert "is finished, after 3 steps" in lines[0]
    assert result.weights.exists()
    assert_equal_weights(tmp_path / "whole" / "last.safetensors", tmp_path / "killed" / "last.safetensors")
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(Checkpoints, "on_train_end", raise_killed)
        with pytest.raises(Killed):
            run(sensor_settings(tmp_path / "killed", epochs=2, **changes))
    run(sensor_settings(tmp_path / "killed", epochs=2, **changes))
    run(sensor_settings(tmp_path / "whole", epochs=2, **changes))
    assert_equal_weights(tmp_path / "whole" / "last.safetensors", tmp_path / "killed" / "last.safetensors")


def test_a_run_that_was_killed_before_its_first_checkpoint_begins_again(tmp_path):
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(Checkpoints, "on_train_epoch_end", raise_killed)
        with pytest.raises(Killed):
            run(sensor_settings(tmp_path / "run", epochs=1))
    assert (tmp_path / "run" / "best.safetensors").exists()
    with pytest.raises(ValueError, match=r"holds best\.safetensors but no last\.ckpt"):
        run(sensor_settings(tmp_path / "run", epochs=1, seed=1))
    result, _ = run(sensor_settings(tmp_path / "run", epochs=2))
    assert result.steps == 6


def test_early_stopping_may_change_on_the_way(tmp_path):
    changes = {"epochs": 40, "learning_rate": 1e-9}
    run(sensor_settings(tmp_path / "run", **changes, early_stopping=2))
    for patience in (2, 1):
        _, lines = run(sensor_settings(tmp_path / "run", **changes, early_stopping=patience))
        assert lines[0].endswith("early_stopping 2 ended it; with a larger one, or none, it would go on")
    result, _ = run(sensor_settings(tmp_path / "run", **changes, early_stopping=5))
    assert result.steps == 6 * 3, "the first score, and five validations that are no better"


def test_the_step_of_the_best_weights_is_known_also_when_the_run_is_resumed(tmp_path):
    changes = {"learning_rate": 1e-9}
    result, lines = run(sensor_settings(tmp_path / "run", epochs=2, **changes))
    assert [line for line in lines if line.endswith("(best)")][-1].startswith("epoch 1, step 3: ")
    assert (result.step, result.steps) == (3, 6)
    assert (
        str(result) == f"{result.weights}: the best weights of step 3, score {result.score:.4f}, after 6 steps in all"
    )
    for epochs in (2, 3):
        result, _ = run(sensor_settings(tmp_path / "run", epochs=epochs, **changes))
        assert (result.step, result.steps) == (3, 3 * epochs)
    last, _ = run(sensor_settings(tmp_path / "last", epochs=1, validate=None))
    assert str(last) == f"{tmp_path / 'last' / 'last.safetensors'}: after 3 steps"


def test_one_is_singular_in_what_is_logged(tmp_path):
    settings = sensor_settings(tmp_path / "run", epochs=1, batch_size=24)
    _, lines = run(changed(settings, validate={"rows": [24, 25]}))
    assert lines[1:3] == ["train: 24 clips, 1 step of 24 an epoch, 1 in all", "validate: 1 clip every epoch"]
    assert lines[-1].startswith("1 step in ")
    _, lines = run(changed(settings, validate={"rows": [24, 25]}))
    assert "is finished, after 1 step: nothing to do" in lines[0]


def test_scores_on_other_data_are_not_compared(tmp_path):
    result, _ = run(sensor_settings(tmp_path / "run", epochs=12, early_stopping=3))
    assert result.score == 1.0
    rng = np.random.default_rng(0)
    np.save(tmp_path / "noise.npy", rng.normal(size=(32, 2, 16)).astype(np.float32))
    settings = sensor_settings(tmp_path / "run", epochs=result.steps // 3 + 2, early_stopping=3)
    settings = changed(settings, validate={"windows": str(tmp_path / "noise.npy")})
    later, _ = run(settings)
    assert later.steps == result.steps + 6, "it counts anew"
    rows = curve(tmp_path / "run", "validate")[-2:]
    assert later.score == pytest.approx(max(row["accuracy"] for row in rows), abs=1e-5)
    assert later.score < 1


def test_early_stopping_ends_a_run_for_good(tmp_path):
    changes = {"epochs": 40, "early_stopping": 2, "learning_rate": 1e-9, "validate_every": 2}
    result, _ = run(sensor_settings(tmp_path / "run", **changes))
    assert result.steps == 6 * 3, "the first score, and two validations that are no better"
    _, lines = run(sensor_settings(tmp_path / "run", **changes))
    assert "is finished, after 18 steps" in lines[0]
    result, _ = run(sensor_settings(tmp_path / "run", **{**changes, "early_stopping": None, "epochs": 7}))
    assert result.steps == 7 * 3


def test_without_validation_the_last_weights_are_the_result(tmp_path):
    result, _ = run(sensor_settings(tmp_path / "run", validate=None, epochs=1))
    assert result.weights.name == "last.safetensors"
    assert result.score is None
    assert not (tmp_path / "run" / "best.safetensors").exists()


def test_accumulated_parts_are_one_batch(tmp_path):
    spec = {"backbone": str(tmp_path / "sensor.yaml"), "kind": "classifier", "norm": "group"}
    for name, accumulate in (("whole", 1), ("parts", 4)):
        run(sensor_settings(tmp_path / name, model=spec, accumulate=accumulate, optimizer="sgd"))
    assert losses(tmp_path / "parts") == pytest.approx(losses(tmp_path / "whole"), rel=1e-4)


def test_frozen_stages_stay_and_unfreeze_by_epoch(tmp_path):
    changes = {"validate": None, "freeze_at": 3, "unfreeze": {1: 1}, "epochs": 2}
    start = detector_settings(tmp_path / "x", **changes)
    run(detector_settings(tmp_path / "one", **{**changes, "unfreeze": {}, "epochs": 1}))
    run(detector_settings(tmp_path / "two", **changes))
    fresh = make_plan(start).task.model.state_dict()
    one, two = (state(tmp_path / name / "last.safetensors") for name in ("one", "two"))

    def same(a, b, stage):
        return all(torch.equal(a[name], b[name]) for name in a if name.startswith(f"backbone.{stage}."))

    assert [same(fresh, one, stage) for stage in ("stem", "conv2", "conv3", "conv4")] == [True, True, True, False]
    assert [same(fresh, two, stage) for stage in ("stem", "conv2", "conv3", "conv4")] == [True, False, False, False]


def test_a_gradient_is_clipped_to_its_norm(tmp_path):
    """Steps of SGD are as long as the gradients."""
    changes = {"optimizer": "sgd", "momentum": 0.0, "learning_rate": 1.0, "validate": None, "epochs": 1}
    settings = sensor_settings(tmp_path / "run", **changes, batch_size=24, clip_gradient=1e-3)
    before = make_plan(settings).task.model.state_dict()
    run(settings)
    after = state(tmp_path / "run" / "last.safetensors")
    moved = torch.cat([(after[name] - before[name]).flatten() for name in before if not name.endswith(STATISTICS)])
    assert float(moved.norm()) == pytest.approx(1e-3, rel=1e-3)


def test_clips_are_normalized_to_mean_and_std(tmp_path):
    """As windows that were normalized beforehand."""
    run(sensor_settings(tmp_path / "run", mean=[0.5, -0.25], std=[2.0, 4.0]))
    settings = sensor_settings(tmp_path / "made")
    windows = np.load(tmp_path / "windows.npy")
    made = (windows - np.array([[0.5], [-0.25]], np.float32)) / np.array([[2.0], [4.0]], np.float32)
    np.save(tmp_path / "made.npy", made)
    windows = {"windows": str(tmp_path / "made.npy")}
    settings = changed(settings, train=windows, validate=windows)
    run(settings)
    assert losses(tmp_path / "run") == pytest.approx(losses(tmp_path / "made"), rel=1e-4)
    assert curve(tmp_path / "run", "validate")[-1] == pytest.approx(curve(tmp_path / "made", "validate")[-1], rel=1e-4)


def test_keypoints_of_named_pairs_are_learned_swapped(tmp_path):
    """With every clip flipped, what is learned depends on the pairs."""
    for name, pairs in (("found", None), ("named", [["right", "left"]]), ("none", [])):
        settings = detector_settings(
            tmp_path / name, epochs=1, validate=None, augment={"flip": 1.0, "pairs": pairs}, batch_size=8
        )
        run(changed(settings, model={"keypoints": 5}))
    assert losses(tmp_path / "found") == losses(tmp_path / "named") != losses(tmp_path / "none")


def test_scores_are_of_the_averaged_weights(tmp_path):
    """An average that never moves stays at the first step's weights."""
    for name, averaging in (("still", 1 - 1e-9), ("plain", None)):
        run(sensor_settings(tmp_path / name, averaging=averaging, epochs=3))
    still = curve(tmp_path / "still", "validate")
    assert len({row["loss"] for row in still}) == 1
    assert len({row["loss"] for row in curve(tmp_path / "plain", "validate")}) == 3


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(tmp_path, monkeypatch):
    changes = {"checkpoint_every": 1, "epochs": 1}
    original = pl.Trainer.save_checkpoint

    def full(self, path, **more):
        if self.global_step == 2:
            path.write_bytes(b"half of it")
            raise OSError(28, "No space left on device")
        original(self, path, **more)

    monkeypatch.setattr(pl.Trainer, "save_checkpoint", full)
    with pytest.raises(OSError, match=r"cannot be written \(No space left on device\); the one before it is kept"):
        run(sensor_settings(tmp_path / "run", **changes))
    assert not list((tmp_path / "run").glob(".last*"))
    monkeypatch.undo()
    _, lines = run(sensor_settings(tmp_path / "run", **changes))
    assert any("after 1 of 3 steps" in line for line in lines)


def test_a_checkpoint_is_written_nowhere_else(tmp_path, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise AssertionError("a file in /tmp")

    monkeypatch.setattr(tempfile, "mkstemp", refuse)
    run(sensor_settings(tmp_path / "run", epochs=1, validate=None))


def test_a_disk_that_is_full_is_an_error_of_the_system(tmp_path):
    """A limit on the size of files stands in for it; Python ignores the signal that comes with it."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            DirectCheckpointIO().save_checkpoint({"weights": torch.zeros(10**5)}, tmp_path / "x.ckpt")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_loss_that_is_not_finite_ends_the_run(tmp_path, monkeypatch):
    settings = sensor_settings(tmp_path / "run")
    original = nn.Linear.forward
    monkeypatch.setattr(nn.Linear, "forward", lambda self, x: original(self, x) * float("nan"))
    with pytest.raises(FloatingPointError, match=r"step 0: the loss is not finite \(loss_classifier nan\)"):
        run(settings)


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
        ({"validate": {"kind": "synthetic", "labels": "heading"}}, "train and validate must be of the same classes"),
        ({"augment": {"flp": 1}}, "augment: unknown key 'flp'; did you mean 'flip'"),
        ({"augment": {"flip": 2}}, "augment: flip must be a probability, not 2"),
        ({"mean": [0.5]}, "mean and std are not for a detector, which has its own"),
        ({"warm_up": 9}, "warm_up must be ≤ 8, the steps of the run, not 9"),
        ({"batch_size": 9}, "batch_size must be ≤ 8, the clips to train on, not 9"),
        ({"rates": {"nek": 1.0}}, "rates: the model has no part 'nek'; did you mean 'neck'"),
        ({"model": {"kind": "detector", "freeze_at": 2}}, "model has no key 'freeze_at': it is a setting of the run"),
        ({"model": {"kind": "detector", "chanels": 2}}, "model: unknown key 'chanels'; did you mean 'channels'"),
        ({"model": {"kind": "detector", "spec": {"box": {"fsc": 1}}}}, "model.spec.box: unknown key 'fsc'; did you"),
        ({"model": {"kind": "detector", "weights": "nowhere.pth"}}, "nowhere.pth: no such weights file"),
    ],
)
def test_wrong_settings_are_named_before_anything_is_made(tmp_path, changes, message):
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        run(detector_settings(tmp_path / "run", **changes))
    assert not (tmp_path / "run" / "last.ckpt").exists()


@pytest.mark.parametrize("name", ["train", "validate"])
def test_what_the_heads_learn_from_must_be_known_of_every_object(tmp_path, name):
    scene = SyntheticVideo(seed=4, num_frames=8, size=(48, 64), num_objects=3)
    scene.write(tmp_path / "scene.mp4")
    write_cocovid([scene.tracks("scene.mp4")], tmp_path / "tracks.json")
    whole = json.loads((tmp_path / "tracks.json").read_text())
    partly = json.loads((tmp_path / "tracks.json").read_text())
    for annotation in partly["annotations"][::2]:
        del annotation["segmentation"]
    (tmp_path / "partly.json").write_text(json.dumps(partly))
    data = {"kind": "tracked", "annotations": str(tmp_path / "tracks.json"), "videos": str(tmp_path), "length": 2}
    changes = {"train": data, "validate": data, name: {**data, "annotations": str(tmp_path / "partly.json")}}
    settings = detector_settings(tmp_path / "run", **changes)
    assert ("masks" in make_plan(settings).data[0][1]) == (name == "validate")
    settings = changed(settings, model={"mask": True})
    missing, count = len(partly["annotations"][::2]), len(whole["annotations"])
    message = f"{name}: the model has a head for masks, which its data lack: {missing} of {count} objects in .*partly"
    with pytest.raises(ValueError, match=message):
        run(settings)
    settings = changed(settings, model={"mask": False, "keypoints": 4})
    with pytest.raises(ValueError, match=r"train: keypoints are \[N T 5 3\], and the model's \[N T 4 3\]"):
        run(settings)


def test_pairs_that_a_flip_swaps_are_found_or_asked_for(tmp_path):
    boxes = detector_settings(tmp_path / "run", validate=None, epochs=1, augment={"flip": 0.5})
    settings = changed(boxes, model={"keypoints": 5})
    _, lines = run(settings)
    assert "a flip swaps 1 pair of keypoints: left and right" in lines
    plan = make_plan(replace(settings, augment={"flip": 0.5, "pairs": [["top", "bottom"]]}))
    assert plan.flip_pairs == ((1, 3),)
    assert plan.augment.keywords == {"flip_pairs": ((1, 3),)}
    nameless = tuple(replace(category, keypoints=tuple("abcde")) for category in CATEGORIES)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(synthetic_clips, "CATEGORIES", nameless)
        with pytest.raises(ValueError, match=r"augment: no keypoint's name says left or right; name the pairs"):
            make_plan(settings)
        assert make_plan(replace(settings, augment={"flip": 0.5, "pairs": []})).flip_pairs == ()
        assert make_plan(boxes).flip_pairs == ()


def test_a_classifier_needs_a_backbone_and_channels_that_fit(tmp_path):
    with pytest.raises(ValueError, match="model: key 'backbone' is missing"):
        run(sensor_settings(tmp_path / "run", model={"kind": "classifier"}))
    with pytest.raises(ValueError, match="mean has 3 numbers for clips of 2 channels"):
        run(sensor_settings(tmp_path / "run", mean=[0.1, 0.2, 0.3]))


def test_norms_over_processes_need_a_gpu(tmp_path):
    model = {"kind": "classifier", "backbone": str(tmp_path / "sensor.yaml"), "norm": "sync_batch"}
    with pytest.raises(ValueError, match="norm 'sync_batch' needs a GPU; on a CPU take group, frozen_batch or batch"):
        run(sensor_settings(tmp_path / "run", model=model))


def test_half_precision_needs_one_too(tmp_path):
    with pytest.raises(ValueError, match="precision 16 needs a GPU; on a CPU take 32 or bf16"):
        run(sensor_settings(tmp_path / "run", precision=16))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ValueError, match="No supported gpu backend found"):
        run(sensor_settings(tmp_path / "run", accelerator="gpu"))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
@pytest.mark.parametrize("precision", ["bf16", "16"])
def test_a_gpu_trains_in_mixed_precision(tmp_path, precision):
    model = {"kind": "classifier", "backbone": str(tmp_path / "sensor.yaml"), "norm": "sync_batch"}
    result, _ = run(sensor_settings(tmp_path / "run", model=model, accelerator="gpu", precision=precision, epochs=12))
    assert result.score is not None
    assert result.score > 0.9


def test_bfloat16_trains_on_a_cpu_and_scores_are_of_float32(tmp_path):
    run(sensor_settings(tmp_path / "run", precision="bf16"))
    run(sensor_settings(tmp_path / "full"))
    assert losses(tmp_path / "run") == pytest.approx(losses(tmp_path / "full"), rel=0.05)
    assert losses(tmp_path / "run") != losses(tmp_path / "full")


def test_classes_without_an_example_are_refused(tmp_path):
    settings = sensor_settings(tmp_path / "run")
    settings = changed(settings, train={"num_classes": 5}, validate={"num_classes": 5})
    with pytest.raises(ValueError, match="train: no clip shows class 3, class 4; leave such classes out, or add"):
        run(settings)


def test_another_run_in_the_same_folder_is_refused(tmp_path):
    run(sensor_settings(tmp_path / "run", epochs=1))
    with pytest.raises(
        ValueError, match=r"last\.ckpt is of another run: optimizer.kind is 'adamw' there and 'sgd' here; choose"
    ):
        run(sensor_settings(tmp_path / "run", epochs=2, optimizer="sgd"))
    settings = sensor_settings(tmp_path / "run", epochs=2)
    settings = changed(settings, train={"rows": [0, 16]})
    with pytest.raises(ValueError, match=r"another run: train\.rows is \[0, 24\] there and \[0, 16\] here"):
        run(settings)
    with pytest.raises(ValueError, match="its classifier has another architecture"):
        run(sensor_settings(tmp_path / "run", model={"kind": "classifier", "backbone": str(THIN), "in_channels": 2}))
    with pytest.raises(ValueError, match="it has a classifier, and this is of a detector"):
        run(detector_settings(tmp_path / "run"))
    assert not (tmp_path / "run" / "config.yaml").read_text().startswith("model:\n  kind: detector")


def test_a_run_whose_settings_this_version_does_not_know_is_refused_by_name(tmp_path):
    run(sensor_settings(tmp_path / "run", epochs=1))
    path = tmp_path / "run" / "last.ckpt"
    state = torch.load(path, weights_only=True)
    state["res3d"]["settings"]["lookahead"] = 5
    torch.save(state, path)
    with pytest.raises(
        ValueError, match=r"its settings are not valid here \(unknown key 'lookahead'.*; choose another out"
    ):
        run(sensor_settings(tmp_path / "run", epochs=2))


def test_a_default_that_is_written_out_is_no_difference(tmp_path):
    run(sensor_settings(tmp_path / "run", epochs=1, optimizer="sgd"))
    model = {"dropout": 0.0, "head": "load"}
    settings = changed(sensor_settings(tmp_path / "run", epochs=2, optimizer="sgd", momentum=0.9), model=model)
    result, _ = run(settings)
    assert result.steps == 6
    with pytest.raises(ValueError, match=r"optimizer\.momentum is 0\.9 there and 0\.5 here"):
        run(changed(settings, optimizer={"kind": "sgd", "momentum": 0.5}))


def test_a_setting_that_is_null_instead_of_absent_hides_no_other_difference(tmp_path):
    settings = sensor_settings(tmp_path / "run", epochs=1)
    run(replace(settings, train={"kind": "sensor", **settings.train.given, "num_classes": None}))
    run(sensor_settings(tmp_path / "run", epochs=2))
    with pytest.raises(ValueError, match=r"optimizer\.kind is 'adamw' there and 'sgd' here"):
        run(sensor_settings(tmp_path / "run", epochs=2, optimizer="sgd"))


def test_tuples_are_the_lists_that_a_config_has_for_them(tmp_path):
    run(changed(sensor_settings(tmp_path / "run", epochs=1), train={"rows": (0, 24)}))
    result, _ = run(sensor_settings(tmp_path / "run", epochs=2))
    assert result.steps == 6


def test_data_that_grew_are_another_runs(tmp_path):
    settings = changed(sensor_settings(tmp_path / "run", epochs=1), train={"rows": None})
    run(settings)
    for path in sensor_files(tmp_path).values():
        np.save(path, np.concatenate([np.load(path)] * 2))
    with pytest.raises(ValueError, match="its data had 32 clips to train on, and now have 64; choose another out"):
        run(replace(settings, epochs=3))


def test_a_folder_with_weights_but_no_run_is_refused(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "best.safetensors").write_bytes(b"of something")
    with pytest.raises(ValueError, match=r"holds best\.safetensors but no last\.ckpt, so there is no run to resume"):
        run(sensor_settings(tmp_path / "run"))


def test_a_damaged_checkpoint_is_named(tmp_path):
    run(sensor_settings(tmp_path / "run", epochs=1))
    path = tmp_path / "run" / "last.ckpt"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(WeightsError, match=r"last\.ckpt: not a checkpoint of a run, or a damaged one"):
        run(sensor_settings(tmp_path / "run", epochs=2))
    torch.save({"state_dict": {}}, path)
    with pytest.raises(WeightsError, match="res3d did not write it"):
        run(sensor_settings(tmp_path / "run", epochs=2))


def test_checkpoints_are_written_as_often_as_asked(tmp_path, monkeypatch):
    saved = []
    original = Checkpoints._save
    monkeypatch.setattr(Checkpoints, "_save", lambda self, t: (saved.append(t.global_step), original(self, t))[1])
    run(sensor_settings(tmp_path / "run", checkpoint_every=2))
    assert saved == [2, 3, 4, 6, 8, 9], "every second step, and the end of each epoch of three"
