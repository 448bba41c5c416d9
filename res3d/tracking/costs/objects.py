"""What costs compare: the objects of two sides, in the frames that both have."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Objects:
    """N tracks, or N detections, over T frames. A frame's detections are tubes with T = 1."""

    boxes: Array  # [N, T, 4] xyxy pixels; of tracks, where they are expected
    visible: Array  # [N, T], how much each frame counts; 0 for frames where the object is not seen
    embeddings: Array | None = None  # [N, E]
    keypoints: Array | None = None  # [N, T, K, 3] x, y, v

    def __getitem__(self, rows: NDArray[np.int64]) -> "Objects":
        return Objects(
            boxes=self.boxes[rows],
            visible=self.visible[rows],
            embeddings=None if self.embeddings is None else self.embeddings[rows],
            keypoints=None if self.keypoints is None else self.keypoints[rows],
        )


def mean_over_frames(similarity: Array, tracks: Objects, detections: Objects) -> Array:
    """[T, N, M] -> [N, M]: mean over the frames that both see, weighted by how much; 0 where there is no such frame."""
    if len(similarity) == 1:
        seen = tracks.visible[:, :1] * detections.visible[:, 0] > 0
        return np.where(seen, similarity[0], 0)
    weights = tracks.visible.T[:, :, None] * detections.visible.T[:, None, :]
    total = weights.sum(axis=0)
    mean: Array = (similarity * weights).sum(axis=0) / np.where(total > 0, total, 1)
    return mean
