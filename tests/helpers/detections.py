"""Detections of made-up scenes for tests of linking."""

import numpy as np

from res3d.structures import FrameDetections


def box_at(x: float, y: float, side: float = 20.0) -> list[float]:
    return [x - side / 2, y - side / 2, x + side / 2, y + side / 2]


def frame_of(*boxes: list[float], scores=None, labels=None, **more) -> FrameDetections:
    n = len(boxes)
    return FrameDetections.from_mapping(
        {
            "boxes": np.array(boxes, np.float32).reshape(-1, 4),
            "scores": np.full(n, 0.9) if scores is None else scores,
            "labels": np.ones(n) if labels is None else labels,
            **more,
        }
    )


def wandering(seed: int, frames: int = 80, objects: int = 6, side: float = 30.0) -> list[FrameDetections]:
    """Objects that wander, are missed, and false alarms."""
    rng = np.random.default_rng(seed)
    place, speed = rng.uniform(50, 350, (objects, 2)), rng.normal(0, 2, (objects, 2))
    made = []
    for _ in range(frames):
        speed += rng.normal(0, 0.3, speed.shape)
        place += speed
        seen = place[rng.random(objects) > 0.1]
        alarms = rng.uniform(0, 400, (rng.poisson(0.5), 2))
        centers = np.concatenate([seen, alarms])
        scores = np.concatenate([rng.uniform(0.3, 1, len(seen)), rng.uniform(0.05, 0.7, len(alarms))])
        made.append(frame_of(*[box_at(x, y, side) for x, y in centers], scores=scores))
    return made
