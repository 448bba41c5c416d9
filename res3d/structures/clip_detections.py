"""Detections of one clip: tubes, with one box per frame."""

from collections.abc import Mapping, Sequence

import numpy as np

from res3d.ops import Rle
from res3d.structures.arrays import check_frames, check_probability
from res3d.structures.frame_detections import FrameDetections
from res3d.structures.object_fields import ObjectFields
from res3d.structures.rows import Doubles, Floats, Integers, object_rows, rows, shared


@object_rows
class ClipDetections(ObjectFields[tuple[Rle, ...]]):
    """D objects over the T frames of one clip: boxes [D, T, 4], scores [D], and the fields of ``ObjectFields``.

    Raises:
        ValueError: arrays of other shapes or types, frames that do not increase, boxes that are not finite or have
            x2 < x1 or y2 < y1, or probabilities outside 0..1.
    """

    axes = {"N": "D"}  # noqa: RUF012 (a ClassVar of the base)

    frames: Integers = shared("T", np.int64, check=check_frames)
    """[T] numbers in the source video, from 0."""
    times: Doubles | None = shared("T", np.float64, default=None, single="time")
    """[T] seconds from the start of the video."""
    visible: Floats = rows("N T", check=check_probability)
    """[D, T] probability that the object is seen."""
    scores: Floats = rows("N", check=check_probability)
    """[D] in 0..1"""
    labels: Integers = rows("N", np.int64)
    """[D]; 0 is background and does not appear."""

    def frame(self, t: int) -> FrameDetections:
        """Return the detections at frame ``t`` of the clip, whether or not they are visible there."""
        return self.at_frame(t, FrameDetections)

    @classmethod
    def from_mapping(
        cls,
        result: Mapping[str, object],
        frames: Sequence[int],
        *,
        times: Sequence[float] | None = None,
        min_score: float = 0.0,
    ) -> "ClipDetections":
        """Read a detector's dictionary for a clip; what it has for more frames than ``frames`` (padding) is cut off.

        Args:
            result: boxes [D, T, 4], visible [D, T] in 0..1, scores [D], labels [D]; optionally embeddings [D, E],
                actions [D, A], masks [D, T, 1, H, W] (taken one frame of one object at a time), keypoints [D, T, K, 3],
                keypoints_scores [D, T, K].
            frames: numbers of the clip's frames in the video, from 0.
            times: their seconds from the start of the video.
            min_score: objects below it are left out, before their masks are looked at.

        Raises:
            ValueError: a key that is missing or unknown, or what the class itself refuses.
        """
        return cls.from_values(
            result,
            what="a clip's detections",
            keep=lambda found: found.scores >= min_score,
            frames=np.asarray(frames, np.int64),
            times=None if times is None else np.asarray(times, np.float64),
        )
