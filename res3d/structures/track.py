"""The track of one object through a video."""

import numpy as np
from numpy.typing import NDArray

from res3d.ops import Rle
from res3d.structures.arrays import check_frames
from res3d.structures.object_fields import ObjectFields
from res3d.structures.rows import Doubles, Integers, object_rows, rows


@object_rows
class Track(ObjectFields[Rle | None]):
    """An object in F frames of a video: boxes [F, 4], scores [F], and the fields of ``ObjectFields``.

    A score of 0 marks a filled gap, or ground truth that the evaluation ignores.

    Raises:
        ValueError: an array has the wrong shape or dtype, there are no frames or they do not increase, the id is
            negative, or a box is not finite or has x2 < x1 or y2 < y1.
    """

    axes = {"N": "F", "T": None}  # noqa: RUF012 (a ClassVar of the base)

    id: int
    """Track id, ≥ 0."""
    label: int
    """Label of the object's class."""
    frames: Integers = rows("N", np.int64, check=check_frames)
    """[F] increasing frame numbers in the video, from 0."""
    times: Doubles | None = rows("N", np.float64, default=None)
    """[F] seconds from the start of the video."""

    def check(self) -> None:
        """Raise ValueError for a negative id."""
        if self.id < 0:
            raise ValueError(f"the id of a track must be ≥ 0, not {self.id}")

    def describe(self) -> str:
        """Return the beginning of error messages, such as "track 3: "."""
        return f"track {self.id}: "

    def relabeled(self, label: int) -> "Track":
        """Return a copy with another label."""
        return self if label == self.label else self.replace(label=label)

    def at(self, rows: NDArray[np.bool_]) -> "Track":
        """Return the part of the track in the frames for which the mask ``rows`` [F] is true."""
        return self[rows]
