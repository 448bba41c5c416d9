"""What costs compare: the objects of two sides, in the frames that both have."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]
Rows = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True, slots=True)
class Objects:
    """N tracks or N detections over T frames. Those of a single frame have T = 1."""

    boxes: Array
    """[N, T, 4] xyxy pixels; of tracks, where they are expected."""
    visible: Array
    """[N, T] weight of each frame; 0 where the object is not seen."""
    fields: Mapping[str, Array] = field(default_factory=dict)
    """Other fields that costs need, by their names in detections: keypoints [N, T, K, 3], embeddings [N, E]."""

    def __getitem__(self, rows: Rows) -> "Objects":
        """Return the objects at ``rows`` [n]."""
        return Objects(
            boxes=self.boxes.take(rows, axis=0),  # faster than an index
            visible=self.visible.take(rows, axis=0),
            fields={name: values.take(rows, axis=0) for name, values in self.fields.items()},
        )


def mean_over_frames(similarity: Array, tracks: Objects, detections: Objects) -> Array:
    """Return the mean over the frames that both sides see, weighted by both visibilities; 0 without such a frame.

    Args:
        similarity: [T, N, M].
        tracks, detections: N and M objects.
    """
    if len(similarity) == 1:
        seen = tracks.visible[:, :1] * detections.visible[:, 0] > 0
        return np.where(seen, similarity[0], 0)
    weights = tracks.visible.T[:, :, None] * detections.visible.T[:, None, :]
    total = weights.sum(axis=0)
    mean: Array = (similarity * weights).sum(axis=0) / np.where(total > 0, total, 1)
    return mean
