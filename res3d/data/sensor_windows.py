"""Windows of sensor signals as clips of one frame and one row."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from res3d.data.dataset_info import DatasetInfo
from res3d.data.fingerprint import hash_files
from res3d.structures.arrays import Array


@dataclass(frozen=True, kw_only=True, slots=True)
class SensorWindows:
    """Windows [C, 1, 1, W] of C channels with W samples, and their classes from 0.

    Raises:
        FileNotFoundError: a file does not exist.
        ValueError: a file has another shape or type, or a label or ``rows`` is out of range; when a window is read: it
            contains a value that is not finite.
    """

    task: ClassVar[str] = "classifier"

    windows: str
    """An ``.npy`` file of numbers [N, C, W], or [N, W] for one channel; it is memory-mapped."""
    labels: str
    """An ``.npy`` file of integers [N]."""
    num_classes: int | None = None
    """Number of classes; None takes one more than the largest label."""
    rows: tuple[int, int] | None = None
    """Range [start, stop) of the windows to use; None uses all."""
    _windows: Array = field(init=False, repr=False, compare=False)
    _labels: NDArray[np.int64] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        windows, labels = _load(self.windows), _load(self.labels)
        if windows.ndim == 2:
            windows = windows[:, None]
        if windows.ndim != 3 or not np.issubdtype(windows.dtype, np.number):
            raise ValueError(f"{self.windows}: must be numbers [N, C, W] or [N, W], not {_describe(windows)}")
        if labels.shape != windows.shape[:1] or not np.issubdtype(labels.dtype, np.integer):
            raise ValueError(f"{self.labels}: must be integers [{len(windows)}], not {_describe(labels)}")
        start, stop = self.rows or (0, len(windows))
        if not 0 <= start < stop <= len(windows):
            raise ValueError(f"rows must be a range [start, stop) within the {len(windows)} windows, not {self.rows}")
        classes = int(labels.max()) + 1 if self.num_classes is None else self.num_classes
        if labels.min() < 0 or labels.max() >= classes:
            raise ValueError(f"{self.labels}: labels must be in [0, {classes}), not {labels.min()} to {labels.max()}")
        object.__setattr__(self, "num_classes", classes)
        object.__setattr__(self, "_windows", windows[start:stop])
        object.__setattr__(self, "_labels", np.asarray(labels[start:stop], np.int64))

    @property
    def info(self) -> DatasetInfo:
        """The number of classes; the classes have no names."""
        assert self.num_classes is not None  # set in __post_init__
        labels = set(self._labels.tolist())
        empty = tuple(f"class {label}" for label in range(self.num_classes) if label not in labels)
        return DatasetInfo(num_classes=self.num_classes, empty=empty)

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, number: int) -> tuple[Tensor, int]:
        window = np.array(self._windows[number], np.float32)
        if not np.isfinite(window).all():
            raise ValueError(f"{self.windows}: window {number} is not finite")
        return torch.from_numpy(window)[:, None, None], int(self._labels[number])

    def fingerprint(self) -> str:
        """Return a hash of the settings, of the state of both files and of the labels."""
        return hash_files([Path(self.windows), Path(self.labels)], self, self._labels.tolist())


def _load(path: str) -> Array:
    """Open an ``.npy`` file as a memory-mapped array with at least one row."""
    if not Path(path).exists():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        array: Array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # a damaged file can raise any exception
        raise ValueError(f"{path}: not an .npy file of numbers ({error})") from None
    if not isinstance(array, np.ndarray) or not len(array):
        raise ValueError(f"{path}: not an .npy file with at least one row")
    return array


def _describe(array: Array) -> str:
    """Return the type and shape of an array as text."""
    return f"{array.dtype} {list(array.shape)}"
