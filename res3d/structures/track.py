"""One object through a video."""

import numpy as np
from numpy.typing import NDArray

from res3d.ops import Rle
from res3d.structures.arrays import check_frames
from res3d.structures.object_fields import ObjectFields
from res3d.structures.rows import Doubles, Integers, object_rows, rows


@object_rows
class Track(ObjectFields[Rle | None]):
    """An object in the F frames that it is seen in: boxes [F, 4], scores [F], and the fields of ``ObjectFields``.

    A score of 0 marks a filled gap, and ground truth that is not to be counted.

    Raises:
        ValueError: arrays of other shapes or types, no frame, frames that do not increase, a negative id, or boxes that
            are not finite or have x2 < x1 or y2 < y1.
    """

    axes = {"N": "F", "T": None}  # noqa: RUF012 (a ClassVar of the base)

    id: int
    """≥ 0"""
    label: int
    """Class of the object."""
    frames: Integers = rows("N", np.int64, check=check_frames)
    """[F] numbers in the video, from 0, increasing."""
    times: Doubles | None = rows("N", np.float64, default=None)
    """[F] seconds from the start of the video."""

    def check(self) -> None:
        """Refuse a negative id."""
        if self.id < 0:
            raise ValueError(f"the id of a track must be ≥ 0, not {self.id}")

    def describe(self) -> str:
        """Return the track's number, for error messages."""
        return f"track {self.id}: "

    def relabeled(self, label: int) -> "Track":
        """Return the same track under another label."""
        return self if label == self.label else self.replace(label=label)

    def at(self, rows: NDArray[np.bool_]) -> "Track":
        """Return the part of the track in the frames that ``rows`` [F] keeps."""
        return self[rows]
