"""Tracks and detections over the same frames, in the form that the costs compare."""

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
    """N tracks or N detections over T frames; T = 1 for a single frame."""

    boxes: Array
    """[N, T, 4] xyxy pixels; the predicted boxes of tracks."""
    visible: Array
    """[N, T] weight of each frame, from the visibility; 0 where the object is not visible."""
    fields: Mapping[str, Array] = field(default_factory=dict)
    """Other fields that costs need, by name as in the detections: keypoints [N, T, K, 3], embeddings [N, E]."""

    def __getitem__(self, rows: Rows) -> "Objects":
        """Return the objects at ``rows`` [n]."""
        return Objects(
            boxes=self.boxes.take(rows, axis=0),  # take is faster than indexing
            visible=self.visible.take(rows, axis=0),
            fields={name: values.take(rows, axis=0) for name, values in self.fields.items()},
        )


def mean_over_frames(similarity: Array, tracks: Objects, detections: Objects) -> Array:
    """Return the mean similarity over frames, weighted by the product of the two visibilities: [N, M].

    The mean is 0 for a pair without a frame where both objects are visible.

    Args:
        similarity: [T, N, M] of each pair in each frame.
        tracks, detections: N and M objects over T frames.
    """
    if len(similarity) == 1:
        is_visible = tracks.visible[:, :1] * detections.visible[:, 0] > 0
        return np.where(is_visible, similarity[0], 0)
    weights = tracks.visible.T[:, :, None] * detections.visible.T[:, None, :]
    total = weights.sum(axis=0)
    mean: Array = (similarity * weights).sum(axis=0) / np.where(total > 0, total, 1)
    return mean
