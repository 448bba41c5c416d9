import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from helpers.paths import ROOT
from helpers.runs import curve, losses, run, sensor_settings

import res3d
from res3d.cli.command import read_command
from res3d.cli.main import main
from res3d.cli.train import TrainCommand


def config_of(settings) -> Path:
    path = Path(settings.out).with_suffix(".yaml")
    path.write_text(yaml.safe_dump(settings.to_plain()))
    return path


def start(config: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(ROOT / "tools" / "train.py"), "--config", str(config)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )


def wait_for_rows(process: subprocess.Popen[str], path: Path, rows: int) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        if path.exists() and len(path.read_text().splitlines()) > rows:
            return
        time.sleep(0.002)
    raise AssertionError(f"no {rows} rows in {path}: {process.communicate()}")


def test_configuration_trains_and_flags_override_it(tmp_path, capsys):
    config = config_of(sensor_settings(tmp_path / "run"))
    flags = ["--epochs", "2", "--model.dropout", "0.25", "--train.rows", "[0, 16]", "--model.norm=group"]
    flags += ["--optimizer", "sgd", "--optimizer.momentum", "0.8"]
    assert main(["train", "--config", str(config), *flags]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("classifier: tiny_sensor, ")
    assert lines[1] == "train: 16 clips, 2 steps of 8 per epoch, 4 in all"
    assert lines[-1].startswith(f"{tmp_path / 'run' / 'best.safetensors'}: the best weights of step ")
    model = res3d.load_model(tmp_path / "run" / "best.safetensors")
    assert model.dropout.p == 0.25
    assert isinstance(model.backbone.stem.norm, torch.nn.GroupNorm)
    written = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())
    assert (written["epochs"], written["train"]["rows"]) == (2, [0, 16])
    assert written["optimizer"] == {"kind": "sgd", "momentum": 0.8}
    assert main(["train", "--config", str(tmp_path / "run" / "config.yaml")]) == 0
    assert "is finished, after 4 steps" in capsys.readouterr().out


@pytest.mark.parametrize(("value", "precision"), [(32, "32"), ("32", "32"), ("bf16", "bf16"), ("bfloat16", "bf16")])
def test_precision_is_read_as_number_or_text(tmp_path, value, precision):
    config = config_of(sensor_settings(tmp_path / "run", epochs=1))
    config.write_text(yaml.safe_dump({**yaml.safe_load(config.read_text()), "precision": value}))
    assert main(["train", "--config", str(config)]) == 0
    assert yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["precision"] == precision
    assert main(["train", "--config", str(config), "--precision", str(value)]) == 0
    assert main(["train", "--config", str(config), "--dtype", str(value), "--device", "cpu"]) == 0


def test_dtype_and_device_are_accepted_and_old_flags_print_them(tmp_path, capsys):
    config = ["--config", str(config_of(sensor_settings(tmp_path / "run")))]
    new = read_command(TrainCommand, "res3d train", [*config, "--dtype", "bfloat16", "--device", "gpu"])
    assert (new.precision, new.accelerator) == ("bf16", "gpu")
    assert capsys.readouterr().err == ""
    old = read_command(TrainCommand, "res3d train", [*config, "--precision", "bf16", "--accelerator", "gpu"])
    assert old == new
    assert capsys.readouterr().err.splitlines() == [
        "res3d train: --precision is now called --dtype",
        "res3d train: --accelerator is now called --device",
    ]


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_killed_run_resumes_to_the_same_result(tmp_path):
    """SIGKILL in the middle of an epoch, after which the process cannot write anything."""
    changes = {"epochs": 14, "checkpoint_every": 1, "schedule": "cosine", "averaging": 0.9}
    run(sensor_settings(tmp_path / "whole", **changes))
    config = config_of(sensor_settings(tmp_path / "run", **changes))
    process = start(config)
    wait_for_rows(process, tmp_path / "run" / "train.csv", 7)
    process.kill()
    process.communicate()
    assert not (tmp_path / "run" / "last.safetensors").exists()
    assert main(["train", "--config", str(config)]) == 0
    assert losses(tmp_path / "run") == losses(tmp_path / "whole")
    assert curve(tmp_path / "run", "validate") == curve(tmp_path / "whole", "validate")
    models = [res3d.load_model(tmp_path / name / "best.safetensors").state_dict() for name in ("run", "whole")]
    assert all(torch.equal(models[0][name], models[1][name]) for name in models[0])


