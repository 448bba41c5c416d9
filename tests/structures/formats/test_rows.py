import re

import numpy as np
import pytest

from res3d.structures.formats.rows import Row, tracks_from_rows


def row(identity: int, frame: int, label: int = 1, **values) -> Row:
    values = {"boxes": [frame, 0, frame + 4, 4], "scores": 0.5} | values
    return Row(id=identity, frame=frame, label=label, values=values)


def test_rows_in_any_order_become_sorted_tracks():
    first, second = tracks_from_rows([row(7, 5), row(2, 1, label=3), row(7, 0), row(7, 2)], "a.txt")
    assert (first.id, first.label, first.frames.tolist()) == (7, 1, [0, 2, 5])
    assert first.boxes[:, 0].tolist() == [0, 2, 5]
    assert (second.id, second.label, second.frames.tolist()) == (2, 3, [1])
    assert tracks_from_rows([], "a.txt") == ()


def test_absent_entries_are_filled_if_other_rows_have_them():
    (track,) = tracks_from_rows([row(1, 0, keypoints=np.ones((2, 3))), row(1, 1, keypoints=None)], "a.txt")
    assert track.keypoints[0].all()
    assert not track.keypoints[1].any()
    assert track.masks is None


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([row(1, 3), row(1, 3)], "a.txt: id 1 appears twice in frame 3 (counted from 0)"),
        ([row(1, 3), row(1, 4, label=2)], "a.txt: id 1 has the labels 1 and 2"),
        (
            [row(1, 0, keypoints=np.ones((2, 3))), row(1, 1, keypoints=np.ones((4, 3)))],
            "a.txt: track 1: all rows of keypoints must have the same shape",
        ),
        ([row(1, 0, boxes=[5, 0, 4, 4])], "a.txt: track 1: a box must be finite"),
        ([row(-1, 0)], "a.txt: track -1: the id of a track must be ≥ 0"),
    ],
)
def test_invalid_rows_are_refused_with_their_source(rows, message):
    with pytest.raises(ValueError, match="^" + re.escape(message)):
        tracks_from_rows(rows, "a.txt")
