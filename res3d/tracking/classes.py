"""One object that a detector found as several classes: it is tracked once, and every finding has a vote."""

from typing import TypeVar

import numpy as np

from res3d.structures import ClipDetections, FrameDetections
from res3d.tracking.costs import Array, Objects
from res3d.tracking.mixed_cost import mixed_cost
from res3d.tracking.settings import LinkSettings

Votes = list[tuple[int, float]]  # class, score
Detections = TypeVar("Detections", FrameDetections, ClipDetections)


def settle_classes(
    found: Detections, boxes: Array, visible: Array, settings: LinkSettings
) -> tuple[Detections, list[Votes]]:
    """The best of the findings of each object, and the votes of all of them, in the order of ``found``.

    Detectors suppress class by class, so what looks a little like a truck is found as one beside the car that it is.

    Args:
        found: M detections.
        boxes: [M, T, 4] and ``visible`` [M, T]: where they are.
        settings: ``class_overlap`` says what is one object.
    """
    votes: list[Votes] = [[vote] for vote in zip(found.labels.tolist(), found.scores.tolist(), strict=True)]
    counted = found.scores >= settings.min_score
    if not settings.same_place or len(np.unique(found.labels[counted])) < 2:
        return found, votes
    objects = Objects(boxes=boxes, visible=visible)
    one = np.isfinite(mixed_cost(settings.same_place, objects, objects))
    one &= (found.labels[:, None] != found.labels) & counted
    kept, undecided = np.zeros(len(found), bool), np.ones(len(found), bool)
    for best in np.argsort(-found.scores, kind="stable").tolist():
        if not undecided[best]:
            continue
        kept[best], undecided[best] = True, False
        others = np.flatnonzero(one[best] & undecided)
        votes[best] += [vote for other in others.tolist() for vote in votes[other]]
        undecided[others] = False
    return found[kept], [votes[n] for n in np.flatnonzero(kept).tolist()]
