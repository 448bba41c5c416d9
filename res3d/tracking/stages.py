"""Matching stages of single frames and of the tubes of clips.

Single frames are matched as in ByteTrack (arXiv 2110.06864): detections of high score first, then detections of low
score with the tracks that had a detection in the previous frame. The remaining detections are matched by their distance
from the last box of a track. OC-SORT (arXiv 2203.14360) trusts the last detection more than the prediction, because the
prediction fails for an object that stopped, turned or jumped.

Tubes are matched by their overlap in the frames that two clips share.
"""

import numpy as np

from res3d.tracking.distance import distance_cost
from res3d.tracking.matching import Matching, Stage
from res3d.tracking.mixed_cost import mixed_cost
from res3d.tracking.objects import Array, Mask, Rows


def all_tracks(matching: Matching) -> Mask:
    """Return True for all tracks [N]."""
    return np.ones(len(matching.pool), bool)


def confirmed_tracks(matching: Matching) -> Mask:
    """Return a mask [N] of the confirmed tracks."""
    return matching.pool.confirmed


def tentative_tracks(matching: Matching) -> Mask:
    """Return a mask [N] of the tentative tracks."""
    return ~matching.pool.confirmed


def active_tracks(matching: Matching) -> Mask:
    """Return a mask [N] of the confirmed tracks that had a detection in the previous frame."""
    is_recent: Mask = matching.pool.last_frames == matching.candidates.frames[0] - 1
    return matching.pool.confirmed & is_recent


def unoccluded_active_tracks(matching: Matching) -> Mask:
    """Return a mask [N] of those of ``active_tracks`` that no matched detection covers."""
    return active_tracks(matching) & ~matching.occluded()


def overlapping_tracks(matching: Matching) -> Mask:
    """Return a mask [N] of the tracks that are visible in the shared frames of earlier clips."""
    return matching.expectation.overlapping()


def predicted_cost(matching: Matching, rows: Rows, columns: Rows) -> Array:
    """Return the cost of ``settings.costs`` between predicted tracks and detections: [n, m]."""
    return matching.mixed_cost(matching.settings.costs, rows, columns)


def same_object_cost(matching: Matching, rows: Rows, columns: Rows) -> Array:
    """Return 1 - IoU of predicted tracks and detections [n, m], infinite below an IoU of ``class_overlap``."""
    return matching.mixed_cost(matching.settings.same_object, rows, columns)


def low_score_cost(matching: Matching, rows: Rows, columns: Rows) -> Array:
    """Return 1 - IoU of predicted tracks and detections [n, m], infinite below an IoU of ``low_overlap``."""
    return matching.mixed_cost(matching.settings.low_costs, rows, columns)


def distance_from_last(matching: Matching, rows: Rows, columns: Rows) -> Array:
    """Return the distance of detections from the last boxes of tracks, as a fraction of ``lost_reach``: [n, m]."""
    pool, boxes = matching.pool, matching.candidates.first_boxes[columns]
    return distance_cost(pool.boxes[rows], boxes, matching.settings.lost_reach, pool.sizes[rows])


def extrapolated_cost(matching: Matching, rows: Rows, columns: Rows) -> Array:
    """Return the cost of ``settings.costs`` between extrapolated tracks and detections: [n, m].

    Each detection is compared in the first frame where it is visible.
    """
    tracks = matching.expectation.extrapolated(rows)
    detections = matching.candidates.at_first_visible_frame(columns)
    return mixed_cost(matching.settings.costs, tracks, detections)


FRAME_STAGES = (
    Stage(tracks=confirmed_tracks, detections="high", cost=predicted_cost),
    Stage(tracks=all_tracks, detections="high", cost=same_object_cost, any_class=True),
    Stage(tracks=active_tracks, detections="low", cost=low_score_cost),
    Stage(tracks=unoccluded_active_tracks, detections="high", cost=distance_from_last),
    Stage(tracks=tentative_tracks, detections="high", cost=predicted_cost),
)
"""Matching stages for the detections of one frame, in order."""

TUBE_STAGES = (
    Stage(tracks=overlapping_tracks, detections="high", cost=predicted_cost),
    Stage(tracks=overlapping_tracks, detections="high", cost=same_object_cost, any_class=True),
    Stage(tracks=overlapping_tracks, detections="low", cost=low_score_cost),
    Stage(tracks=all_tracks, detections="high", cost=extrapolated_cost),
)
"""Matching stages for the tubes of one clip, in order."""
