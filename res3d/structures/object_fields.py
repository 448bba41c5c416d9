"""The fields of an object, declared once for all classes whose rows are objects."""

from typing import Generic, TypeVar

from res3d.structures.arrays import check_boxes, check_finite, check_probability
from res3d.structures.rows import Floats, ObjectRows, mask_rows, object_rows, rows

Mask = TypeVar("Mask")
"""Type of a row's entry in ``masks``: ``Rle``, a tuple with one ``Rle`` per frame, or ``Rle | None``."""


@object_rows
class ObjectFields(ObjectRows, Generic[Mask]):
    """Fields of N objects in T frames. Classes for a single frame remove the axis T with ``axes``."""

    boxes: Floats = rows("N T 4", check=check_boxes)
    """[N, T, 4] xyxy pixels of the source video."""
    scores: Floats = rows("N")
    """[N] scores."""
    embeddings: Floats | None = rows("N E", default=None, fill=0)
    """[N, E] appearance features; zeros if unknown."""
    actions: Floats | None = rows("N A", default=None, fill=0, check=check_probability)
    """[N, A] probability of each action."""
    masks: tuple[Mask, ...] | None = mask_rows("N T", default=None)
    """N masks, or N tuples of T masks."""
    keypoints: Floats | None = rows("N T K 3", default=None, fill=0, check=check_finite)
    """[N, T, K, 3] x, y, v; v is 0 for unknown, 1 for hidden and 2 for visible keypoints; in predictions it is 1."""
    keypoints_scores: Floats | None = rows("N T K", default=None, fill=0)
    """[N, T, K] score of each keypoint."""
