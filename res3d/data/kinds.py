"""Kinds of data as rows: what a config calls them, and what models learn from them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from res3d.data.cifar10 import Cifar10Clips
from res3d.data.labelled_clips import LabelledClips
from res3d.data.sensor_windows import SensorWindows
from res3d.data.synthetic_clips import SyntheticClips
from res3d.data.tracked_clips import TrackedClips


@dataclass(frozen=True, kw_only=True, slots=True)
class DataKind:
    """One kind of data."""

    data: type[Any]  # a ``ClipData`` that is a dataclass of plain values: its fields are the keys of a config
    task: str  # the kind of model that its targets are for


DATA_KINDS: Mapping[str, DataKind] = {
    "tracked": DataKind(data=TrackedClips, task="detector"),
    "synthetic": DataKind(data=SyntheticClips, task="detector"),
    "labelled": DataKind(data=LabelledClips, task="classifier"),
    "cifar10": DataKind(data=Cifar10Clips, task="classifier"),
    "sensor": DataKind(data=SensorWindows, task="classifier"),
}
