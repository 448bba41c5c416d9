"""Kinds of data as rows: what a config calls them, and what models learn from them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from res3d.data.synthetic_clips import SyntheticClips


@dataclass(frozen=True, kw_only=True, slots=True)
class DataKind:
    """One kind of data."""

    data: type[Any]  # a ``ClipData`` that is a dataclass of plain values: its fields are the keys of a config
    task: str  # the kind of model that its targets are for


DATA_KINDS: Mapping[str, DataKind] = {
    "synthetic": DataKind(data=SyntheticClips, task="detector"),
}
