"""One object through a video."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from res3d.ops.rle import Rle
from res3d.structures.arrays import check_dtypes
from res3d.structures.frame_detections import check_boxes
from res3d.structures.shapes import check_shapes


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Track:
    """Where an object is in the F frames it is seen in; boxes are xyxy pixels.

    Raises:
        ValueError: arrays of other shapes or types, no frame, frames that do not increase, a negative id, or boxes that
            are none.
    """

    id: int
    label: int
    frames: NDArray[np.int64]  # [F], from 0, increasing
    boxes: NDArray[np.float32]  # [F, 4]
    scores: NDArray[np.float32]  # [F]; 0 for a filled gap, and for ground truth that is not to be counted
    keypoints: NDArray[np.float32] | None = None  # [F, K, 3] x, y, v: 0 unknown, 1 hidden, 2 seen; results have 1
    keypoints_scores: NDArray[np.float32] | None = None  # [F, K]
    masks: tuple[Rle | None, ...] | None = None  # F; None where there is none

    def __post_init__(self) -> None:
        check_shapes(self, frames="F", boxes="F 4", scores="F")
        if self.keypoints is not None:
            check_shapes(self, frames="F", keypoints="F K 3")
        if self.keypoints_scores is not None:
            check_shapes(self, frames="F", keypoints_scores="F K")
        check_dtypes(self, frames=np.int64, boxes=np.float32, scores=np.float32)
        check_dtypes(self, keypoints=np.float32, keypoints_scores=np.float32)
        if self.masks is not None and len(self.masks) != len(self.frames):
            raise ValueError(f"track {self.id}: {len(self.frames)} frames with {len(self.masks)} masks")
        if self.id < 0:
            raise ValueError(f"the id of a track must be ≥ 0, not {self.id}")
        if not len(self.frames) or self.frames[0] < 0 or (np.diff(self.frames) <= 0).any():
            raise ValueError(f"track {self.id}: frames must be ≥ 0 and increase, and there must be one at least")
        if self.keypoints is not None and not np.isfinite(self.keypoints).all():
            raise ValueError(f"track {self.id}: keypoints must be finite")
        try:
            check_boxes(self.boxes)
        except ValueError as error:
            raise ValueError(f"track {self.id}: {error}") from None

    def __len__(self) -> int:
        return len(self.frames)

    def relabeled(self, label: int) -> "Track":
        """The same track under another label."""
        return self if label == self.label else replace(self, label=label)

    def at(self, rows: NDArray[np.bool_]) -> "Track":
        """The part of the track in the frames that ``rows`` [F] keeps."""
        arrays: dict[str, Any] = {
            name: None if (array := getattr(self, name)) is None else array[rows]
            for name in ("frames", "boxes", "scores", "keypoints", "keypoints_scores")
        }
        masks = None if self.masks is None else tuple(self.masks[n] for n in np.flatnonzero(rows))
        return replace(self, **arrays, masks=masks)
