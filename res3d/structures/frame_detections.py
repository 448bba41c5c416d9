"""Detections of one frame."""

from collections.abc import Mapping

import numpy as np

from res3d.ops import Rle
from res3d.structures.arrays import check_probability
from res3d.structures.object_fields import ObjectFields
from res3d.structures.rows import Floats, Integers, object_rows, rows


@object_rows
class FrameDetections(ObjectFields[Rle]):
    """D objects of one frame: boxes [D, 4], scores [D], labels [D], and the optional fields of ``ObjectFields``.

    Raises:
        ValueError: arrays of other shapes or types, boxes that are not finite or have x2 < x1 or y2 < y1, or scores
            outside 0..1.
    """

    axes = {"N": "D", "T": None}  # noqa: RUF012 (a ClassVar of the base)

    scores: Floats = rows("N", absent=1, check=check_probability)
    """[D] in 0..1"""
    labels: Integers = rows("N", np.int64, absent=1)
    """[D]; 0 is background and does not appear."""
    time: float | None = None
    """Seconds from the start of the video."""

    @classmethod
    def from_mapping(cls, result: Mapping[str, object], *, time: float | None = None) -> "FrameDetections":
        """Read a detector's dictionary, as torchvision's models give it, of arrays, tensors or lists.

        Args:
            result: boxes [D, 4] xyxy, scores [D] (1 if absent), labels [D] (1 if absent); optionally embeddings [D, E],
                actions [D, A], masks ([D, H, W] or [D, 1, H, W], probabilities or bool, or a sequence of ``Rle``),
                keypoints [D, K, 3] and keypoints_scores [D, K].
            time: seconds of the frame from the start of the video.

        Raises:
            ValueError: no boxes, an unknown key, or what the class itself refuses.
        """
        return cls.from_values(result, what="detections", time=time)
