"""The stages of matching, for single frames and for the tubes of clips: the algorithm of the linkers.

Those of single frames are ByteTrack's (arXiv 2110.06864): detections of high score first, then those of low score with
tracks that just had one. Detections that are left are looked for around the place where a track was last seen, which
OC-SORT (arXiv 2203.14360) trusts more than a prediction: an object that stopped, turned or jumped is not where its
motion said. Tubes are matched by their agreement on the frames that overlapping clips share.
"""

import numpy as np

from res3d.tracking.distance import distance_cost
from res3d.tracking.matching import Matching, Stage
from res3d.tracking.mixed_cost import mixed_cost
from res3d.tracking.objects import Array, Mask, Rows


def every_track(matching: Matching) -> Mask:
    """Return all tracks."""
    return np.ones(len(matching.pool), bool)


def confirmed(matching: Matching) -> Mask:
    """Return the confirmed tracks."""
    return matching.pool.confirmed


def tentative(matching: Matching) -> Mask:
    """Return the tracks that are not confirmed."""
    return ~matching.pool.confirmed


def just_seen(matching: Matching) -> Mask:
    """Return the confirmed tracks that were seen in the frame before."""
    seen: Mask = matching.pool.last == matching.candidates.frames[0] - 1
    return matching.pool.confirmed & seen


def just_vanished(matching: Matching) -> Mask:
    """Return those of ``just_seen`` that no other object hides now."""
    return just_seen(matching) & ~matching.hidden()


def overlapping(matching: Matching) -> Mask:
    """Return the tracks that earlier clips saw in the frames of this one."""
    return matching.expectation.overlapping()


def expected_cost(matching: Matching, rows: Rows, columns: Rows) -> Array:
    """Return the configured cost (``costs``) where tracks are expected."""
    return matching.mixed_cost(matching.settings.costs, rows, columns)


def same_object_cost(matching: Matching, rows: Rows, columns: Rows) -> Array:
    """Return 1 - IoU where tracks are expected, up to that of one object (``class_overlap``)."""
    return matching.mixed_cost(matching.settings.same_object, rows, columns)


def low_score_cost(matching: Matching, rows: Rows, columns: Rows) -> Array:
    """Return 1 - IoU where tracks are expected, up to that of detections of low score (``low_overlap``)."""
    return matching.mixed_cost(matching.settings.low_costs, rows, columns)


def distance_from_last(matching: Matching, rows: Rows, columns: Rows) -> Array:
    """Return the distance from where tracks were last seen, as a share of ``lost_reach``."""
    pool, boxes = matching.pool, matching.candidates.first_boxes[columns]
    return distance_cost(pool.boxes[rows], boxes, matching.settings.lost_reach, pool.sizes[rows])


def moved_cost(matching: Matching, rows: Rows, columns: Rows) -> Array:
    """Return the configured cost where tracks moved on to, in the frame in which a detection is first seen."""
    tracks, detections = matching.expectation.moved(rows), matching.candidates.at_first_sight(columns)
    return mixed_cost(matching.settings.costs, tracks, detections)


FRAME_STAGES = (
    Stage(tracks=confirmed, detections="high", cost=expected_cost),
    Stage(tracks=every_track, detections="high", cost=same_object_cost, any_class=True),
    Stage(tracks=just_seen, detections="low", cost=low_score_cost),
    Stage(tracks=just_vanished, detections="high", cost=distance_from_last),
    Stage(tracks=tentative, detections="high", cost=expected_cost),
)
"""Matching of the detections of one frame, in this order."""

TUBE_STAGES = (
    Stage(tracks=overlapping, detections="high", cost=expected_cost),
    Stage(tracks=overlapping, detections="high", cost=same_object_cost, any_class=True),
    Stage(tracks=overlapping, detections="low", cost=low_score_cost),
    Stage(tracks=every_track, detections="high", cost=moved_cost),
)
"""Matching of the tubes of one clip, in this order."""
