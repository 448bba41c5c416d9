import json

import numpy as np
from helpers.tracks import track_of

from res3d.structures.formats.json_fields import JsonField, array_field, read_fields, write_fields

TABLE = {
    "boxes": JsonField(lambda box: {"x": float(box[0]), "area": 1}, lambda entry: entry["x"]),
    "scores": JsonField(lambda score: {"area": float(score)}, lambda entry: entry.get("area")),
    "actions": array_field("actions"),
    "keypoints": array_field("points"),
}


def test_write_fields_skips_absent_fields_and_the_last_writer_of_a_key_wins():
    track = track_of(1, [0, 3], [[5, 0, 6, 1], [7, 0, 8, 1]], scores=[0.5, 0.25])
    assert write_fields(track, 1, TABLE) == {"x": 7, "area": 0.25}


def test_array_field_writes_nested_lists_of_short_numbers():
    points = np.full((2, 2, 3), 0.1, np.float32)
    track = track_of(1, [0, 3], [[0, 0, 1, 1]] * 2, keypoints=points, actions=np.eye(2, dtype=np.float32))
    keys = write_fields(track, 0, TABLE)
    assert keys["points"] == [[0.1, 0.1, 0.1], [0.1, 0.1, 0.1]]
    assert keys["actions"] == [1, 0]
    fields = read_fields(json.loads(json.dumps(keys)), TABLE)
    assert np.array_equal(fields["keypoints"], points[0])
    assert fields["keypoints"].dtype == np.float32
    assert fields["actions"].tolist() == [1, 0]


def test_read_fields_returns_none_for_absent_arrays():
    fields = read_fields({"x": 3, "points": None}, TABLE)
    assert fields == {"boxes": 3, "scores": None, "actions": None, "keypoints": None}
