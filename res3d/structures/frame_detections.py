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
        ValueError: an array has the wrong shape or dtype, a box is not finite or has x2 < x1 or y2 < y1, or a score is
            outside 0..1.
    """

    axes = {"N": "D", "T": None}  # noqa: RUF012 (a ClassVar of the base)

    scores: Floats = rows("N", absent=1, check=check_probability)
    """[D] scores in 0..1."""
    labels: Integers = rows("N", np.int64, absent=1)
    """[D] labels from 1; 0 is the background, which no detection has."""
    time: float | None = None
    """Seconds from the start of the video."""

    @classmethod
    def from_mapping(cls, result: Mapping[str, object], *, time: float | None = None) -> "FrameDetections":
        """Read a detector's result, a dictionary of arrays, tensors or lists as torchvision's models return it.

        Args:
            result: boxes [D, 4] xyxy, scores [D] (default 1), labels [D] (default 1); optionally embeddings [D, E],
                actions [D, A], masks ([D, H, W] or [D, 1, H, W], probabilities or bool, or a sequence of ``Rle``),
                keypoints [D, K, 3] and keypoints_scores [D, K].
            time: seconds from the start of the video.

        Raises:
            ValueError: boxes are missing, a key is unknown, or the class does not accept the values.
        """
        return cls.from_values(result, what="detections", time=time)
