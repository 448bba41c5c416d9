import numpy as np
import pytest
from helpers.detections import box_at, frame_of

from res3d.structures import FrameDetections
from res3d.tracking import FrameLinker, LinkSettings, stages
from res3d.tracking.candidates import Candidates
from res3d.tracking.matching import Matching

A, B, C = box_at(50, 50), box_at(150, 50), box_at(250, 50)


def matching_after(frames: list[FrameDetections], detections: FrameDetections, **changes) -> Matching:
    """Link frames, and prepare the matching of the detections of the next frame."""
    settings = LinkSettings(**changes)
    linker = FrameLinker(settings)
    for frame in frames:
        linker.push(frame)
    candidates = Candidates(detections, np.array([len(frames)]), settings)
    linker._expectation.advance(candidates.frames)
    return Matching(settings, linker._pool, linker._expectation, candidates)


def test_tracks_of_each_stage():
    """A is confirmed and was detected in the last frame, B is confirmed and lost, C is tentative."""
    matching = matching_after([frame_of(A, B), frame_of(A, B), frame_of(A, C)], frame_of(A), min_length=2)
    assert stages.all_tracks(matching).tolist() == [True, True, True]
    assert stages.confirmed_tracks(matching).tolist() == [True, True, False]
    assert stages.tentative_tracks(matching).tolist() == [False, False, True]
    assert stages.active_tracks(matching).tolist() == [True, False, False]
    assert stages.overlapping_tracks(matching).tolist() == [False, False, False]


@pytest.mark.parametrize(("x", "is_unoccluded"), [(60, False), (90, True)])
def test_an_active_track_is_unoccluded_if_no_matched_detection_covers_it(x, is_unoccluded):
    other = box_at(x, 50)
    matching = matching_after([frame_of(A, other)] * 3, frame_of(other))
    matching.run(stages.FRAME_STAGES[:1])
    assert matching.pairs[0].tolist() == [1]
    assert stages.unoccluded_active_tracks(matching).tolist()[0] == is_unoccluded


def test_costs_of_overlap_are_infinite_beyond_their_limits():
    """The IoU of the boxes is 0.6."""
    matching = matching_after([frame_of(A)] * 3, frame_of(box_at(55, 50)), class_overlap=0.61, low_overlap=0.59)
    pair = np.array([0]), np.array([0])
    assert stages.predicted_cost(matching, *pair) == pytest.approx(np.array([[0.4]]))
    assert stages.extrapolated_cost(matching, *pair) == pytest.approx(np.array([[0.4]]))
    assert stages.low_score_cost(matching, *pair) == pytest.approx(np.array([[0.4]]))
    assert stages.same_object_cost(matching, *pair).tolist() == [[np.inf]]


def test_the_distance_from_the_last_box_is_relative_to_lost_reach():
    matching = matching_after([frame_of(A)] * 3, frame_of(box_at(60, 50), box_at(91, 50)), lost_reach=2.0)
    cost = stages.distance_from_last(matching, np.array([0]), np.array([0, 1]))
    assert cost == pytest.approx(np.array([[10 / (2 * 20), np.inf]]))
