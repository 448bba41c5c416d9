import re
from dataclasses import replace

import numpy as np
import pytest
from helpers.tracks import random_track, track_of

from res3d.structures import Category, FrameTracks


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"boxes": np.zeros((3, 4), np.float32)}, "Track.boxes must be [F, 4] with F = 2, not [3, 4]"),
        ({"scores": np.zeros(2)}, "Track.scores must be float32, not float64"),
        ({"keypoints": np.zeros((2, 5), np.float32)}, "Track.keypoints must be [F, K, 3]"),
        ({"keypoints": np.full((2, 5, 3), np.inf, np.float32)}, "track 4: keypoints must be finite"),
        ({"keypoints_scores": np.zeros((3, 5), np.float32)}, "Track.keypoints_scores must be [F, K]"),
        ({"masks": (None,)}, "track 4: Track.masks must be [F] with F = 2, not F = 1"),
        ({"id": -1}, "the id of a track must be ≥ 0, not -1"),
        ({"frames": np.array([5, 5])}, "track 4: frames must be ≥ 0 and increase"),
        ({"frames": np.array([-1, 5])}, "track 4: frames must be ≥ 0 and increase"),
        ({"boxes": np.array([[0, 0, 1, 1], [5, 5, 4, 9]], np.float32)}, "track 4: a box must be finite x1, y1, x2, y2"),
        ({"boxes": np.full((2, 4), np.nan, np.float32)}, "track 4: a box must be finite"),
    ],
)
def test_what_is_no_track_is_refused(changes, message):
    good = track_of(4, [2, 6], [[0, 0, 1, 1]] * 2)
    with pytest.raises(ValueError, match=re.escape(message)):
        replace(good, **changes)


def test_no_track_is_empty():
    with pytest.raises(ValueError, match="there must be one at least"):
        track_of(1, [], [])


def test_a_part_of_a_track():
    track = random_track(np.random.default_rng(0), 1, 20, poses=True, masks=True)
    part = track.at(track.frames >= 10)
    rows = np.flatnonzero(track.frames >= 10)
    assert part.frames.tolist() == track.frames[rows].tolist()
    assert np.array_equal(part.keypoints, track.keypoints[rows])
    assert part.masks == tuple(track.masks[row] for row in rows)


def test_a_category_has_edges_between_its_keypoints():
    with pytest.raises(ValueError, match=re.escape("category 'fly': an edge joins two of its 2 keypoints, not (0, 2)")):
        Category(name="fly", keypoints=("head", "tail"), skeleton=((0, 2),))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": np.zeros(3, np.int64)}, "FrameTracks.labels must be [N]"),
        ({"keypoints": np.zeros((2, 5), np.float32)}, "FrameTracks.keypoints must be [N, K, 3]"),
        ({"keypoints_scores": np.zeros((2, 5, 1), np.float32)}, "FrameTracks.keypoints_scores must be [N, K]"),
        ({"masks": ()}, "FrameTracks.masks must be [N] with N = 2, not N = 0"),
    ],
)
def test_what_is_no_frame_of_tracks_is_refused(changes, message):
    fields = {"ids": np.arange(2), "labels": np.ones(2, np.int64), "boxes": np.zeros((2, 4)), "scores": np.ones(2)}
    with pytest.raises(ValueError, match=re.escape(message)):
        FrameTracks(frame=0, **(fields | changes))
