import re

import numpy as np
import pytest
import torch

from res3d.structures.row_kinds import MISSING, ArrayField, ItemField, join_parts

BOXES = ArrayField(axes=("N", "T", "4"), dtype=np.float32)
POINTS = ArrayField(axes=("N", "K", "3"), dtype=np.float32, is_optional=True, fill=-1)
MASKS = ItemField(axes=("N", "T"), is_optional=True, fill=None, encode=lambda mask: f"<{mask}>")


def test_check_shape_defines_sizes_for_later_fields():
    sizes: dict[str, int] = {}
    BOXES.check_shape("boxes", np.zeros((2, 5, 4)), sizes)
    assert sizes == {"N": 2, "T": 5}
    MASKS.check_shape("masks", (("a",) * 5, ("b",) * 5), sizes)
    with pytest.raises(ValueError, match=re.escape("masks must be [N, T] with N = 2, T = 5, not T = 4, 5")):
        MASKS.check_shape("masks", (("a",) * 5, ("b",) * 4), sizes)


def test_check_values_passes_the_bare_name_to_the_check():
    names = []
    field = ArrayField(axes=("N",), dtype=np.float32, check=lambda name, values: names.append(name))
    field.check_values("Track.scores", np.zeros(2, np.float32))
    assert names == ["scores"]
    with pytest.raises(ValueError, match=r"Track\.scores must be float32, not int64"):
        field.check_values("Track.scores", np.zeros(2, np.int64))


def test_empty_takes_sizes_from_numbers_and_words():
    assert BOXES.empty({"T": 7}).shape == (0, 7, 4)
    assert BOXES.empty({}).shape == (0, 0, 4)
    assert ArrayField(axes=("clips", "..."), dtype=np.float32).empty({}).shape == (0,)
    assert MASKS.empty({"T": 7}) == ()


@pytest.mark.parametrize("indices", [np.array([2, 0]), slice(1, None)])
def test_pick_selects_rows(indices):
    values = np.arange(24, dtype=np.float32).reshape(3, 2, 4)
    assert np.array_equal(BOXES.pick(values, indices), values[indices])
    items = (("a", "b"), ("c", "d"), ("e", "f"))
    assert MASKS.pick(items, indices) == tuple(items[n] for n in np.arange(3)[indices])


def test_at_frame_removes_the_axis_of_frames():
    values = np.arange(24).reshape(3, 2, 4)
    assert np.array_equal(BOXES.at_frame(values, 1), values[:, 1])
    times = ArrayField(axes=("T",), dtype=np.float64, is_shared=True)
    assert times.at_frame(np.array([0.5, 0.75]), 1) == 0.75
    assert MASKS.at_frame((("a", "b"), ("c", "d")), 1) == ("b", "d")


def test_read_converts_and_cuts_to_the_sizes():
    tensor = torch.arange(24, dtype=torch.float64).reshape(2, 3, 4)
    array = BOXES.read(tensor, {"T": 2})
    assert array.dtype == np.float32
    assert np.array_equal(array, tensor[:, :2].numpy())
    assert ArrayField(axes=("N", "4"), dtype=np.float32).read([], {}).shape == (0, 4)


def test_read_items_accepts_nested_lists_and_arrays():
    class Grid:
        def __getitem__(self, index):
            row, frame = index
            return f"{row} {frame}"

    assert MASKS.read([["a", "b"], ["c", "d"]], [1], {"T": 2}) == (("<c>", "<d>"),)
    assert MASKS.read(Grid(), [4, 2], {"T": 2}) == (("<4 0>", "<4 1>"), ("<2 0>", "<2 1>"))
    assert ItemField(axes=("N",)).read(["a", "b"], [1, 0], {}) == ("b", "a")


def test_join_parts_fills_and_pads():
    small, large = np.zeros((1, 2, 3), np.float32), np.ones((2, 4, 3), np.float32)
    joined = join_parts("points", POINTS, [1, 3, 2], [small, None, large], pad=True)
    assert joined.shape == (6, 4, 3)
    assert np.array_equal(joined[0, :2], small[0])
    assert (joined[0, 2:] == -1).all()
    assert (joined[1:4] == -1).all()
    assert np.array_equal(joined[4:], large)
    with pytest.raises(ValueError, match=re.escape("all rows of points must have the same shape, not [2, 3], [4, 3]")):
        join_parts("points", POINTS, [1, 2], [small, large])


def test_join_parts_ignores_parts_without_rows():
    values = np.ones((2, 4, 3), np.float32)
    assert join_parts("points", POINTS, [0, 2], [np.zeros((0, 9, 3), np.float32), values]) is values
    assert join_parts("points", POINTS, [0, 2], [None, values]) is values
    assert join_parts("points", POINTS, [1, 2], [None, None]) is None
    assert join_parts("points", POINTS, [0, 0], [None, values[:0]]) is None


def test_join_parts_of_items_fills_every_frame():
    assert join_parts("masks", MASKS, [2, 1], [None, (("a", "b"),)]) == ((None, None), (None, None), ("a", "b"))


def test_join_parts_refuses_a_missing_field_without_fill():
    field = ArrayField(axes=("N",), dtype=np.float32, is_optional=True)
    assert field.fill is MISSING
    with pytest.raises(ValueError, match="cannot join codes: some rows have it and others do not"):
        join_parts("codes", field, [1, 1], [None, np.zeros(1, np.float32)])
