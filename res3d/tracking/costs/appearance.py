"""How little two objects look alike, by the features that a detector computed for them."""

import numpy as np

from res3d.tracking.costs.objects import Array, Objects


def appearance_cost(tracks: Objects, detections: Objects) -> Array:
    """(1 - cosine) / 2 of the embeddings, [N, M]; where one is all zeros, 0.5."""
    if tracks.embeddings is None or detections.embeddings is None:
        raise ValueError("the cost 'appearance' needs detections with embeddings")
    a, b = (_normalized(side.embeddings) for side in (tracks, detections) if side.embeddings is not None)
    cost: Array = np.clip((1 - a @ b.T) / 2, 0, 1)
    return cost


def _normalized(vectors: Array) -> Array:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(length > 0, length, 1)
