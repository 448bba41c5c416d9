"""Training runs that take about a second."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
from helpers.detectors import SMALL, THIN

from res3d.training import TrainingResult, TrainingSettings, train

SENSOR_SPEC = """
name: tiny_sensor
in_channels: 2
stem: {conv: {kernel: [1, 1, 3]}, width: 4, stride: [1, 1, 1]}
stages:
- {width: 4, blocks: [{convs: [{kernel: [1, 1, 3]}, {kernel: [1, 1, 3]}]}]}
- {width: 8, stride: [1, 1, 2], blocks: [{convs: [{kernel: [1, 1, 3]}, {kernel: [1, 1, 3]}]}]}
"""


def change_settings(settings: TrainingSettings, **changes: Any) -> TrainingSettings:
    """Return a copy of settings with changes.

    For ``model``, ``train`` and ``validate``, a dictionary changes only its keys; None removes a key.
    """
    values = settings.to_plain()
    for name, change in changes.items():
        if isinstance(change, dict) and name in ("model", "train", "validate"):
            change = {key: value for key, value in {**values[name], **change}.items() if value is not None}
        values[name] = change
    return TrainingSettings(**values)


def detector_settings(out: Path, **changes: Any) -> TrainingSettings:
    """Return settings of a small detector trained on eight clips of 32×32."""
    small = {**SMALL, "min_size": 32, "max_size": 32, "anchor_sizes": [8, 12, 16, 24, 32]}
    defaults = {
        "model": {"kind": "detector", "backbone": str(THIN), "mask": False, **small},
        "train": {"kind": "synthetic", "num_clips": 8, "length": 2, "side": 32},
        "validate": {"kind": "synthetic", "num_clips": 3, "length": 2, "side": 32, "seed": 9},
        "out": str(out),
        "epochs": 2,
        "batch_size": 2,
        "log_every": 1,
        "accelerator": "cpu",
    }
    return TrainingSettings(**{**defaults, **changes})


def sensor_settings(out: Path, **changes: Any) -> TrainingSettings:
    """Return settings of a classifier of sensor windows whose classes are easy to separate."""
    write_sensor(out.parent)
    defaults = {
        "model": {"kind": "classifier", "backbone": str(out.parent / "sensor.yaml")},
        "train": {"kind": "sensor", **sensor_files(out.parent), "rows": [0, 24]},
        "validate": {"kind": "sensor", **sensor_files(out.parent), "rows": [24, 32]},
        "out": str(out),
        "epochs": 3,
        "batch_size": 8,
        "log_every": 1,
        "learning_rate": 0.01,
        "accelerator": "cpu",
    }
    return TrainingSettings(**{**defaults, **changes})


def sensor_files(folder: Path) -> dict[str, str]:
    return {"windows": str(folder / "windows.npy"), "labels": str(folder / "labels.npy")}


def write_sensor(folder: Path) -> None:
    """Write 32 windows of two channels and three classes (sine waves of different frequencies), and a backbone spec."""
    if (folder / "sensor.yaml").exists():
        return  # rewriting the files would change the fingerprint of the dataset
    rng = np.random.default_rng(0)
    labels = np.arange(32) % 3
    wave = np.sin(np.arange(16) * (1 + labels[:, None]) * 0.5 + rng.uniform(0, 6, (32, 1)))
    windows = np.stack([wave, -wave], axis=1) + rng.normal(0, 0.05, (32, 2, 16))
    np.save(folder / "windows.npy", windows.astype(np.float32))
    np.save(folder / "labels.npy", labels)
    (folder / "sensor.yaml").write_text(SENSOR_SPEC)


def run(settings: TrainingSettings) -> tuple[TrainingResult, list[str]]:
    """Train; return the result and the logged lines."""
    lines: list[str] = []
    return train(settings, log=lines.append), lines


def curve(out: Path, name: str = "train") -> list[dict[str, float]]:
    """Return the rows of a run's curve as dictionaries."""
    with (out / f"{name}.csv").open() as file:
        return [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(file)]


def losses(out: Path) -> list[float]:
    return [row["loss"] for row in curve(out)]
