"""Metadata of a dataset of clips: what a model for it has to know."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from torch import Tensor

from res3d.clips import ClipSpec
from res3d.structures import Category


@dataclass(frozen=True, kw_only=True, slots=True)
class DatasetInfo:
    """Classes of a dataset, the targets of its clips, and how those are cut from videos."""

    num_classes: int
    """Classes; with background, where targets are objects."""
    categories: tuple[Category, ...] = ()
    """Names of the classes: of labels 1, 2, ... of objects, or of labels 0, 1, ... of whole clips; empty if unknown."""
    empty: tuple[str, ...] = field(default=(), compare=False)
    """Names of classes that no clip shows."""
    targets: Mapping[str, str] = field(default_factory=dict, compare=False)
    """Shapes of the targets of objects besides boxes, like ``{"keypoints": "N T 5 3"}``."""
    partial: Mapping[str, str] = field(default_factory=dict, compare=False)
    """Reasons why a target is not among ``targets``, by its name."""
    clip: ClipSpec | None = field(default=None, compare=False)
    """How clips are cut from videos and their frames prepared; None for data that are not cut from videos."""


class ClipData(Protocol):
    """A dataset of clips: by number, a clip [C, T, H, W] float in 0..1 and its target.

    The target is a label, or the targets of a detector. Random choices draw from torch's generator.
    """

    task: ClassVar[str]
    """Kind of model that learns from the targets: "detector" or "classifier"."""

    @property
    def info(self) -> DatasetInfo:
        """The dataset's metadata."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int) -> tuple[Tensor, Any]: ...

    def fingerprint(self) -> str:
        """Return a text that changes when a file that clips come from, their order or a target changes."""


def check_numbers(data: object, **least: float) -> None:
    """Raise ValueError for a field below the least value that it may have."""
    for name, bound in least.items():
        value = getattr(data, name)
        if not value >= bound:
            raise ValueError(f"{name} must be ≥ {bound}, not {value!r}")


def named(names: Sequence[str]) -> tuple[Category, ...]:
    """Return categories that have names and nothing else."""
    return tuple(Category(name=name) for name in names)
