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
        ValueError: an array has the wrong shape or dtype, the frames do not increase, a box is not finite or has
            x2 < x1 or y2 < y1, or a probability is outside 0..1.
    """

    axes = {"N": "D"}  # noqa: RUF012 (a ClassVar of the base)

    frames: Integers = shared("T", np.int64, check=check_frames)
    """[T] frame numbers in the source video, from 0."""
    times: Doubles | None = shared("T", np.float64, default=None, single="time")
    """[T] seconds from the start of the video."""
    visible: Floats = rows("N T", check=check_probability)
    """[D, T] probability that the object is visible."""
    scores: Floats = rows("N", check=check_probability)
    """[D] scores in 0..1."""
    labels: Integers = rows("N", np.int64)
    """[D] labels from 1; 0 is the background, which no detection has."""

    def frame(self, t: int) -> FrameDetections:
        """Return the detections at index ``t`` of the clip's frames, including objects that are not visible there."""
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
        """Read a detector's result for a clip. Values for frames beyond ``frames``, which pad the clip, are dropped.

        Args:
            result: boxes [D, T, 4], visible [D, T] in 0..1, scores [D], labels [D]; optionally embeddings [D, E],
                actions [D, A], masks [D, T, 1, H, W] (read one object and frame at a time), keypoints [D, T, K, 3],
                keypoints_scores [D, T, K].
            frames: frame numbers of the clip in the video, from 0.
            times: times of these frames in seconds from the start of the video.
            min_score: objects with a lower score are dropped before their masks are read.

        Raises:
            ValueError: a key is missing or unknown, or the class does not accept the values.
        """
        return cls.from_values(
            result,
            what="a clip's detections",
            keep=lambda objects: objects.scores >= min_score,
            frames=np.asarray(frames, np.int64),
            times=None if times is None else np.asarray(times, np.float64),
        )
