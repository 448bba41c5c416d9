"""Runs that are interrupted and resumed, and folders with another run."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.detectors import THIN
from helpers.runs import change_settings, curve, detector_settings, losses, run, sensor_files, sensor_settings

import res3d
from res3d.training.checkpoints import Checkpoints
from res3d.training.module import TrainingModule
from res3d.training.resume import Checkpoint
from res3d.weights import WeightsError


class Killed(BaseException):
    """Exception that no run catches."""


def raise_killed(*_: object) -> None:
    raise Killed


def kill_at(step: int, monkeypatch) -> None:
    """Abort runs inside a step, as if the machine had failed."""
    original = TrainingModule.training_step

    def fail_at_step(self, batch, batch_idx):
        if self.global_step == step:
            raise Killed
        return original(self, batch, batch_idx)

    monkeypatch.setattr(TrainingModule, "training_step", fail_at_step)


def assert_equal_weights(path, other) -> None:
    a, b = (res3d.load_model(file).state_dict() for file in (path, other))
    assert a.keys() == b.keys()
    assert all(torch.equal(a[name], b[name]) for name in a)


def interrupted_settings(out):
    """Return settings of a detector: two epochs of three steps, with state in every part of a checkpoint."""
    return detector_settings(
        out,
        train={"kind": "synthetic", "num_clips": 6, "length": 2, "side": 32},
        validate={"kind": "synthetic", "num_clips": 2, "length": 2, "side": 32, "seed": 9},
        epochs=2,
        averaging=0.9,
        checkpoint_every=1,
        schedule="cosine",
        augment={"flip": 0.5},
        log_every=2,
        accumulate=2,
    )


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """Folder of a run that was not interrupted."""
    folder = tmp_path_factory.mktemp("uninterrupted") / "run"
    run(interrupted_settings(folder))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("step", [1, 2, 3, 4], ids=lambda step: f"killed_in_step_{step}")
def test_killed_run_resumes_to_the_same_result(tmp_path, uninterrupted, step):
    """Killed in the first epoch, in its last step, in the first step of the second epoch, and in the middle of it."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        kill_at(step, monkeypatch)
        with pytest.raises(Killed):
            run(interrupted_settings(tmp_path / "run"))
    _, lines = run(interrupted_settings(tmp_path / "run"))
    assert f"resuming from {tmp_path / 'run' / 'last.ckpt'}, after {step} of 6 steps" in lines
    assert losses(tmp_path / "run") == losses(uninterrupted)
    assert curve(tmp_path / "run", "validate") == curve(uninterrupted, "validate")
    for name in ("best.safetensors", "last.safetensors"):
        assert_equal_weights(uninterrupted / name, tmp_path / "run" / name)


def test_finished_run_is_unchanged_and_continues_with_more_epochs(tmp_path):
    run(sensor_settings(tmp_path / "run", epochs=1))
    before = (tmp_path / "run" / "last.ckpt").stat().st_mtime_ns
    result, lines = run(sensor_settings(tmp_path / "run", epochs=1))
    assert lines == [f"{tmp_path / 'run'} is finished, after 3 steps: nothing to do; set more epochs to continue it"]
    assert (result.steps, result.weights.name) == (3, "best.safetensors")
    assert (tmp_path / "run" / "last.ckpt").stat().st_mtime_ns == before
    run(sensor_settings(tmp_path / "run", epochs=2))
    run(sensor_settings(tmp_path / "uninterrupted", epochs=2))
    assert losses(tmp_path / "run") == losses(tmp_path / "uninterrupted")


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{}, {"validate": None, "averaging": 0.9}], ids=["scored", "averaged"])
def test_run_killed_before_its_last_weights_writes_them_when_resumed(tmp_path, changes):
    def kill_at_the_end(epochs: int) -> None:
        with pytest.MonkeyPatch.context() as monkeypatch:
            monkeypatch.setattr(Checkpoints, "on_train_end", raise_killed)
            with pytest.raises(Killed):
                run(sensor_settings(tmp_path / "killed", epochs=epochs, **changes))

    run(sensor_settings(tmp_path / "uninterrupted", epochs=1, **changes))
    kill_at_the_end(epochs=1)
    result, lines = run(sensor_settings(tmp_path / "killed", epochs=1, **changes))
    assert "is finished, after 3 steps" in lines[0]
    assert result.weights.exists()
    assert_equal_weights(tmp_path / "uninterrupted" / "last.safetensors", tmp_path / "killed" / "last.safetensors")
    kill_at_the_end(epochs=2)
    run(sensor_settings(tmp_path / "killed", epochs=2, **changes))
    run(sensor_settings(tmp_path / "uninterrupted", epochs=2, **changes))
    assert_equal_weights(tmp_path / "uninterrupted" / "last.safetensors", tmp_path / "killed" / "last.safetensors")


def test_run_killed_before_its_first_checkpoint_starts_again(tmp_path):
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(Checkpoints, "on_train_epoch_end", raise_killed)
        with pytest.raises(Killed):
            run(sensor_settings(tmp_path / "run", epochs=1))
    assert (tmp_path / "run" / "best.safetensors").exists()
    with pytest.raises(ValueError, match=r"contains best\.safetensors but no last\.ckpt"):
        run(sensor_settings(tmp_path / "run", epochs=1, seed=1))
    result, _ = run(sensor_settings(tmp_path / "run", epochs=2))
    assert result.steps == 6


