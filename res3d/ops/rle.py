"""Masks as run lengths, in COCO's encoding: small enough for a file, or a long track, to hold thousands."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

BITS = 5  # of a run length in each character; a sixth says that more follow, a seventh keeps it printable
OFFSET = 48  # the character of zero


@dataclass(frozen=True)
class Rle:
    """A mask of ``size`` (height, width), as COCO's compressed string of run lengths.

    Runs go down the columns, the first is of background; from the fourth on, each is written as its difference to
    the run two before it (pycocotools' ``maskApi.c``).

    Raises:
        ValueError: a size or runs that make no mask; of the runs, when they are first looked at.
    """

    size: tuple[int, int]
    counts: str

    def __post_init__(self) -> None:
        if len(self.size) != 2 or min(self.size) < 1:
            raise ValueError(f"the size of a mask must be (height, width) in pixels, not {self.size!r}")

    @classmethod
    def encode(cls, mask: NDArray[np.bool_]) -> "Rle":
        """Encode a mask [H, W] of bool."""
        if mask.ndim != 2:
            raise ValueError(f"a mask must be [H, W], not {list(mask.shape)}")
        pixels = np.asarray(mask, bool).ravel(order="F")
        starts = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
        bounds = np.concatenate([[0], starts, [pixels.size]])
        runs = np.diff(bounds)
        if pixels[0]:
            runs = np.concatenate([[0], runs])
        return cls.from_runs(runs, (mask.shape[0], mask.shape[1]))

    @classmethod
    def from_runs(cls, runs: NDArray[np.int64], size: tuple[int, int]) -> "Rle":
        """Make a mask of run lengths, background first (COCO's uncompressed form)."""
        return cls(size=size, counts=_compress(np.asarray(runs, np.int64)))

    @classmethod
    def read(cls, size: tuple[int, int], counts: str | Sequence[int]) -> "Rle":
        """Read a file's entry, compressed or a list of runs, and check it at once rather than on first use."""
        rle = cls(size, counts) if isinstance(counts, str) else cls.from_runs(np.array(counts, np.int64), size)
        if len(rle.runs):  # looking at the runs checks them
            return rle
        raise ValueError("a mask must have runs")

    @cached_property
    def runs(self) -> NDArray[np.int64]:
        """Run lengths, background first; they add up to the number of pixels."""
        runs = _decompress(self.counts)
        if (runs < 0).any() or runs.sum() != self.size[0] * self.size[1]:
            raise ValueError(f"the runs of a mask must be ≥ 0 and fill {self.size}, not {int(runs.sum())} pixels")
        return runs

    def decode(self) -> NDArray[np.bool_]:
        """Return the mask [H, W] of bool."""
        inside = np.arange(len(self.runs)) % 2 == 1
        return np.repeat(inside, self.runs).reshape(self.size, order="F")

    @property
    def area(self) -> int:
        """Pixels inside."""
        return int(self.runs[1::2].sum())

    @property
    def box(self) -> tuple[int, int, int, int]:
        """xyxy around the pixels inside, by their outer edges; zeros for an empty mask."""
        ends = np.cumsum(self.runs)[1::2]
        starts = ends - self.runs[1::2]
        starts, ends = starts[ends > starts], ends[ends > starts]
        if not len(starts):
            return 0, 0, 0, 0
        height = self.size[0]
        left, right = starts[0] // height, (ends[-1] - 1) // height
        if (starts // height != (ends - 1) // height).any():  # a run that goes on into the next column
            return int(left), 0, int(right) + 1, height
        return int(left), int((starts % height).min()), int(right) + 1, int(((ends - 1) % height).max()) + 1


def _compress(runs: NDArray[np.int64]) -> str:
    values = runs.copy()
    values[3:] -= runs[1:-2]
    # A value takes as many characters as it needs for its bits and a sign: floor(log32) of what lies between.
    magnitude = np.where(values < 0, ~values, values)
    lengths = np.ones(len(values), np.int64)
    rest = magnitude >> (BITS - 1)
    while rest.any():
        lengths += rest > 0
        rest >>= BITS
    place = np.arange(lengths.max(initial=1))
    characters = (values[:, None] >> (BITS * place)) & (2**BITS - 1)
    characters |= (place < lengths[:, None] - 1) << BITS
    written = characters[place < lengths[:, None]] + OFFSET
    return bytes(written.astype(np.uint8)).decode("ascii")


def _decompress(text: str) -> NDArray[np.int64]:
    try:
        characters = np.frombuffer(text.encode("ascii"), np.uint8).astype(np.int64) - OFFSET
    except UnicodeEncodeError:
        raise ValueError("the counts of a mask must be COCO's compressed string of run lengths") from None
    more = (characters & (1 << BITS)) != 0
    if not len(characters) or (characters < 0).any() or (characters >= 2 << BITS).any() or more[-1]:
        raise ValueError("the counts of a mask must be COCO's compressed string of run lengths")
    first = np.concatenate([[0], np.flatnonzero(~more)[:-1] + 1])
    lengths = np.diff(np.concatenate([first, [len(characters)]]))
    if lengths.max() > 12:  # more bits than a number has
        raise ValueError("the counts of a mask must be COCO's compressed string of run lengths")
    place = np.arange(len(characters)) - np.repeat(first, lengths)
    values: NDArray[np.int64] = np.add.reduceat((characters & (2**BITS - 1)) << (BITS * place), first)
    last = characters[first + lengths - 1]
    values -= np.where(last & (1 << (BITS - 1)), np.int64(1) << (BITS * lengths), 0)
    # Undo the differences: odd and even runs from the second and third on are running sums.
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values
