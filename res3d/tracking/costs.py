"""Costs of taking detections for tracks: from 0, the same object, to 1.

A cost is a function that is decorated with its name and the fields of detections that it needs; the decorator enters it
into ``COSTS``.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from res3d.ops.similarity import box_area, box_iou, keypoint_distance, oks, pck
from res3d.tracking.objects import Array, Objects, mean_over_frames

Compare = Callable[[Objects, Objects], Array]
"""Takes N tracks and M detections over the same frames; returns costs [N, M]."""


@dataclass(frozen=True, slots=True)
class Cost:
    """One entry of ``COSTS``."""

    name: str
    compare: Compare
    needs: tuple[str, ...]
    """Fields that both sides must have besides boxes."""

    def __call__(self, tracks: Objects, detections: Objects) -> Array:
        """Return the costs [N, M] of all pairs.

        Raises:
            ValueError: one side lacks a field that the cost needs.
        """
        for name in self.needs:
            if name not in tracks.fields or name not in detections.fields:
                raise ValueError(f"the cost {self.name!r} needs detections with {name}")
        return self.compare(tracks, detections)


COSTS: dict[str, Cost] = {}
"""All costs by name."""


def cost(name: str, *needs: str) -> Callable[[Compare], Compare]:
    """Enter a function into ``COSTS``, as a cost that needs the given fields of detections (arrays)."""

    def enter(compare: Compare) -> Compare:
        COSTS[name] = Cost(name, compare, needs)
        return compare

    return enter


@cost("overlap")
def overlap_cost(tracks: Objects, detections: Objects) -> Array:
    """Return 1 - IoU; for tubes, 1 - the mean over the frames they share, weighted by both sides' visibility."""
    iou = box_iou(tracks.boxes.transpose(1, 0, 2), detections.boxes.transpose(1, 0, 2))
    return 1 - mean_over_frames(iou, tracks, detections)


@cost("appearance", "embeddings")
def appearance_cost(tracks: Objects, detections: Objects) -> Array:
    """Return (1 - cosine) / 2 of the embeddings; 0.5 where one is all zeros."""
    a, b = (_normalized(side.fields["embeddings"]) for side in (tracks, detections))
    costs: Array = np.clip((1 - a @ b.T) / 2, 0, 1)
    return costs


def _normalized(vectors: Array) -> Array:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(length > 0, length, 1)


@cost("oks", "keypoints")
def oks_cost(tracks: Objects, detections: Objects) -> Array:
    """Return 1 - COCO's object keypoint similarity, with one spread for every keypoint (``DEFAULT_SIGMA``)."""
    return 1 - mean_over_frames(oks(*_pose_distances(tracks, detections)), tracks, detections)


# A keypoint is correct within this share of the square root of the box's area. Detect-and-Track takes half a head, and
# a head is about 2/15 of a person's height, whose box is about 0.4 times as wide: 0.1 is the same for people.
PCK_SHARE = 0.1


@cost("pck", "keypoints")
def pck_cost(tracks: Objects, detections: Objects) -> Array:
    """Return 1 - the share of keypoints that stay in place: Detect-and-Track's cost, for objects without heads too.

    Unlabelled keypoints do not count (in the original they do).
    """
    distances, areas = _pose_distances(tracks, detections)
    return 1 - mean_over_frames(pck(distances, PCK_SHARE * np.sqrt(areas)), tracks, detections)


def _pose_distances(tracks: Objects, detections: Objects) -> tuple[Array, Array]:
    """(pixels between keypoints [T, N, M, K], geometric mean of both boxes' areas [T, N, M])."""
    poses = (side.fields["keypoints"].transpose(1, 0, 2, 3) for side in (tracks, detections))
    distances = np.stack([keypoint_distance(a, b) for a, b in zip(*poses, strict=True)])
    areas = np.sqrt(box_area(tracks.boxes).T[:, :, None] * box_area(detections.boxes).T[:, None, :])
    return distances, areas
