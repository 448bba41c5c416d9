"""Costs of matching detections with tracks, from 0 (the same object) to 1.

Each cost is a function. The decorator ``cost`` registers it in ``COSTS`` under a name, with the fields of detections
that it needs.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from res3d.ops.similarity import box_area, box_iou, keypoint_distance, oks, pck
from res3d.tracking.objects import Array, Objects, mean_over_frames

Compare = Callable[[Objects, Objects], Array]
"""Function of N tracks and M detections over the same frames that returns costs [N, M]."""


@dataclass(frozen=True, slots=True)
class Cost:
    """Entry of ``COSTS``."""

    name: str
    """Name in ``COSTS`` and in ``CostTerm``."""
    compare: Compare
    """Function that computes the costs."""
    needs: tuple[str, ...]
    """Fields besides boxes that tracks and detections must have."""

    def __call__(self, tracks: Objects, detections: Objects) -> Array:
        """Return the costs [N, M] of all pairs of N tracks and M detections.

        Raises:
            ValueError: the tracks or the detections lack a field that the cost needs.
        """
        for name in self.needs:
            if name not in tracks.fields or name not in detections.fields:
                raise ValueError(f"the cost {self.name!r} needs detections with {name}")
        return self.compare(tracks, detections)


COSTS: dict[str, Cost] = {}
"""All costs by name."""


def cost(name: str, *needs: str) -> Callable[[Compare], Compare]:
    """Return a decorator that registers a function in ``COSTS``.

    Args:
        name: name of the cost.
        needs: fields of detections besides boxes that the cost compares. They must be arrays.
    """

    def register(compare: Compare) -> Compare:
        COSTS[name] = Cost(name, compare, needs)
        return compare

    return register


@cost("overlap")
def overlap_cost(tracks: Objects, detections: Objects) -> Array:
    """Return 1 - IoU; for tubes, 1 - the mean IoU over the shared frames, weighted by the product of visibilities."""
    iou = box_iou(tracks.boxes.transpose(1, 0, 2), detections.boxes.transpose(1, 0, 2))
    return 1 - mean_over_frames(iou, tracks, detections)


@cost("appearance", "embeddings")
def appearance_cost(tracks: Objects, detections: Objects) -> Array:
    """Return (1 - cosine similarity) / 2 of the embeddings; 0.5 where one of them is all zeros."""
    a, b = (_normalized(side.fields["embeddings"]) for side in (tracks, detections))
    costs: Array = np.clip((1 - a @ b.T) / 2, 0, 1)
    return costs


def _normalized(vectors: Array) -> Array:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(length > 0, length, 1)


@cost("oks", "keypoints")
def oks_cost(tracks: Objects, detections: Objects) -> Array:
    """Return 1 - COCO's object keypoint similarity (OKS), with ``DEFAULT_SIGMA`` for every keypoint."""
    return 1 - mean_over_frames(oks(*_pose_distances(tracks, detections)), tracks, detections)


# Largest distance of a correct keypoint, as a fraction of the square root of the box area. Detect-and-Track uses half
# of the head's size. A head is about 2/15 of a person's height, and a person's box is about 0.4 times as wide as high.
# A fraction of 0.1 is therefore about the same for people.
PCK_FRACTION = 0.1


@cost("pck", "keypoints")
def pck_cost(tracks: Objects, detections: Objects) -> Array:
    """Return 1 - the fraction of keypoints that are at most ``PCK_FRACTION`` of the objects' size apart.

    This is Detect-and-Track's PCK cost (arXiv 1712.09184) with a threshold that also works for objects without a head.
    Unlabelled keypoints (v = 0) are ignored; in the original they count.
    """
    distances, areas = _pose_distances(tracks, detections)
    return 1 - mean_over_frames(pck(distances, PCK_FRACTION * np.sqrt(areas)), tracks, detections)


def _pose_distances(tracks: Objects, detections: Objects) -> tuple[Array, Array]:
    """Return keypoint distances [T, N, M, K] in pixels and the geometric mean of the two box areas [T, N, M]."""
    poses = (side.fields["keypoints"].transpose(1, 0, 2, 3) for side in (tracks, detections))
    distances = np.stack([keypoint_distance(a, b) for a, b in zip(*poses, strict=True)])
    areas = np.sqrt(box_area(tracks.boxes).T[:, :, None] * box_area(detections.boxes).T[:, None, :])
    return distances, areas
