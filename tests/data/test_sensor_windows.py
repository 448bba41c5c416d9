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


def test_rows_and_classes_can_be_given(files):
    data = windows(files, rows=(3, 6), num_classes=5)
    assert len(data) == 3
    assert data[0][1] == 1
    assert data.info.empty == ("class 2", "class 3", "class 4")


def test_a_file_of_one_channel_needs_no_axis_for_it(files):
    np.save(files / "w.npy", np.arange(12.0).reshape(6, 2))
    assert windows(files)[1][0].flatten().tolist() == [2.0, 3.0]


def test_wrong_files_are_named(files):
    def refused(message, error=ValueError, **fields):
        with pytest.raises(error, match=message):
            windows(files, **fields)

    refused("nowhere.npy: no such file", FileNotFoundError, windows="nowhere.npy")
    refused(r"rows must be a range \[first, one after the last\) of 6, not \(2, 9\)", rows=(2, 9))
    refused(r"labels must be in \[0, 3\), not 0 to 3", num_classes=3)
    np.save(files / "short.npy", np.zeros(5, int))
    refused(r"short\.npy: must be whole numbers \[6\], not int64 \[5\]", labels=str(files / "short.npy"))
    np.save(files / "flat.npy", np.zeros(6))
    refused(r"flat\.npy: must be numbers \[N, C, W\] or \[N, W\], not float64 \[6\]", windows=str(files / "flat.npy"))
    np.save(files / "objects.npy", np.array([{}, {}], object), allow_pickle=True)
    refused(r"objects\.npy: not an \.npy file of numbers", windows=str(files / "objects.npy"))
    (files / "text.npy").write_text("no array")
    refused(r"text\.npy: not an \.npy file", windows=str(files / "text.npy"))
    np.save(files / "none.npy", np.zeros((0, 3)))
    refused(r"none\.npy: not an \.npy file with a row", windows=str(files / "none.npy"))


def test_a_window_that_is_not_finite_is_named_when_it_is_read(files):
    array = np.load(files / "w.npy")
    array[4, 1, 2] = np.nan
    np.save(files / "w.npy", array)
    data = windows(files)
    data[3]
    with pytest.raises(ValueError, match=r"w\.npy: window 4 is not finite"):
        data[4]