def test_resumed_run_reports_the_step_of_the_best_weights(tmp_path):
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


def test_folder_with_another_run_is_refused(tmp_path):
    run(sensor_settings(tmp_path / "run", epochs=1))
    with pytest.raises(
        ValueError,
        match=r"last\.ckpt belongs to another run: optimizer.kind is 'adamw' in the checkpoint and 'sgd' now; choose",
    ):
        run(sensor_settings(tmp_path / "run", epochs=2, optimizer="sgd"))
    settings = sensor_settings(tmp_path / "run", epochs=2)
    settings = change_settings(settings, train={"rows": [0, 16]})
    with pytest.raises(ValueError, match=r"another run: train\.rows is \[0, 24\] in the checkpoint and \[0, 16\] now"):
        run(settings)
    with pytest.raises(ValueError, match="its classifier has another architecture"):
        run(sensor_settings(tmp_path / "run", model={"kind": "classifier", "backbone": str(THIN), "in_channels": 2}))
    with pytest.raises(ValueError, match="its model is a classifier, not a detector"):
        run(detector_settings(tmp_path / "run"))
    assert not (tmp_path / "run" / "config.yaml").read_text().startswith("model:\n  kind: detector")


def test_checkpoint_with_unknown_settings_is_refused(tmp_path):
    run(sensor_settings(tmp_path / "run", epochs=1))
    path = tmp_path / "run" / "last.ckpt"
    state = torch.load(path, weights_only=True)
    state["res3d"]["settings"]["lookahead"] = 5
    torch.save(state, path)
    message = r"its settings are not valid in this version of res3d \(unknown key 'lookahead'.*; choose another out"
    with pytest.raises(ValueError, match=message):
        run(sensor_settings(tmp_path / "run", epochs=2))


def test_explicit_defaults_are_no_difference(tmp_path):
    run(sensor_settings(tmp_path / "run", epochs=1, optimizer="sgd"))
    model = {"dropout": 0.0, "head": "load"}
    settings = change_settings(sensor_settings(tmp_path / "run", epochs=2, optimizer="sgd", momentum=0.9), model=model)
    result, _ = run(settings)
    assert result.steps == 6
    with pytest.raises(ValueError, match=r"optimizer\.momentum is 0\.9 in the checkpoint and 0\.5 now"):
        run(change_settings(settings, optimizer={"kind": "sgd", "momentum": 0.5}))


def test_null_setting_equals_a_missing_one_and_hides_no_difference(tmp_path):
    settings = sensor_settings(tmp_path / "run", epochs=1)
    run(replace(settings, train={"kind": "sensor", **settings.train.given, "num_classes": None}))
    run(sensor_settings(tmp_path / "run", epochs=2))
    with pytest.raises(ValueError, match=r"optimizer\.kind is 'adamw' in the checkpoint and 'sgd' now"):
        run(sensor_settings(tmp_path / "run", epochs=2, optimizer="sgd"))


def test_tuples_equal_the_lists_of_a_configuration(tmp_path):
    run(change_settings(sensor_settings(tmp_path / "run", epochs=1), train={"rows": (0, 24)}))
    result, _ = run(sensor_settings(tmp_path / "run", epochs=2))
    assert result.steps == 6


def test_dataset_with_more_clips_is_refused(tmp_path):
    settings = change_settings(sensor_settings(tmp_path / "run", epochs=1), train={"rows": None})
    run(settings)
    for path in sensor_files(tmp_path).values():
        np.save(path, np.concatenate([np.load(path)] * 2))
    with pytest.raises(ValueError, match="it had 32 training clips, but the data now have 64; choose another out"):
        run(replace(settings, epochs=3))


def test_folder_with_weights_but_no_checkpoint_is_refused(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "best.safetensors").write_bytes(b"weights")
    with pytest.raises(ValueError, match=r"contains best\.safetensors but no last\.ckpt, so there is no run to resume"):
        run(sensor_settings(tmp_path / "run"))


def test_damaged_checkpoint_is_refused(tmp_path):
    run(sensor_settings(tmp_path / "run", epochs=1))
    path = tmp_path / "run" / "last.ckpt"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(WeightsError, match=r"last\.ckpt: not a checkpoint of res3d train, or a damaged one"):
        run(sensor_settings(tmp_path / "run", epochs=2))
    torch.save({"state_dict": {}}, path)
    with pytest.raises(WeightsError, match="res3d did not write it"):
        run(sensor_settings(tmp_path / "run", epochs=2))


@pytest.mark.parametrize(
    ("stopped", "patience", "comparable", "stops"),
    [
        (2, 2, True, True),
        (2, 1, True, True),
        (2, 3, True, False),
        (2, None, True, False),
        (2, 2, False, False),
        (None, 2, True, False),
    ],
)
def test_early_stopping_of_a_checkpoint_applies_to_equal_or_smaller_patience(
    tmp_path, stopped, patience, comparable, stops
):
    checkpoint = Checkpoint(
        path=tmp_path / "last.ckpt", step=9, best=0.5, best_step=3, stopped=stopped, comparable=comparable
    )
    assert checkpoint.stops(sensor_settings(tmp_path / "run", early_stopping=patience)) is stops
