import re

import numpy as np
import pytest
from PIL import Image

from res3d.viz import SpreadPictures, write_contact_sheet


def test_a_contact_sheet_has_its_pictures_in_rows(tmp_path):
    pictures = [np.full((30, 40, 3), 10 + 50 * n, np.uint8) for n in range(4)]
    write_contact_sheet(pictures, tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as opened:
        sheet = np.asarray(opened)
    assert sheet.shape == (64, 128, 3)
    assert [sheet[15, 20, 0], sheet[15, 64, 0], sheet[15, 108, 0], sheet[50, 20, 0]] == [10, 60, 110, 160]
    assert sheet[50, 64].tolist() == [255, 255, 255]
    write_contact_sheet(pictures, tmp_path / "sheet.png", columns=2, max_width=42)
    with Image.open(tmp_path / "sheet.png") as opened:
        assert opened.size == (42, 32)
    assert [p.name for p in tmp_path.iterdir()] == ["sheet.png"]


def test_invalid_pictures_and_paths_are_refused_and_leave_no_file(tmp_path):
    with pytest.raises(ValueError, match="a contact sheet needs at least one picture, not 0"):
        write_contact_sheet([], tmp_path / "a.png")
    with pytest.raises(ValueError, match=re.escape("must have one size, not [(3, 3, 3), (3, 4, 3)]")):
        write_contact_sheet([np.zeros((3, 3, 3), np.uint8), np.zeros((3, 4, 3), np.uint8)], tmp_path / "a.png")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(OSError, match="Is a directory"):
        write_contact_sheet([np.zeros((3, 3, 3), np.uint8)], tmp_path / "folder.png")
    assert [p.name for p in tmp_path.iterdir()] == ["folder.png"]


@pytest.mark.parametrize("count", [1, 2, 5, 9])
@pytest.mark.parametrize("total", [0, 1, 2, 3, 9, 10, 18, 19, 20, 37, 100, 1000])
def test_pictures_are_selected_at_equal_distances_from_a_stream_of_any_length(total, count):
    spread = SpreadPictures(count)
    for n in range(total):
        spread.add(np.full((1, 1, 3), n))
        assert len(spread._buffer) <= 2 * count
    selected = [int(picture[0, 0, 0]) for picture in spread.pictures]
    assert len(selected) == min(total, count)
    assert selected == sorted(set(selected))
    assert selected[:1] == [0][:total]
    if min(total, count) > 1:
        assert selected[-1] == total - 1
        assert np.abs(np.array(selected) - np.linspace(0, total - 1, len(selected))).max() <= total / count


def test_a_count_below_1_is_refused():
    with pytest.raises(ValueError, match="the number of pictures of a contact sheet must be ≥ 1, not 0"):
        SpreadPictures(0)
