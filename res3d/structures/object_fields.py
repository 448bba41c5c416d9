"""The fields of an object, declared once for all classes of rows of objects."""

from typing import Generic, TypeVar

from res3d.structures.arrays import check_boxes, check_finite, check_probability
from res3d.structures.rows import Floats, ObjectRows, mask_rows, object_rows, rows

Mask = TypeVar("Mask")
"""What ``masks`` holds per row: an ``Rle``, one per frame, or None where a row has none."""


@object_rows
class ObjectFields(ObjectRows, Generic[Mask]):
    """What is known of N objects, over T frames; classes for a single frame drop the axis T (``axes``)."""

    boxes: Floats = rows("N T 4", check=check_boxes)
    """[N, T, 4] xyxy pixels of the source video."""
    scores: Floats = rows("N")
    """[N]"""
    embeddings: Floats | None = rows("N E", default=None, fill=0)
    """[N, E] appearance; zeros where it is unknown."""
    actions: Floats | None = rows("N A", default=None, fill=0, check=check_probability)
    """[N, A] probability of each action."""
    masks: tuple[Mask, ...] | None = mask_rows("N T", default=None)
    """N masks, or N tuples of T."""
    keypoints: Floats | None = rows("N T K 3", default=None, fill=0, check=check_finite)
    """[N, T, K, 3] x, y, v: v is 0 unknown, 1 hidden, 2 seen; results have 1."""
    keypoints_scores: Floats | None = rows("N T K", default=None, fill=0)
    """[N, T, K]"""
