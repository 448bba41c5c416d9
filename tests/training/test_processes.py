"""Runs over two processes equal runs with the same batches in one process."""

import socket
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from helpers.paths import ROOT
from helpers.runs import curve, detector_settings, losses, run, sensor_settings
from helpers.scripts import ScriptProcess

import res3d
from res3d.training import TrainingSettings
from res3d.training.batch_sampler import BatchSampler

TRAIN = ROOT / "tools" / "train.py"
TRAIN_FROM_SETTINGS = ROOT / "tests" / "helpers" / "train_from_settings.py"


def write_config_for_two(settings: TrainingSettings) -> str:
    """Write settings of the same run in two processes."""
    config = Path(settings.out).with_suffix(".yaml")
    config.write_text(yaml.safe_dump({**settings.to_plain(), "devices": 2, "accumulate": 1}))
    return str(config)


def run_in_two(folder: Path, script: Path, *arguments: str) -> list[tuple[int, str]]:
    """Run a script in two processes with the environment of torchrun; return their exit codes and outputs."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "NODE_RANK": "0"}
    processes = [
        ScriptProcess(script, arguments, {**environment, "LOCAL_RANK": str(rank)}, folder / f"output_{rank}.txt")
        for rank in range(2)
    ]
    return [process.wait(240) for process in processes]


def parameters(out: Path) -> dict[str, torch.Tensor]:
    return dict(res3d.load_model(out / "last.safetensors").named_parameters())


def assert_same_run(one: Path, two: Path) -> None:
    assert losses(two) == pytest.approx(losses(one), rel=1e-4)
    a, b = parameters(one), parameters(two)
    for name in a:
        assert torch.allclose(a[name], b[name], rtol=1e-3, atol=1e-5), name


NORMS = ("frozen_batch", "group", "batch")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Folder with one run per norm in one process, and the same runs in two processes.

    The steps of SGD differ no more than the gradients. Frozen stages are unfrozen during the run.
    """
    folder = tmp_path_factory.mktemp("runs")
    configs = []
    for norm in NORMS:
        changes = {
            "model": {"kind": "classifier", "backbone": str(folder / "sensor.yaml"), "norm": norm, "dropout": 0.2},
            "optimizer": "sgd",
            "learning_rate": 0.05,
            "accumulate": 2,
            "freeze_at": 2,
            "unfreeze": {1: 1, 2: 0},
            "averaging": 0.5,
        }
        run(sensor_settings(folder / f"one_{norm}", **changes))
        configs.append(write_config_for_two(sensor_settings(folder / f"two_{norm}", **changes)))
    changes = {"freeze_at": 2, "views": 2, "epochs": 4, "validate": None, "accumulate": 2, "optimizer": "sgd"}
    run(sensor_settings(folder / "one_cache", **changes))
    configs.append(write_config_for_two(sensor_settings(folder / "two_cache", cache=str(folder / "cache"), **changes)))
    results = run_in_two(folder, TRAIN_FROM_SETTINGS, *configs)
    assert [code for code, _ in results] == [0, 0], results
    return folder


@pytest.mark.slow
def test_two_processes_share_a_cache(runs):
    """Each process writes the views that it loads, and later reads the views of the other one."""
    assert_same_run(runs / "one_cache", runs / "two_cache")
    assert len(list((runs / "cache").rglob("*.safetensors"))) == 2 * 24


@pytest.mark.slow
@pytest.mark.parametrize("norm", NORMS)
def test_two_processes_train_like_one(runs, norm):
    one, two = runs / f"one_{norm}", runs / f"two_{norm}"
    assert_same_run(one, two)
    if norm != "batch":  # its statistics are computed from the parts of the first process only
        for before, after in zip(curve(one, "validate"), curve(two, "validate"), strict=True):
            assert after == pytest.approx(before, rel=1e-3)


@pytest.mark.slow
def test_error_in_one_process_ends_both_with_one_line(tmp_path):
    config = write_config_for_two(sensor_settings(tmp_path / "run", epochs=1, validate=None))
    windows = np.load(tmp_path / "windows.npy")
    bad = BatchSampler(num_clips=24, batch_size=8, processes=2, process=1).rest_of_epoch(1)[0][0]
    windows[bad] = np.nan
    np.save(tmp_path / "windows.npy", windows)
    results = run_in_two(tmp_path, TRAIN, "--config", config)
    assert [output.splitlines()[-1] for _, output in results] == [
        "res3d train: another process of the run failed; see the error message of that process",
        f"res3d train: error: {tmp_path / 'windows.npy'}: window {bad} is not finite",
    ]
    assert [code for code, _ in results] == [1, 2]


@pytest.mark.slow
def test_command_starts_a_second_process_and_trains_a_detector(tmp_path):
    """Frozen stages, parts of batches without a positive proposal, five validation clips for two processes.

    Lightning starts the second process with the command line of the first.
    """
    changes = {
        "optimizer": "sgd",
        "learning_rate": 1e-3,
        "accumulate": 2,
        "freeze_at": 2,
        "batch_size": 4,
        "epochs": 1,
        "validate": {"kind": "synthetic", "num_clips": 5, "length": 2, "side": 32, "seed": 9},
    }
    run(detector_settings(tmp_path / "one", **changes))
    config = write_config_for_two(detector_settings(tmp_path / "two", **changes))
    code, output = ScriptProcess(TRAIN, ["--config", config], {"PYTHONPATH": str(ROOT)}, tmp_path / "o.txt").wait(240)
    assert code == 0, output
    for line in ("8 clips, 2 steps of 4 per epoch", "best.safetensors: the best weights of step 2, score"):
        assert output.count(line) == 1, "only the first process logs"
    assert_same_run(tmp_path / "one", tmp_path / "two")
    one, two = (curve(tmp_path / name, "validate") for name in ("one", "two"))
    assert [row["step"] for row in two] == [2]
    assert two[0] == pytest.approx(one[0], abs=1e-3)
