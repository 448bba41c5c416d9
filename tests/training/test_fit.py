"""Execution of a run with Lightning: devices, warnings, interruptions and lost processes."""

import logging
import signal
import warnings
from types import SimpleNamespace

import pytest
import torch
from helpers.runs import run, sensor_settings
from pytorch_lightning.utilities import rank_zero_only
from pytorch_lightning.utilities.exceptions import MisconfigurationException

import res3d
from res3d.training import fit
from res3d.training.plan import make_plan
from res3d.training.resume import find_checkpoint


def test_fit_returns_the_best_score_and_the_steps(tmp_path):
    plan = make_plan(sensor_settings(tmp_path / "run", epochs=2, learning_rate=1e-9))
    (tmp_path / "run").mkdir()
    result = fit.fit(plan, None, log=[].append)
    assert (result.best_step, result.steps) == (3, 6)
    assert 0 <= result.best <= 1
    assert (tmp_path / "run" / "best.safetensors").exists()


def test_fit_without_validation_has_no_score(tmp_path):
    plan = make_plan(sensor_settings(tmp_path / "run", epochs=1, validate=None))
    (tmp_path / "run").mkdir()
    assert fit.fit(plan, None, log=[].append) == fit.FitResult(best=None, best_step=None, steps=3)


def test_export_last_writes_the_weights_of_the_checkpoint(tmp_path):
    settings = sensor_settings(tmp_path / "run", epochs=1, validate=None, averaging=0.5)
    run(settings)
    path = tmp_path / "run" / "last.safetensors"
    expected = res3d.load_model(path).state_dict()
    path.unlink()
    plan = make_plan(settings)
    fit.export_last(plan, find_checkpoint(settings, plan.description))
    assert all(torch.equal(value, expected[name]) for name, value in res3d.load_model(path).state_dict().items())


def test_sync_batch_norm_needs_a_gpu(tmp_path):
    model = {"kind": "classifier", "backbone": str(tmp_path / "sensor.yaml"), "norm": "sync_batch"}
    with pytest.raises(ValueError, match="norm 'sync_batch' needs a GPU; use group, frozen_batch or batch on a CPU"):
        run(sensor_settings(tmp_path / "run", model=model))


def test_half_precision_needs_a_gpu(tmp_path):
    with pytest.raises(ValueError, match="precision 16 needs a GPU; use 32 or bf16 on a CPU"):
        run(sensor_settings(tmp_path / "run", precision=16))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_missing_device_is_refused(tmp_path):
    with pytest.raises(ValueError, match="No supported gpu backend found"):
        run(sensor_settings(tmp_path / "run", accelerator="gpu"))


@pytest.mark.parametrize(("rank", "is_first"), [(None, True), (0, True), (1, False)])
def test_first_process_has_rank_0(monkeypatch, rank, is_first):
    monkeypatch.setattr(rank_zero_only, "rank", rank)
    assert fit.is_first_process() is is_first


def test_quiet_ignores_expected_warnings_only():
    with fit._quiet():
        warnings.warn("GPU available but not used", stacklevel=1)
        with pytest.raises(UserWarning, match="something else"):  # pytest turns warnings into errors
            warnings.warn("something else", stacklevel=1)


def test_quiet_restores_log_levels_and_raises_valueerror_for_misconfiguration():
    logger = logging.getLogger("pytorch_lightning")
    level = logger.level

    def fail() -> None:
        with fit._quiet():
            assert logger.level == logging.ERROR
            raise MisconfigurationException("one line\n  of text")

    with pytest.raises(ValueError, match=r"^one line of text$"):
        fail()
    assert logger.level == level


def trainer(*, interrupted: bool = False, world_size: int = 1) -> SimpleNamespace:
    return SimpleNamespace(interrupted=interrupted, world_size=world_size)


def test_interrupted_trainer_raises_keyboardinterrupt_and_restores_the_handler():
    handler = signal.getsignal(signal.SIGINT)

    def exit_as_lightning_does() -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        raise SystemExit(1)

    with pytest.raises(KeyboardInterrupt):
        fit._run(trainer(interrupted=True), exit_as_lightning_does)
    assert signal.getsignal(signal.SIGINT) is handler
    with pytest.raises(SystemExit):
        fit._run(trainer(), exit_as_lightning_does)
    assert signal.getsignal(signal.SIGINT) is handler


@pytest.mark.parametrize(
    ("message", "world_size", "error"),
    [
        ("[gloo/transport/tcp/pair.cc] Connection closed by peer", 2, ConnectionError),
        ("[gloo/transport/tcp/pair.cc] Connection closed by peer", 1, RuntimeError),
        ("shapes do not match", 2, RuntimeError),
    ],
)
def test_lost_process_raises_connectionerror(message, world_size, error):
    def fail() -> None:
        raise RuntimeError(message)

    with pytest.raises((ConnectionError, RuntimeError)) as raised:
        fit._run(trainer(world_size=world_size), fail)
    assert type(raised.value) is error
