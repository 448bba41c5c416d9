"""Table of datasets: the interface of every entry, and that a new dataset needs no other change than an entry."""

from dataclasses import dataclass, fields, is_dataclass
from typing import ClassVar

import pytest
import torch

from res3d.data import DATASETS, DatasetInfo
from res3d.training import TrainingSettings


@pytest.mark.parametrize("name", DATASETS)
def test_every_dataset_is_a_dataclass_with_a_model_kind(name):
    data = DATASETS[name]
    assert is_dataclass(data)
    assert data.task in ("detector", "classifier")
    assert fields(data)
    for method in ("info", "__len__", "__getitem__", "fingerprint"):
        assert hasattr(data, method)


@dataclass(frozen=True, kw_only=True, slots=True)
class Ramps:
    """A dataset that is not part of the package."""

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


def train_on(settings: dict[str, object], model: str = "classifier") -> TrainingSettings:
    options = {"backbone": "r3d_18"} if model == "classifier" else {}
    return TrainingSettings(model={"kind": model, **options}, train=settings)


def test_entry_makes_a_dataset_available_in_configurations(monkeypatch):
    monkeypatch.setitem(DATASETS, "ramps", Ramps)
    data = train_on({"kind": "ramps", "count": 3}).train.build()
    assert (len(data), data[1][1]) == (3, 1)
    with pytest.raises(ValueError, match="train: unknown key 'cuont'; did you mean 'count'"):
        train_on({"kind": "ramps", "cuont": 3})
    with pytest.raises(ValueError, match=r"train\.kind 'ramps' is for a classifier, not for a detector"):
        train_on({"kind": "ramps"}, "detector")
