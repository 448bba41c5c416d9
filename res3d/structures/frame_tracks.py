"""Tracked objects of one frame: what a tracker gives as soon as it is final."""

import numpy as np

from res3d.ops import Rle
from res3d.structures.object_fields import ObjectFields
from res3d.structures.rows import Integers, object_rows, rows


@object_rows
class FrameTracks(ObjectFields[Rle | None]):
    """N objects of one frame in the order of their ids: boxes [N, 4], scores [N], and the fields of ``ObjectFields``.

    A score of 0 marks a box that no detector gave, which fills a gap; it has no mask (None).

    Raises:
        ValueError: arrays of other shapes or types, or boxes that are not finite or have x2 < x1 or y2 < y1.
    """

    axes = {"T": None}  # noqa: RUF012 (a ClassVar of the base)

    frame: int
    """Number in the video, from 0."""
    time: float | None = None
    """Seconds from the start of the video."""
    ids: Integers = rows("N", np.int64)
    """[N] from 1, each at most once."""
    labels: Integers = rows("N", np.int64)
    """[N]"""
