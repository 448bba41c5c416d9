"""The tables that a config's ``kind`` keys name, and what is built from them."""

from collections.abc import Mapping
from typing import Any, TypeVar

from torch import nn

from res3d.data import DATASETS, ClipData, DatasetInfo
from res3d.settings import build_dataclass, did_you_mean
from res3d.training.classifier import CLASSIFIER
from res3d.training.detector import DETECTOR
from res3d.training.settings import TrainingSettings
from res3d.training.tasks import Task

Row = TypeVar("Row")

TASKS: Mapping[str, Task] = {"detector": DETECTOR, "classifier": CLASSIFIER}


def find_task(settings: TrainingSettings) -> Task:
    """The row of the model's kind. ValueError for one that is none."""
    return _row("model", settings.model, TASKS)


def build_data(name: str, settings: Mapping[str, Any], task: str) -> ClipData:
    """The data that the config's key ``name`` describes.

    Raises:
        ValueError: an unknown kind or key, a value that does not fit, data that such models do not learn from, or files
            that are not what they should be.
        FileNotFoundError: no such file or folder.
    """
    row = _row(name, settings, DATASETS)
    if row.task != task:
        fitting = [kind for kind, other in DATASETS.items() if other.task == task]
        raise ValueError(
            f"{name}.kind {settings['kind']!r} is for a {row.task}, not for a {task} (accepted: {', '.join(fitting)})"
        )
    fields = {key: value for key, value in settings.items() if key != "kind"}
    data: ClipData = build_dataclass(row, fields, root=name)
    if not len(data):
        raise ValueError(f"{name}: holds no clip")
    return data


def build_model(task: Task, settings: TrainingSettings, info: DatasetInfo) -> nn.Module:
    """The model of a run, frozen as in its first epoch.

    Raises:
        ValueError: options that do not fit; names the key.
        WeightsError: weights that do not.
    """
    options = {key: value for key, value in settings.model.items() if key != "kind"}
    if "freeze_at" in options:
        raise ValueError("model has no key 'freeze_at': it is a setting of the run, beside unfreeze")
    try:
        model = task.build(options, info)
    except TypeError as error:  # a keyword that the factory does not have, or a value that is no such thing
        raise ValueError(f"model: {error}") from None
    backbone: Any = model.backbone
    backbone.freeze(settings.freeze_at)
    return model


def _row(name: str, settings: Mapping[str, Any], rows: Mapping[str, Row]) -> Row:
    kind = settings.get("kind")
    if kind in rows:
        return rows[str(kind)]
    hint = did_you_mean(str(kind), rows)
    what = f"not {kind!r}{hint}" if "kind" in settings else "and is missing"
    raise ValueError(f"{name}.kind must be one of {', '.join(rows)}, {what}")
