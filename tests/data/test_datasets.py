"""The table of datasets: what every row of it offers, and that a row is all that a new one needs besides its module."""

from dataclasses import dataclass, fields, is_dataclass
from typing import ClassVar

import pytest
import torch

from res3d.data import DATASETS, DatasetInfo
from res3d.training.kinds import build_data


@pytest.mark.parametrize("name", DATASETS)
def test_every_dataset_is_a_frozen_dataclass_for_a_kind_of_model(name):
    data = DATASETS[name]
    assert is_dataclass(data)
    assert data.task in ("detector", "classifier")
    assert fields(data)
    for method in ("info", "__len__", "__getitem__", "fingerprint"):
        assert hasattr(data, method)


@dataclass(frozen=True, kw_only=True, slots=True)
class Ramps:
    """A dataset that the package does not have."""

    task: ClassVar[str] = "classifier"

    count: int = 2
    """Number of clips."""

    @property
    def info(self) -> DatasetInfo:
        return DatasetInfo(num_classes=2)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int):
        return torch.full((3, 4, 8, 8), number / self.count), number % 2

    def fingerprint(self) -> str:
        return repr(self)


def test_a_row_makes_a_dataset_known_to_configs(monkeypatch):
    monkeypatch.setitem(DATASETS, "ramps", Ramps)
    data = build_data("train", {"kind": "ramps", "count": 3}, "classifier")
    assert (len(data), data[1][1]) == (3, 1)
    with pytest.raises(ValueError, match="train: unknown key 'cuont'; did you mean 'count'"):
        build_data("train", {"kind": "ramps", "cuont": 3}, "classifier")
    with pytest.raises(ValueError, match=r"train\.kind 'ramps' is for a classifier, not for a detector"):
        build_data("train", {"kind": "ramps"}, "detector")
