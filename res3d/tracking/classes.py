"""Detections of one object as several classes: the best is tracked, and each votes for its class."""

import numpy as np

from res3d.structures import ClipDetections, FrameDetections
from res3d.tracking.identity import Votes
from res3d.tracking.mixed_cost import mixed_cost
from res3d.tracking.objects import Objects, Rows
from res3d.tracking.settings import LinkSettings


def settle_classes(
    detections: FrameDetections | ClipDetections, objects: Objects, settings: LinkSettings
) -> tuple[Rows | None, list[Votes]]:
    """Find detections of several classes that are of one object (``settings.class_overlap``).

    Detectors suppress class by class: a car that looks a little like a truck is found as both.

    Args:
        detections: M detections.
        objects: where they are.

    Returns:
        Numbers [n] of the detections that are the best of their object, None if all are; and for each of these the
        votes of all detections of the object.
    """
    labels, scores = detections.labels, detections.scores
    votes: list[Votes] = [[vote] for vote in zip(labels.tolist(), scores.tolist(), strict=True)]
    counted = scores >= settings.min_score
    if not settings.same_object or len(set(labels[counted].tolist())) < 2:
        return None, votes
    same = np.isfinite(mixed_cost(settings.same_object, objects, objects))
    same &= (labels[:, None] != labels) & counted
    kept, undecided = np.zeros(len(labels), bool), np.ones(len(labels), bool)
    for best in np.argsort(-scores, kind="stable").tolist():
        if not undecided[best]:
            continue
        kept[best], undecided[best] = True, False
        others = np.flatnonzero(same[best] & undecided)
        votes[best] += [vote for other in others.tolist() for vote in votes[other]]
        undecided[others] = False
    numbers = np.flatnonzero(kept)
    return numbers, [votes[n] for n in numbers.tolist()]
