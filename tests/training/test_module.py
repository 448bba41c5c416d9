"""Training steps and validation inside a run."""

import numpy as np
import pytest
import torch
from helpers.runs import change_settings, curve, detector_settings, losses, run, sensor_settings
from torch import nn

import res3d
from res3d.training.plan import make_plan

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    """Folder of a run of a sensor classifier with the default settings: three epochs of three steps."""
    folder = tmp_path_factory.mktemp("plain") / "run"
    run(sensor_settings(folder))
    return folder


def last_weights(folder) -> dict[str, torch.Tensor]:
    return res3d.load_model(folder / "last.safetensors").state_dict()


@pytest.mark.slow
def test_frozen_stages_keep_their_weights_until_they_are_unfrozen(tmp_path):
    clips = {"kind": "synthetic", "num_clips": 4, "length": 2, "side": 32}
    changes = {"validate": None, "freeze_at": 3, "unfreeze": {1: 1}, "epochs": 2, "train": clips}
    start = make_plan(detector_settings(tmp_path / "x", **changes)).task.model.state_dict()
    run(detector_settings(tmp_path / "one_epoch", **{**changes, "unfreeze": {}, "epochs": 1}))
    run(detector_settings(tmp_path / "two_epochs", **changes))

    def is_equal(a, b, stage):
        return all(torch.equal(a[name], b[name]) for name in a if name.startswith(f"backbone.{stage}."))

    stages = ("stem", "conv2", "conv3", "conv4")
    one, two = last_weights(tmp_path / "one_epoch"), last_weights(tmp_path / "two_epochs")
    assert [is_equal(start, one, stage) for stage in stages] == [True, True, True, False]
    assert [is_equal(start, two, stage) for stage in stages] == [True, False, False, False]


def test_gradient_is_clipped_to_its_norm(tmp_path):
    """A step of SGD with learning rate 1 has the length of the gradient."""
    changes = {"optimizer": "sgd", "momentum": 0.0, "learning_rate": 1.0, "validate": None, "epochs": 1}
    settings = sensor_settings(tmp_path / "run", **changes, batch_size=24, clip_gradient=1e-3)
    before = make_plan(settings).task.model.state_dict()
    run(settings)
    after = last_weights(tmp_path / "run")
    step = torch.cat([(after[name] - before[name]).flatten() for name in before if not name.endswith(STATISTICS)])
    assert float(step.norm()) == pytest.approx(1e-3, rel=1e-3)


def test_clips_are_normalized_with_mean_and_std(tmp_path):
    """The run equals one with windows that are normalized beforehand."""
    run(sensor_settings(tmp_path / "run", epochs=2, mean=[0.5, -0.25], std=[2.0, 4.0]))
    settings = sensor_settings(tmp_path / "normalized", epochs=2)
    windows = np.load(tmp_path / "windows.npy")
    normalized = (windows - np.array([[0.5], [-0.25]], np.float32)) / np.array([[2.0], [4.0]], np.float32)
    np.save(tmp_path / "normalized.npy", normalized)
    files = {"windows": str(tmp_path / "normalized.npy")}
    run(change_settings(settings, train=files, validate=files))
    assert losses(tmp_path / "run") == pytest.approx(losses(tmp_path / "normalized"), rel=1e-4)
    scores, expected = (curve(tmp_path / name, "validate")[-1] for name in ("run", "normalized"))
    assert scores == pytest.approx(expected, rel=1e-4)


def test_scores_are_computed_with_averaged_weights(tmp_path, plain):
    """An average with a decay of almost 1 stays at the weights of the first step."""
    run(sensor_settings(tmp_path / "averaged", averaging=1 - 1e-9, epochs=3))
    averaged = curve(tmp_path / "averaged", "validate")
    assert len(averaged) == 3
    assert len({row["loss"] for row in averaged}) == 1
    assert len({row["loss"] for row in curve(plain, "validate")}) == 3


def test_bfloat16_trains_on_a_cpu(tmp_path, plain):
    run(sensor_settings(tmp_path / "run", precision="bf16"))
    assert losses(tmp_path / "run") == pytest.approx(losses(plain), rel=0.05)
    assert losses(tmp_path / "run") != losses(plain)


def test_loss_that_is_not_finite_ends_the_run(tmp_path, monkeypatch):
    settings = sensor_settings(tmp_path / "run")
    original = nn.Linear.forward
    monkeypatch.setattr(nn.Linear, "forward", lambda self, x: original(self, x) * float("nan"))
    with pytest.raises(FloatingPointError, match=r"step 0: the loss is not finite \(loss_classifier nan\)"):
        run(settings)
