import re
from dataclasses import replace

import numpy as np
import pytest
from helpers.tracks import random_track, track_of

from res3d.structures import FrameTracks


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
        ({"frames": np.array([5, 5])}, "track 4: frames must be at least one number, ≥ 0 and increasing"),
        ({"frames": np.array([-1, 5])}, "track 4: frames must be at least one number, ≥ 0 and increasing"),
        ({"boxes": np.array([[0, 0, 1, 1], [5, 5, 4, 9]], np.float32)}, "track 4: a box must be finite x1, y1, x2, y2"),
        ({"boxes": np.full((2, 4), np.nan, np.float32)}, "track 4: a box must be finite"),
    ],
)
def test_invalid_tracks_are_refused(changes, message):
    valid = track_of(4, [2, 6], [[0, 0, 1, 1]] * 2)
    with pytest.raises(ValueError, match=re.escape(message)):
        replace(valid, **changes)


def test_track_without_frames_is_refused():
    with pytest.raises(ValueError, match="frames must be at least one number"):
        track_of(1, [], [])


def test_at_selects_frames_of_every_field():
    track = random_track(np.random.default_rng(0), 1, 20, poses=True, masks=True)
    part = track.at(track.frames >= 10)
    rows = np.flatnonzero(track.frames >= 10)
    assert part.frames.tolist() == track.frames[rows].tolist()
    assert np.array_equal(part.keypoints, track.keypoints[rows])
    assert part.masks == tuple(track.masks[row] for row in rows)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": np.zeros(3, np.int64)}, "FrameTracks.labels must be [N]"),
        ({"keypoints": np.zeros((2, 5), np.float32)}, "FrameTracks.keypoints must be [N, K, 3]"),
        ({"keypoints_scores": np.zeros((2, 5, 1), np.float32)}, "FrameTracks.keypoints_scores must be [N, K]"),
        ({"masks": ()}, "FrameTracks.masks must be [N] with N = 2, not N = 0"),
    ],
)
def test_invalid_frame_tracks_are_refused(changes, message):
    fields = {"ids": np.arange(2), "labels": np.ones(2, np.int64), "boxes": np.zeros((2, 4)), "scores": np.ones(2)}
    with pytest.raises(ValueError, match=re.escape(message)):
        FrameTracks(frame=0, **(fields | changes))
