import numpy as np
import pytest

from res3d.evaluation.sequence import FramePair
from res3d.evaluation.switches import Switch, find_switches
from res3d.structures import FrameTracks


def tracks(frame: int, ids: list[int]) -> FrameTracks:
    count = len(ids)
    return FrameTracks(
        frame=frame,
        boxes=np.tile(np.float32([0, 0, 9, 9]), (count, 1)),
        scores=np.ones(count, np.float32),
        ids=np.array(ids, np.int64),
        labels=np.ones(count, np.int64),
    )


def pair(frame: int, truth: list[int], predictions: list[int], similarity: list[list[float]]) -> FramePair:
    return FramePair(
        truth=tracks(frame, truth),
        predictions=tracks(frame, predictions),
        similarity=np.array(similarity, float).reshape(len(truth), len(predictions)),
    )


def test_change_of_the_track_is_a_switch_also_after_a_gap():
    pairs = [
        pair(0, [1], [5], [[0.9]]),
        pair(1, [1], [], []),
        pair(2, [1], [6], [[0.3]]),  # too dissimilar for a match
        pair(3, [1], [6], [[0.8]]),
        pair(4, [1], [6], [[0.8]]),
        pair(5, [1], [5], [[0.8]]),
    ]
    assert find_switches(pairs) == [
        Switch(frame=3, id=1, before=5, after=6),
        Switch(frame=5, id=1, before=6, after=5),
    ]


def test_match_of_the_previous_frame_has_priority_over_a_more_similar_track():
    pairs = [pair(0, [1], [5], [[0.6]]), pair(1, [1], [5, 6], [[0.6, 0.9]])]
    assert find_switches(pairs) == []


def test_match_before_a_gap_has_no_priority():
    pairs = [pair(0, [1], [5], [[0.6]]), pair(1, [1], [7], [[0.1]]), pair(2, [1], [5, 6], [[0.6, 0.9]])]
    assert find_switches(pairs) == [Switch(frame=2, id=1, before=5, after=6)]


@pytest.mark.parametrize(("similarity", "switches"), [(0.5, 1), (0.499, 0)])
def test_match_needs_a_similarity_of_one_half(similarity, switches):
    pairs = [pair(0, [1], [5], [[0.9]]), pair(1, [1], [6], [[similarity]])]
    assert len(find_switches(pairs)) == switches


def test_new_objects_are_not_switches():
    """Track 5 moves on to another object, which never had a track before."""
    pairs = [pair(0, [1], [5], [[0.9]]), pair(1, [2], [5], [[0.9]]), pair(2, [1, 2], [5], [[0.1], [0.9]])]
    assert find_switches(pairs) == []
