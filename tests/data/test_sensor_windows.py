import numpy as np
import pytest
import torch

from res3d.data import SensorWindows


@pytest.fixture
def files(tmp_path):
    rng = np.random.default_rng(0)
    np.save(tmp_path / "w.npy", rng.normal(size=(6, 2, 9)).astype(np.float64))
    np.save(tmp_path / "l.npy", np.array([0, 1, 3, 1, 0, 1], np.int32))
    return tmp_path


def windows(files, **fields) -> SensorWindows:
    return SensorWindows(**{"windows": str(files / "w.npy"), "labels": str(files / "l.npy"), **fields})


def test_windows_are_clips_of_one_frame_and_row(files):
    data = windows(files)
    clip, label = data[2]
    assert (tuple(clip.shape), clip.dtype, label) == ((2, 1, 1, 9), torch.float32, 3)
    assert np.allclose(clip[:, 0, 0].numpy(), np.load(files / "w.npy")[2])
    assert (len(data), data.info.num_classes, data.info.empty) == (6, 4, ("class 2",))


def test_rows_and_num_classes_select_windows_and_classes(files):
    data = windows(files, rows=(3, 6), num_classes=5)
    assert len(data) == 3
    assert data[0][1] == 1
    assert data.info.empty == ("class 2", "class 3", "class 4")


def test_single_channel_file_needs_no_channel_axis(files):
    np.save(files / "w.npy", np.arange(12.0).reshape(6, 2))
    assert windows(files)[1][0].flatten().tolist() == [2.0, 3.0]


def test_invalid_files_and_fields_are_refused(files):
    def assert_refused(message, error=ValueError, **fields):
        with pytest.raises(error, match=message):
            windows(files, **fields)

    assert_refused("nowhere.npy: no such file", FileNotFoundError, windows="nowhere.npy")
    assert_refused(r"rows must be a range \[start, stop\) within the 6 windows, not \(2, 9\)", rows=(2, 9))
    assert_refused(r"labels must be in \[0, 3\), not 0 to 3", num_classes=3)
    np.save(files / "short.npy", np.zeros(5, int))
    assert_refused(r"short\.npy: must be integers \[6\], not int64 \[5\]", labels=str(files / "short.npy"))
    np.save(files / "flat.npy", np.zeros(6))
    assert_refused(
        r"flat\.npy: must be numbers \[N, C, W\] or \[N, W\], not float64 \[6\]", windows=str(files / "flat.npy")
    )
    np.save(files / "objects.npy", np.array([{}, {}], object), allow_pickle=True)
    assert_refused(r"objects\.npy: not an \.npy file of numbers", windows=str(files / "objects.npy"))
    (files / "text.npy").write_text("no array")
    assert_refused(r"text\.npy: not an \.npy file", windows=str(files / "text.npy"))
    np.save(files / "none.npy", np.zeros((0, 3)))
    assert_refused(r"none\.npy: not an \.npy file with at least one row", windows=str(files / "none.npy"))


def test_reading_a_window_that_is_not_finite_raises(files):
    array = np.load(files / "w.npy")
    array[4, 1, 2] = np.nan
    np.save(files / "w.npy", array)
    data = windows(files)
    data[3]
    with pytest.raises(ValueError, match=r"w\.npy: window 4 is not finite"):
        data[4]
