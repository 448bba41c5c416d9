"""The tracked objects of one frame: what a tracker gives as soon as it is final."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from res3d.ops.rle import Rle
from res3d.structures.shapes import check_shapes


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class FrameTracks:
    """N objects of one frame, in the order of their ids; boxes are xyxy pixels."""

    frame: int  # from 0
    ids: NDArray[np.int64]  # [N], from 1; each at most once
    labels: NDArray[np.int64]  # [N]
    boxes: NDArray[np.float32]  # [N, 4]
    scores: NDArray[np.float32]  # [N]; 0 for a box that no detector gave: a filled gap
    keypoints: NDArray[np.float32] | None = None  # [N, K, 3] x, y, v
    keypoints_scores: NDArray[np.float32] | None = None  # [N, K]
    masks: tuple[Rle | None, ...] | None = None  # N; None in filled gaps

    def __post_init__(self) -> None:
        check_shapes(self, ids="N", labels="N", boxes="N 4", scores="N")
        if self.keypoints is not None:
            check_shapes(self, ids="N", keypoints="N K 3")
        if self.keypoints_scores is not None:
            check_shapes(self, ids="N", keypoints_scores="N K")
        if self.masks is not None and len(self.masks) != len(self.ids):
            raise ValueError(f"{len(self.ids)} objects with {len(self.masks)} masks")

    def __len__(self) -> int:
        return len(self.ids)
