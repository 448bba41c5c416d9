"""Detections of synthetic scenes for tests of linking."""

import numpy as np

from res3d.structures import FrameDetections


def box_at(x: float, y: float, side: float = 20.0) -> list[float]:
    """Return a square box xyxy around a center."""
    return [x - side / 2, y - side / 2, x + side / 2, y + side / 2]


def frame_of(*boxes: list[float], scores=None, labels=None, **more) -> FrameDetections:
    """Return detections of one frame; by default with score 0.9 and label 1."""
    n = len(boxes)
    return FrameDetections.from_mapping(
        {
            "boxes": np.array(boxes, np.float32).reshape(-1, 4),
            "scores": np.full(n, 0.9) if scores is None else scores,
            "labels": np.ones(n) if labels is None else labels,
            **more,
        }
    )


def wandering_objects(seed: int, frames: int = 80, objects: int = 6, side: float = 30.0) -> list[FrameDetections]:
    """Return detections of objects that move randomly, with missed objects and false positives."""
    rng = np.random.default_rng(seed)
    positions, velocities = rng.uniform(50, 350, (objects, 2)), rng.normal(0, 2, (objects, 2))
    detections = []
    for _ in range(frames):
        velocities += rng.normal(0, 0.3, velocities.shape)
        positions += velocities
        detected = positions[rng.random(objects) > 0.1]
        false_positives = rng.uniform(0, 400, (rng.poisson(0.5), 2))
        centers = np.concatenate([detected, false_positives])
        scores = [rng.uniform(0.3, 1, len(detected)), rng.uniform(0.05, 0.7, len(false_positives))]
        boxes = [box_at(x, y, side) for x, y in centers]
        detections.append(frame_of(*boxes, scores=np.concatenate(scores)))
    return detections
