import numpy as np
import pytest
from helpers.detections import box_at, frame_of

from res3d.structures import FrameDetections
from res3d.tracking import CostTerm, LinkSettings
from res3d.tracking.candidates import Candidates
from res3d.tracking.matching import Matching, Stage
from res3d.tracking.motion_expectation import MotionExpectation
from res3d.tracking.pool import TrackPool
from res3d.tracking.window_expectation import WindowExpectation

SETTINGS = LinkSettings(class_overlap=None, min_length=1)


def matching_of(tracks: FrameDetections, detections: FrameDetections, expectation_class=MotionExpectation) -> Matching:
    """Tracks that were detected once, in frame 0, and the detections of frame 1."""
    pool = TrackPool(SETTINGS)
    expectation = expectation_class(SETTINGS, pool)
    first = Candidates(tracks, np.array([0]), SETTINGS)
    expectation.advance(first.frames)
    pool.begin(first, np.arange(len(tracks)), np.zeros(0, bool))
    expectation.begin(first, np.arange(len(tracks)))
    second = Candidates(detections, np.array([1]), SETTINGS)
    expectation.advance(second.frames)
    return Matching(SETTINGS, pool, expectation, second)


def stage_of(tracks: list[bool], cost: list[list[float]], detections: str = "high", **more) -> Stage:
    """A stage with fixed costs [N, M] of all tracks and detections."""
    return Stage(
        tracks=lambda matching: np.array(tracks),
        detections=detections,
        cost=lambda matching, rows, columns: np.array(cost)[np.ix_(rows, columns)],
        **more,
    )


def pairs_of(matching: Matching) -> list[tuple[int, int]]:
    rows, columns = matching.pairs
    return list(zip(rows.tolist(), columns.tolist(), strict=True))


def test_stages_match_what_earlier_stages_left_unmatched():
    boxes = [box_at(50, 50), box_at(150, 50), box_at(250, 50)]
    matching = matching_of(frame_of(*boxes), frame_of(*boxes))
    costs = [[0.9, 0.1, 0.9], [0.1, 0.5, 0.9], [0.9, 0.9, 0.9]]
    matching.run([stage_of([True, False, False], costs)])
    assert pairs_of(matching) == [(0, 1)]
    assert matching.is_unmatched.tolist() == [True, False, True]
    matching.run([stage_of([True, True, False], costs), stage_of([True, True, True], costs)])
    assert pairs_of(matching) == [(0, 1), (1, 0), (2, 2)]
    assert not matching.is_unmatched.any()


def test_a_stage_uses_detections_of_high_or_of_low_score():
    boxes = [box_at(50, 50), box_at(150, 50)]
    matching = matching_of(frame_of(*boxes), frame_of(*boxes, scores=[0.2, 0.9]))
    costs = [[0.1, 0.2], [0.1, 0.2]]
    matching.run([stage_of([True, False], costs, "low")])
    assert pairs_of(matching) == [(0, 0)]
    matching.run([stage_of([True, True], costs, "low")])
    assert pairs_of(matching) == [(0, 0)]
    matching.run([stage_of([True, True], costs)])
    assert pairs_of(matching) == [(0, 0), (1, 1)]


def test_infinite_costs_forbid_pairs():
    matching = matching_of(frame_of(box_at(50, 50)), frame_of(box_at(50, 50)))
    matching.run([stage_of([True], [[np.inf]])])
    assert pairs_of(matching) == []


@pytest.mark.parametrize("any_class", [True, False])
def test_different_classes_match_only_in_stages_that_allow_it(any_class):
    matching = matching_of(frame_of(box_at(50, 50), labels=[1]), frame_of(box_at(50, 50), labels=[2]))
    matching.run([stage_of([True], [[0.0]], any_class=any_class)])
    assert pairs_of(matching) == [(0, 0)] * any_class


def test_without_cost_terms_all_pairs_are_forbidden():
    matching = matching_of(frame_of(box_at(50, 50)), frame_of(box_at(50, 50), box_at(60, 50)))
    rows, columns = np.array([0]), np.array([0, 1])
    assert matching.mixed_cost((), rows, columns).tolist() == [[np.inf, np.inf]]
    assert matching.mixed_cost((CostTerm("overlap"),), rows, columns) == pytest.approx(np.array([[0, 2 / 3]]))


def test_a_track_is_occluded_if_a_matched_detection_covers_a_fifth_of_its_last_box():
    """The second detection covers a quarter of the first track's box; the third one covers 0.15 of it."""
    tracks = frame_of(box_at(50, 50), box_at(65, 50))
    matching = matching_of(tracks, frame_of(box_at(200, 50), box_at(65, 50), box_at(33, 50)))
    assert matching.occluded().tolist() == [False, False]
    matching.run([stage_of([False, True], [[1.0, 1, 1], [1, 1, 0]])])
    assert matching.occluded().tolist() == [False, False]
    matching = matching_of(tracks, frame_of(box_at(200, 50), box_at(65, 50)))
    matching.run([stage_of([False, True], [[1.0, 1], [1, 0]])])
    assert matching.occluded().tolist() == [True, True]


def test_no_track_is_occluded_between_clips():
    frame = frame_of(box_at(50, 50))
    matching = matching_of(frame, frame, WindowExpectation)
    matching.run([stage_of([True], [[0.0]])])
    assert matching.occluded().tolist() == [False]
