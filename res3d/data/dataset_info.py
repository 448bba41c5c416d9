"""Metadata of a dataset that is needed to build a model: classes, target shapes, clip preparation."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

from torch import Tensor

from res3d.clips import ClipSpec
from res3d.structures import Category


@dataclass(frozen=True, kw_only=True, slots=True)
class DatasetInfo:
    """Metadata of a dataset: its classes, the shapes of its targets and its clip spec.

    Two infos are equal if their classes and categories are equal.
    """

    num_classes: int
    """Number of classes; datasets of objects count the background as one."""
    categories: tuple[Category, ...] = ()
    """Categories by label, from label 1 for objects and from label 0 for whole clips; empty without names."""
    empty: tuple[str, ...] = field(default=(), compare=False)
    """Names of the classes without any clip."""
    targets: Mapping[str, str] = field(default_factory=dict, compare=False)
    """Shapes of the targets that exist besides boxes, by name, like ``{"keypoints": "N T 5 3"}``."""
    partial: Mapping[str, str] = field(default_factory=dict, compare=False)
    """Reasons why a target is missing in ``targets``, by its name."""
    clip: ClipSpec | None = field(default=None, compare=False)
    """Sampling and preprocessing of clips; None for data that are not cut from videos."""


class ClipData(Protocol):
    """A dataset of clips. Item ``n`` is a clip, float [C, T, H, W] in 0..1, and its target.

    The target is the label of the clip, or a mapping of tensors for a detector. Random choices draw from torch's
    global generator.
    """

    task: ClassVar[str]
    """Model kind that is trained with the targets: "detector" or "classifier"."""

    @property
    def info(self) -> DatasetInfo:
        """Metadata of the dataset."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int) -> tuple[Tensor, Any]: ...

    def fingerprint(self) -> str:
        """Return a text that changes when a source file, the order of the clips, a target or a setting changes."""


def check_numbers(data: object, **least: float) -> None:
    """Raise ValueError if a field of ``data`` is below its minimum; ``least`` maps field names to minima."""
    for name, bound in least.items():
        value = getattr(data, name)
        if not value >= bound:
            raise ValueError(f"{name} must be ≥ {bound}, not {value!r}")


def name_categories(names: Sequence[str]) -> tuple[Category, ...]:
    """Return one category per name, without keypoints."""
    return tuple(Category(name=name) for name in names)
