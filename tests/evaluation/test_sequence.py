import numpy as np
import pytest
from helpers.tracks import track_of

from res3d.evaluation.sequence import pair_frames
from res3d.structures import Rle, VideoTracks

BOX, SHIFTED, FAR = [0, 0, 20, 20], [4, 0, 24, 20], [100, 0, 120, 20]


def video(*tracks, num_frames: int = 3, **fields) -> VideoTracks:
    return VideoTracks(tracks=tracks, num_frames=num_frames, **fields)


def test_frames_of_the_longer_side_are_paired_by_class():
    truth = video(track_of(3, [0, 1], [BOX, BOX]), track_of(4, [0], [FAR], label=2))
    predictions = video(track_of(7, [1, 4], [SHIFTED, BOX]), track_of(8, [1], [FAR], label=2), num_frames=5)
    pairs = pair_frames(truth, predictions, label=1, kind="box")
    assert [pair.truth.frame for pair in pairs] == [0, 1, 2, 3, 4]
    assert [pair.truth.ids.tolist() for pair in pairs] == [[3], [3], [], [], []]
    assert [pair.predictions.ids.tolist() for pair in pairs] == [[], [7], [], [], [7]]
    assert [pair.similarity.shape for pair in pairs] == [(1, 0), (1, 1), (0, 0), (0, 0), (0, 1)]
    assert pairs[1].similarity[0, 0] == pytest.approx(16 / 24)


def test_only_annotated_frames_are_paired():
    truth = video(track_of(3, [0, 2], [BOX, BOX]), annotated=np.array([0, 2]))
    pairs = pair_frames(truth, video(track_of(7, [0, 1, 2], [BOX] * 3)), label=1, kind="box")
    assert [pair.truth.frame for pair in pairs] == [0, 2]


def test_objects_with_score_0_are_excluded_with_the_prediction_that_matches_them():
    """Both predictions overlap the ignored object by more than one half; only the better one is excluded."""
    truth = video(track_of(1, [0], [BOX], scores=[0.0]), track_of(2, [0], [FAR]), num_frames=1)
    predictions = video(track_of(5, [0], [BOX]), track_of(6, [0], [SHIFTED]), track_of(7, [0], [FAR]), num_frames=1)
    (pair,) = pair_frames(truth, predictions, label=1, kind="box")
    assert pair.truth.ids.tolist() == [2]
    assert pair.predictions.ids.tolist() == [6, 7]
    assert pair.similarity.tolist() == [[0, 1]]


def test_prediction_that_fits_a_counted_object_better_is_not_excluded():
    truth = video(track_of(1, [0], [SHIFTED], scores=[0.0]), track_of(2, [0], [BOX]), num_frames=1)
    (pair,) = pair_frames(truth, video(track_of(5, [0], [BOX]), num_frames=1), label=1, kind="box")
    assert pair.predictions.ids.tolist() == [5]


def test_prediction_far_from_an_ignored_object_is_not_excluded():
    truth = video(track_of(1, [0], [FAR], scores=[0.0]), num_frames=1)
    (pair,) = pair_frames(truth, video(track_of(5, [0], [BOX]), num_frames=1), label=1, kind="box")
    assert (pair.truth.ids.tolist(), pair.predictions.ids.tolist()) == ([], [5])


def test_objects_without_a_mask_are_excluded_where_masks_are_compared():
    mask = Rle.encode(np.ones((20, 20), bool))
    truth = video(track_of(1, [0, 1], [BOX, BOX], masks=(mask, None)), num_frames=2)
    predictions = video(
        track_of(5, [0, 1], [BOX, BOX], masks=(mask, mask)), track_of(6, [0, 1], [FAR, FAR]), num_frames=2
    )
    first, second = pair_frames(truth, predictions, label=1, kind="mask")
    assert (first.truth.ids.tolist(), first.predictions.ids.tolist()) == ([1], [5])
    assert (second.truth.ids.tolist(), second.predictions.ids.tolist()) == ([], [])
    assert len(pair_frames(truth, predictions, label=1, kind="box")[1].predictions) == 2
