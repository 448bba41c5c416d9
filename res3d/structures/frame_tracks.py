"""Tracked objects of one frame: the output of a tracker for the frame, as soon as it is final."""

import numpy as np

from res3d.ops import Rle
from res3d.structures.object_fields import ObjectFields
from res3d.structures.rows import Integers, object_rows, rows


@object_rows
class FrameTracks(ObjectFields[Rle | None]):
    """N objects of one frame, sorted by id: boxes [N, 4], scores [N], and the fields of ``ObjectFields``.

    A score of 0 marks a box that fills a gap and was not detected; its mask is None.

    Raises:
        ValueError: an array has the wrong shape or dtype, or a box is not finite or has x2 < x1 or y2 < y1.
    """

    axes = {"T": None}  # noqa: RUF012 (a ClassVar of the base)

    frame: int
    """Frame number in the video, from 0."""
    time: float | None = None
    """Seconds from the start of the video."""
    ids: Integers = rows("N", np.int64)
    """[N] track ids from 1, without duplicates."""
    labels: Integers = rows("N", np.int64)
    """[N] labels."""
