"""What a label stands for."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Category:
    """A class of objects: its name, and what its keypoints are called and how they hang together.

    Raises:
        ValueError: an edge between keypoints that are not there.
    """

    name: str
    keypoints: tuple[str, ...] = ()
    skeleton: tuple[tuple[int, int], ...] = ()  # edges, by position in ``keypoints`` from 0 (COCO files count from 1)

    def __post_init__(self) -> None:
        for edge in self.skeleton:
            if len(edge) != 2 or not all(0 <= end < len(self.keypoints) for end in edge):
                raise ValueError(
                    f"category {self.name!r}: an edge joins two of its {len(self.keypoints)} keypoints, not {edge!r}"
                )


Categories = Mapping[int, Category]  # by label
