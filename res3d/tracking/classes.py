"""Suppression of detections across classes: only the best detection of each object is tracked.

All detections of the object vote for its class.
"""

import numpy as np

from res3d.structures import ClipDetections, FrameDetections
from res3d.tracking.identity import Votes
from res3d.tracking.mixed_cost import mixed_cost
from res3d.tracking.objects import Objects, Rows
from res3d.tracking.settings import LinkSettings


def suppress_across_classes(
    detections: FrameDetections | ClipDetections, objects: Objects, settings: LinkSettings
) -> tuple[Rows | None, list[Votes]]:
    """Suppress the detections that show the same object as a better detection of another class.

    Detectors apply non-maximum suppression class by class. They may therefore detect a car that looks like a truck as
    both. Two detections of different classes are of one object if their IoU is at least ``settings.class_overlap``.
    Detections with a score below ``settings.min_score`` neither suppress others nor are suppressed.

    Args:
        detections: M detections.
        objects: their boxes and visibility.

    Returns:
        (indices, votes): indices [n] of the remaining detections, or None if all M remain; and for each remaining
        detection the (class, score) of every detection of its object.
    """
    labels, scores = detections.labels, detections.scores
    votes: list[Votes] = [[vote] for vote in zip(labels.tolist(), scores.tolist(), strict=True)]
    is_counted = scores >= settings.min_score
    if not settings.same_object or len(set(labels[is_counted].tolist())) < 2:
        return None, votes
    is_same = np.isfinite(mixed_cost(settings.same_object, objects, objects))
    is_same &= (labels[:, None] != labels) & is_counted
    is_best, is_pending = np.zeros(len(labels), bool), np.ones(len(labels), bool)
    for best in np.argsort(-scores, kind="stable").tolist():
        if not is_pending[best]:
            continue
        is_best[best], is_pending[best] = True, False
        others = np.flatnonzero(is_same[best] & is_pending)
        votes[best] += [vote for other in others.tolist() for vote in votes[other]]
        is_pending[others] = False
    indices = np.flatnonzero(is_best)
    return indices, [votes[n] for n in indices.tolist()]
