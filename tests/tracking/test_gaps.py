import numpy as np
import pytest

from res3d.tracking.gaps import fill_gap


def test_boxes_are_interpolated_linearly_with_score_0():
    before, after = {"boxes": np.array([0.0, 0, 10, 10])}, {"boxes": np.array([8.0, 4, 18, 22])}
    filled = dict(fill_gap((3, 7), before, after))
    assert list(filled) == [4, 5, 6]
    for number, rows in filled.items():
        fraction = (number - 3) / 4
        assert rows.boxes.dtype == np.float32
        assert rows.boxes.tolist() == [[8 * fraction, 4 * fraction, 10 + 8 * fraction, 10 + 12 * fraction]]
        assert rows.scores.tolist() == [0]
        assert rows.visible is None


def test_there_is_nothing_to_fill_between_neighboring_frames():
    box = {"boxes": np.array([0.0, 0, 10, 10])}
    assert list(fill_gap((3, 4), box, box)) == []


def test_keypoints_that_are_missing_before_or_after_the_gap_are_missing_inside():
    box = np.array([0.0, 0, 10, 10])
    before = np.array([[0.0, 0, 2], [4, 4, 1], [0, 0, 0], [0, 0, 0]])
    after = np.array([[2.0, 6, 1], [0, 0, 0], [8, 8, 2], [0, 0, 0]])
    filled = fill_gap((0, 2), {"boxes": box, "keypoints": before}, {"boxes": box, "keypoints": after})
    ((_, rows),) = filled
    assert rows.keypoints[0] == pytest.approx(np.array([[1, 3, 1], [0, 0, 0], [0, 0, 0], [0, 0, 0]]))


def test_fields_without_interpolation_or_on_one_side_only_are_left_out():
    box = np.array([0.0, 0, 10, 10])
    before = {"boxes": box, "keypoints": np.ones((2, 3)), "embeddings": np.ones(4)}
    ((_, rows),) = fill_gap((0, 2), before, {"boxes": box, "embeddings": np.ones(4)})
    assert rows.keypoints is None
    assert rows.embeddings is None