def test_ctrl_c_writes_a_checkpoint(tmp_path, capsys, ctrl_c):
    config = config_of(sensor_settings(tmp_path / "run", epochs=4000))
    curve_file = tmp_path / "run" / "train.csv"
    ctrl_c(lambda: curve_file.exists() and len(curve_file.read_text().splitlines()) > 4)
    assert main(["train", "--config", str(config)]) == 130
    errors = capsys.readouterr().err
    assert errors.strip().endswith("res3d train: interrupted; finished files are kept")
    assert "Traceback" not in errors
    assert (tmp_path / "run" / "last.ckpt").exists()


@pytest.mark.parametrize(
    ("lines", "code", "message"),
    [
        ("lerning_rate: 1", 2, "unknown key 'lerning_rate'; did you mean 'learning_rate'?"),
        ("epochs: many", 2, "epochs: expected a whole number, not 'many'"),
        ("optimizer: lion", 2, "optimizer.kind must be one of adamw, adam, sgd, not 'lion'"),
        ("batch_size: 0", 2, "batch_size must be a whole number ≥ 1, not 0"),
        (
            "model: {kind: classifier, backbone: r3d_18, widht: 1}",
            2,
            "model: unknown key 'widht'; did you mean 'width'?",
        ),
        ("augment: {flop: 1}", 2, "augment: unknown key 'flop'; did you mean 'flip'?"),
        ("train: {kind: sensor, windos: x}", 2, "train: unknown key 'windos'; did you mean 'windows'?"),
        ("model: {kind: classifier}", 2, "model: key 'backbone' is missing"),
        ("train: {kind: sensor, windows: no.npy, labels: no.npy}", 1, "no.npy: no such file"),
        ("model: {kind: classifier, backbone: r3d_18, weights: no.pth}", 1, "no.pth: no such weights file"),
    ],
)
def test_invalid_input_gives_one_line_and_its_exit_code(tmp_path, capsys, lines, code, message):
    model = {"kind": "classifier", "backbone": "r3d_18"}
    config = tmp_path / "c.yaml"
    sensor = sensor_settings(tmp_path / "run").to_plain()
    settings = {"model": model, "train": sensor["train"], "out": sensor["out"], **yaml.safe_load(lines)}
    config.write_text(yaml.safe_dump(settings))
    assert main(["train", "--config", str(config)]) == code
    error = capsys.readouterr().err
    assert error.startswith("res3d train: ")
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("workers", ["0", "1"])
def test_error_in_a_data_worker_gives_one_line(tmp_path, capsys, workers):
    config = config_of(sensor_settings(tmp_path / "run"))
    windows = np.load(tmp_path / "windows.npy")
    windows[7] = np.nan
    np.save(tmp_path / "windows.npy", windows)
    assert main(["train", "--config", str(config), "--workers", workers]) == 2
    error = capsys.readouterr().err
    assert error == f"res3d train: error: {tmp_path / 'windows.npy'}: window 7 is not finite\n"


def test_error_names_missing_lightning(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "pytorch_lightning", None)
    for name in [name for name in sys.modules if name.startswith("res3d.training.fit")]:
        monkeypatch.delitem(sys.modules, name)
    assert main(["train", "--config", str(config_of(sensor_settings(tmp_path / "run")))]) == 1
    assert 'training needs PyTorch Lightning: pip install "res3d[train]"' in capsys.readouterr().err
