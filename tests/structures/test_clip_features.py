import json
import re
import zipfile

import numpy as np
import pytest

from res3d.structures import ClipFeatures, ClipFeaturesWriter


def make_features(clips: int = 3, length: int = 4, tail: tuple[int, ...] = (5,), **changes) -> ClipFeatures:
    rng = np.random.default_rng(clips)
    times = rng.random((clips, length))
    fields = {
        "features": rng.random((clips, *tail)).astype(np.float32),
        "frame_indices": rng.integers(0, 99, (clips, length)),
        "frame_times": times,
        "start_time": times.min(axis=1),
        "end_time": times.max(axis=1),
        "meta": {"model": "ünïcode", "fps": 29.97},
    }
    return ClipFeatures(**(fields | changes))


def assert_equal(a: ClipFeatures, b: ClipFeatures) -> None:
    for name in ("features", "frame_indices", "frame_times", "start_time", "end_time"):
        assert np.array_equal(getattr(a, name), getattr(b, name)), name
        assert getattr(a, name).dtype == getattr(b, name).dtype, name


@pytest.mark.parametrize("tail", [(5,), (5, 2, 3, 4)])
@pytest.mark.parametrize("clips", [0, 1, 7])
def test_load_returns_what_save_wrote(tmp_path, clips, tail):
    original = make_features(clips, tail=tail)
    original.save(tmp_path / "a.npz")
    loaded = ClipFeatures.load(tmp_path / "a.npz")
    assert_equal(original, loaded)
    assert loaded.meta == original.meta == ClipFeatures.load_meta(tmp_path / "a.npz")
    assert len(loaded) == clips


def test_file_can_be_read_with_numpy_alone(tmp_path):
    original = make_features()
    original.save(tmp_path / "a.npz")
    with np.load(tmp_path / "a.npz", allow_pickle=False) as file:
        assert set(file) == {"features", "frame_indices", "frame_times", "start_time", "end_time", "meta"}
        assert np.array_equal(file["features"], original.features)
        assert file["meta"].shape == ()
        assert json.loads(str(file["meta"]))["fps"] == 29.97


def test_writing_in_batches_equals_writing_at_once(tmp_path):
    whole = make_features(9, tail=(5, 2, 3, 3))
    with ClipFeaturesWriter(tmp_path / "a.npz") as writer:
        for rows in (slice(0, 4), slice(4, 5), slice(5, 9)):
            names = ("features", "frame_indices", "frame_times", "start_time", "end_time")
            writer.append(ClipFeatures(**{name: getattr(whole, name)[rows] for name in names}))
            assert not (tmp_path / "a.npz").exists()
        assert writer.num_clips == 9
        writer.finish(whole.meta)
    assert_equal(ClipFeatures.load(tmp_path / "a.npz"), whole)
    assert [p.name for p in tmp_path.iterdir()] == ["a.npz"]


def test_error_leaves_no_file_and_keeps_an_existing_one(tmp_path):
    make_features(2).save(tmp_path / "a.npz")

    def write_and_fail():
        with ClipFeaturesWriter(tmp_path / "a.npz") as writer:
            writer.append(make_features(3))
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        write_and_fail()
    with pytest.raises(TypeError, match="not JSON serializable"):
        make_features(3, meta={"bad": object()}).save(tmp_path / "a.npz")
    assert [p.name for p in tmp_path.iterdir()] == ["a.npz"]
    assert len(ClipFeatures.load(tmp_path / "a.npz")) == 2


def test_batch_of_another_shape_is_refused(tmp_path):
    with ClipFeaturesWriter(tmp_path / "a.npz") as writer:
        writer.append(make_features())
        with pytest.raises(ValueError, match=r"rows of features must be \[5\], as in the first batch, not \[6\]"):
            writer.append(make_features(tail=(6,)))


def test_finish_without_batches_is_refused(tmp_path):
    with (
        ClipFeaturesWriter(tmp_path / "a.npz") as writer,
        pytest.raises(ValueError, match="no batch of features was appended"),
    ):
        writer.finish({})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"start_time": np.zeros(2)}, "ClipFeatures.start_time must be [clips] with clips = 3, length = 4, not [2]"),
        ({"frame_times": np.zeros((3, 5))}, "ClipFeatures.frame_times must be [clips, length]"),
        ({"frame_indices": np.zeros(3, np.int64)}, "ClipFeatures.frame_indices must be [clips, length]"),
        ({"features": np.zeros((3, 5))}, "ClipFeatures.features must be float32, not float64"),
        ({"frame_indices": np.zeros((3, 4), np.int32)}, "ClipFeatures.frame_indices must be int64, not int32"),
    ],
)
def test_arrays_of_wrong_shape_or_dtype_are_refused(changes, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make_features(**changes)


def test_invalid_files_are_refused_with_their_name(tmp_path):
    (tmp_path / "random.npz").write_bytes(b"PK\x03\x04" + bytes(99))
    (tmp_path / "text.npz").write_text("hello")
    (tmp_path / "empty.npz").write_bytes(b"")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    np.savez(tmp_path / "pickle.npz", features=np.array([{}], dtype=object), meta=np.array("{}"))
    np.savez(tmp_path / "list.npz", meta=np.array("[]"))
    np.save(tmp_path / "array.npy", np.zeros(3))
    make_features().save(tmp_path / "whole.npz")
    (tmp_path / "cut.npz").write_bytes((tmp_path / "whole.npz").read_bytes()[:-30])
    data = bytearray((tmp_path / "whole.npz").read_bytes())
    data[data.rfind(b"PK\x01\x02") + 10] = 99  # unknown compression method of the last member, meta
    (tmp_path / "method.npz").write_bytes(data)
    invalid = ("random.npz", "text.npz", "empty.npz", "other.npz", "pickle.npz", "array.npy", "cut.npz", "method.npz")
    for name in invalid:
        with pytest.raises(ValueError, match=rf"{name}: not a file of clip features"):
            ClipFeatures.load(tmp_path / name)
    with pytest.raises(ValueError, match=r"list.npz: not a file of clip features \(meta is list"):
        ClipFeatures.load_meta(tmp_path / "list.npz")
    with pytest.raises(FileNotFoundError, match=r"nowhere.npz: no such file"):
        ClipFeatures.load(tmp_path / "nowhere.npz")
    with zipfile.ZipFile(tmp_path / "whole.npz") as archive:
        assert archive.testzip() is None
