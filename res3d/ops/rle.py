"""Run-length encoding of masks in COCO's compressed format, for files and long tracks with thousands of masks."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

BITS = 5  # bits of a run length per character; the next bit is set if another character follows
OFFSET = 48  # code of the character for zero: all characters are printable
MAX_CHARACTERS = 12  # of one run length; more would exceed 64 bits


@dataclass(frozen=True)
class Rle:
    """A mask as COCO's compressed string of run lengths.

    Runs go down the columns and alternate between background and object; the first one is background. From the fourth
    on, each is stored as its difference to the run two before it (``maskApi.c`` of pycocotools).

    Raises:
        ValueError: an invalid size. Invalid counts raise it on first use, see ``runs``.
    """

    size: tuple[int, int]
    """(height, width) in pixels."""
    counts: str
    """The compressed run lengths."""

    def __post_init__(self) -> None:
        if len(self.size) != 2 or min(self.size) < 1:
            raise ValueError(f"the size of a mask must be (height, width) in pixels, not {self.size!r}")

    @classmethod
    def encode(cls, mask: NDArray[np.bool_]) -> "Rle":
        """Encode a mask: bool [H, W].

        Raises:
            ValueError: an array of another number of dimensions.
        """
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
        """Return the mask of COCO's uncompressed run lengths, background first, and of ``size`` (height, width)."""
        return cls(size=size, counts=_compress(np.asarray(runs, np.int64)))

    @classmethod
    def read(cls, size: tuple[int, int], counts: str | Sequence[int]) -> "Rle":
        """Return the mask of a file's size and counts, compressed or a list of run lengths, after checking them.

        Raises:
            ValueError: an invalid size, or counts that do not fill it.
        """
        rle = cls(size, counts) if isinstance(counts, str) else cls.from_runs(np.array(counts, np.int64), size)
        if len(rle.runs):  # the property checks them
            return rle
        raise ValueError("the counts of a mask must have at least one run, not 0")

    @cached_property
    def runs(self) -> NDArray[np.int64]:
        """Run lengths in pixels, background first: int64 [runs]. Their sum is the number of pixels of the mask.

        Raises:
            ValueError: counts that are not in COCO's format or do not fill the size.
        """
        runs = _decompress(self.counts)
        if (runs < 0).any() or runs.sum() != self.size[0] * self.size[1]:
            raise ValueError(
                f"the runs of a mask must be ≥ 0 and fill {self.size} (height, width), not {int(runs.sum())} pixels"
            )
        return runs

    def decode(self) -> NDArray[np.bool_]:
        """Return the mask as an array: bool [H, W]."""
        inside = np.arange(len(self.runs)) % 2 == 1
        return np.repeat(inside, self.runs).reshape(self.size, order="F")

    @property
    def area(self) -> int:
        """Number of pixels of the object."""
        return int(self.runs[1::2].sum())

    @property
    def box(self) -> tuple[int, int, int, int]:
        """Bounding box of the object's pixels, xyxy by their outer edges; zeros for an empty mask."""
        ends = np.cumsum(self.runs)[1::2]
        starts = ends - self.runs[1::2]
        starts, ends = starts[ends > starts], ends[ends > starts]
        if not len(starts):
            return 0, 0, 0, 0
        height = self.size[0]
        left, right = starts[0] // height, (ends[-1] - 1) // height
        if (starts // height != (ends - 1) // height).any():  # a run that continues in the next column
            return int(left), 0, int(right) + 1, height
        return int(left), int((starts % height).min()), int(right) + 1, int(((ends - 1) % height).max()) + 1


def _compress(runs: NDArray[np.int64]) -> str:
    """Return COCO's compressed string of run lengths."""
    values = runs.copy()
    values[3:] -= runs[1:-2]
    # Each value takes as many characters as its magnitude and a sign bit need.
    magnitude = np.where(values < 0, ~values, values)
    lengths = np.ones(len(values), np.int64)
    rest = magnitude >> (BITS - 1)
    while rest.any():
        lengths += rest > 0
        rest >>= BITS
    digits = np.arange(lengths.max(initial=1))
    characters = (values[:, None] >> (BITS * digits)) & (2**BITS - 1)
    characters |= (digits < lengths[:, None] - 1) << BITS
    codes = characters[digits < lengths[:, None]] + OFFSET
    return bytes(codes.astype(np.uint8)).decode("ascii")


def _decompress(text: str) -> NDArray[np.int64]:
    """Return the run lengths of COCO's compressed string; raise ValueError if ``text`` is not in that format."""
    try:
        characters = np.frombuffer(text.encode("ascii"), np.uint8).astype(np.int64) - OFFSET
    except UnicodeEncodeError:
        raise _invalid_counts(text) from None
    continues = (characters & (1 << BITS)) != 0
    if not len(characters) or (characters < 0).any() or (characters >= 2 << BITS).any() or continues[-1]:
        raise _invalid_counts(text)
    first = np.concatenate([[0], np.flatnonzero(~continues)[:-1] + 1])
    lengths = np.diff(np.concatenate([first, [len(characters)]]))
    if lengths.max() > MAX_CHARACTERS:
        raise _invalid_counts(text)
    digits = np.arange(len(characters)) - np.repeat(first, lengths)
    values: NDArray[np.int64] = np.add.reduceat((characters & (2**BITS - 1)) << (BITS * digits), first)
    last = characters[first + lengths - 1]
    values -= np.where(last & (1 << (BITS - 1)), np.int64(1) << (BITS * lengths), 0)
    # Undo the differences: odd runs, and even runs from the third on, are cumulative sums.
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values


def _invalid_counts(text: str) -> ValueError:
    excerpt = text if len(text) <= 40 else text[:40] + "..."
    return ValueError(f"the counts of a mask must be COCO's compressed string of run lengths, not {excerpt!r}")
