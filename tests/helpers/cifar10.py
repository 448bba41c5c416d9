"""A tiny CIFAR-10 in torchvision's layout, with its own checksums instead of the real ones."""

import hashlib
import pickle
from pathlib import Path

import numpy as np
from torchvision.datasets import CIFAR10


def write_cifar10(folder: Path, monkeypatch, *, train: int = 20, test: int = 10) -> None:
    """Write images whose brightness determines their class, and make torchvision accept their checksums."""
    base = folder / CIFAR10.base_folder
    base.mkdir(parents=True)
    rng = np.random.default_rng(0)
    checksums = {}
    for name, count in (("data_batch_1", train), ("test_batch", test)):
        labels = [n % 10 for n in range(count)]
        pixels = rng.integers(0, 25, (count, 3072)) + 25 * np.array(labels)[:, None]
        checksums[name] = _dump(base / name, {"data": pixels.astype(np.uint8), "labels": labels})
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    checksums["batches.meta"] = _dump(base / "batches.meta", {"label_names": names})
    monkeypatch.setattr(CIFAR10, "train_list", [["data_batch_1", checksums["data_batch_1"]]])
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", checksums["test_batch"]]])
    monkeypatch.setattr(CIFAR10, "meta", {**CIFAR10.meta, "md5": checksums["batches.meta"]})


def _dump(path: Path, content: object) -> str:
    path.write_bytes(pickle.dumps(content))
    return hashlib.md5(path.read_bytes()).hexdigest()
