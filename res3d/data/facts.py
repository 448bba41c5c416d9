"""What a set of clips says of itself to whoever builds a model for it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import Tensor

from res3d.clips import ClipSpec
from res3d.structures import Category


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """Classes of a data set, and what is known of its objects."""

    num_classes: int  # with background, where there is such a thing
    categories: tuple[Category, ...] = ()  # of labels 1, 2, ... of objects; of labels 0, 1, ... of whole clips
    empty: tuple[str, ...] = field(default=(), compare=False)  # names of classes that no clip shows
    targets: Mapping[str, str] = field(default_factory=dict, compare=False)
    """Shapes of what is true of objects besides boxes, like ``{"keypoints": "N T 5 3"}``."""
    clip: ClipSpec | None = field(default=None, compare=False)
    """How clips are cut from videos and their frames prepared; None for data that are not cut from videos."""
    partial: Mapping[str, str] = field(default_factory=dict, compare=False)  # why such a thing is not among them


class ClipData(Protocol):
    """Clips by number, and what is true of them: [C, T, H, W] float in 0..1, and a label or a detector's targets.

    What is drawn at random is drawn from torch's generator.
    """

    @property
    def facts(self) -> Facts: ...

    def __len__(self) -> int: ...

    def __getitem__(self, number: int) -> tuple[Tensor, Any]: ...

    def fingerprint(self) -> str:
        """Another one when a file that clips come from, their order or what is true of them has changed."""


def check_numbers(data: object, **least: float) -> None:
    """ValueError for a field below the least that it may be."""
    for name, bound in least.items():
        value = getattr(data, name)
        if not value >= bound:
            raise ValueError(f"{name} must be ≥ {bound}, not {value!r}")


def named(names: Sequence[str]) -> tuple[Category, ...]:
    """Categories that have names and no more."""
    return tuple(Category(name=name) for name in names)
