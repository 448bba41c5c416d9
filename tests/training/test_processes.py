"""A run over two processes, as the command line starts them, against one process with the same batches."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from helpers.paths import ROOT
from helpers.runs import curve, detector_settings, losses, run, sensor_settings

import res3d
from res3d.training import TrainingSettings
from res3d.training.batch_sampler import BatchSampler

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def write_for_two(settings: TrainingSettings) -> str:
    config = Path(settings.out).with_suffix(".yaml")
    config.write_text(yaml.safe_dump({**settings.to_plain(), "devices": 2, "accumulate": 1}))
    return str(config)


def start_two(*arguments: str) -> list[subprocess.Popen[str]]:
    """Both processes started by hand, as torchrun would."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    facts = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "NODE_RANK": "0"}
    return [
        subprocess.Popen(
            [sys.executable, *arguments],
            env={**ENVIRONMENT, **facts, "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(2)
    ]


def run_in_two(configs: list[str]) -> None:
    """All of them in the same processes: importing everything takes longer than the runs."""
    processes = start_two(str(ROOT / "tests" / "helpers" / "train_from_settings.py"), *configs)
    said = [process.communicate(timeout=240)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said


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
    """A folder with a run of each norm in one process, and the same in two.

    SGD, whose steps are as close as the gradients; stages that are frozen at first are unfrozen on the way.
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
        configs.append(write_for_two(sensor_settings(folder / f"two_{norm}", **changes)))
    changes = {"freeze_at": 2, "views": 2, "epochs": 6, "validate": None, "accumulate": 2, "optimizer": "sgd"}
    run(sensor_settings(folder / "one_cache", **changes))
    configs.append(write_for_two(sensor_settings(folder / "two_cache", cache=str(folder / "cache"), **changes)))
    run_in_two(configs)
    return folder


def test_two_processes_share_a_cache(runs):
    """Each keeps the views that it loads, and finds those of the other in the second round."""
    assert_same_run(runs / "one_cache", runs / "two_cache")
    assert len(list((runs / "cache").rglob("*.safetensors"))) == 2 * 24


@pytest.mark.parametrize("norm", NORMS)
def test_two_processes_train_as_one_does(runs, norm):
    one, two = runs / f"one_{norm}", runs / f"two_{norm}"
    assert_same_run(one, two)
    if norm != "batch":  # whose statistics, of the first process's parts alone, are another matter
        for before, after in zip(curve(one, "validate"), curve(two, "validate"), strict=True):
            assert after == pytest.approx(before, rel=1e-3)


def test_an_error_of_one_process_is_a_line_of_each(tmp_path):
    config = write_for_two(sensor_settings(tmp_path / "run", epochs=1, validate=None))
    windows = np.load(tmp_path / "windows.npy")
    bad = BatchSampler(num_clips=24, batch_size=8, processes=2, process=1).rest_of_epoch(1)[0][0]
    windows[bad] = np.nan
    np.save(tmp_path / "windows.npy", windows)
    first, second = start_two(str(ROOT / "tools" / "train.py"), "--config", config)
    said = [process.communicate(timeout=240)[0].splitlines()[-1] for process in (first, second)]
    assert said == [
        "res3d train: another process of the run has failed; its own message says why",
        f"res3d train: error: {tmp_path / 'windows.npy'}: window {bad} is not finite",
    ]
    assert (first.returncode, second.returncode) == (1, 2)


def test_the_command_trains_a_detector_in_two_processes(tmp_path):
    """Frozen stages, heads without a positive in some parts, five clips to score for two processes."""
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
    config = write_for_two(detector_settings(tmp_path / "two", **changes))
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "train.py"), "--config", config],
        capture_output=True,
        text=True,
        timeout=240,
        env=ENVIRONMENT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    for line in ("8 clips, 2 steps of 4 an epoch", "best.safetensors: the best weights of step 2, score"):
        assert done.stdout.count(line) == 1, "one process speaks"
    assert_same_run(tmp_path / "one", tmp_path / "two")
    one, two = (curve(tmp_path / name, "validate") for name in ("one", "two"))
    assert [row["step"] for row in two] == [2]
    assert two[0] == pytest.approx(one[0], abs=1e-3)
