"""A tiny CIFAR-10 in torchvision's layout, with sums of its own in the place of the real ones."""

import hashlib
import pickle
from pathlib import Path

import numpy as np
from torchvision.datasets import CIFAR10


def write_cifar10(folder: Path, monkeypatch, *, train: int = 20, test: int = 10) -> None:
    """Pictures whose brightness tells their class."""
    base = folder / CIFAR10.base_folder
    base.mkdir(parents=True)
    rng = np.random.default_rng(0)
    sums = {}
    for name, count in (("data_batch_1", train), ("test_batch", test)):
        labels = [n % 10 for n in range(count)]
        pixels = rng.integers(0, 25, (count, 3072)) + 25 * np.array(labels)[:, None]
        sums[name] = _dump(base / name, {"data": pixels.astype(np.uint8), "labels": labels})
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    sums["batches.meta"] = _dump(base / "batches.meta", {"label_names": names})
    monkeypatch.setattr(CIFAR10, "train_list", [["data_batch_1", sums["data_batch_1"]]])
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", sums["test_batch"]]])
    monkeypatch.setattr(CIFAR10, "meta", {**CIFAR10.meta, "md5": sums["batches.meta"]})


def _dump(path: Path, content: object) -> str:
    path.write_bytes(pickle.dumps(content))
    return hashlib.md5(path.read_bytes()).hexdigest()
