"""Fingerprints of datasets change when their source files change."""

import os

import numpy as np
import pytest
from helpers.runs import sensor_files, write_sensor
from PIL import Image

from res3d.data import LabelledClips, SensorWindows, SyntheticClips, SyntheticVideo, TrackedClips
from res3d.data.fingerprint import hash_files
from res3d.structures.formats import write_cocovid

SCENE = SyntheticVideo(seed=4, num_frames=6, size=(32, 48), num_objects=2)


@pytest.fixture
def folder(tmp_path):
    """Sensor windows, two classes of one video each, and a tracked video, with modification times in the past."""
    write_sensor(tmp_path)
    for name in ("clips/a/1", "clips/b/1", "videos/scene"):
        (tmp_path / name).mkdir(parents=True)
        for n, frame in enumerate(SCENE):
            Image.fromarray(frame.image).save(tmp_path / name / f"{n}.png")
    (tmp_path / "tracks").mkdir()
    write_cocovid([SCENE.tracks("scene")], tmp_path / "tracks" / "t.json")
    for path in tmp_path.rglob("*"):
        os.utime(path, (1, 1))
    return tmp_path


def sensor(folder):
    return SensorWindows(**sensor_files(folder))


def labelled(folder):
    return LabelledClips(source=str(folder / "clips"))


def tracked(folder):
    return TrackedClips(annotations=str(folder / "tracks"), videos=str(folder / "videos"), length=2)


def add_video(folder):
    (folder / "clips" / "a" / "0").mkdir()
    Image.new("RGB", (24, 16)).save(folder / "clips" / "a" / "0" / "0.png")


@pytest.mark.parametrize(
    ("data", "change"),
    [
        (sensor, lambda folder: np.save(folder / "labels.npy", np.zeros(32, np.int64))),
        (sensor, lambda folder: np.save(folder / "windows.npy", np.zeros((32, 2, 16), np.float32))),
        (labelled, add_video),
        (labelled, lambda folder: (folder / "clips" / "b").rename(folder / "clips" / "c")),
        (labelled, lambda folder: (folder / "clips" / "b" / "1" / "3.png").touch()),
        (tracked, lambda folder: (folder / "videos" / "scene" / "3.png").touch()),
        (tracked, lambda folder: (folder / "tracks" / "t.json").touch()),
    ],
)
def test_changed_files_change_the_fingerprint(folder, data, change):
    before = data(folder).fingerprint()
    assert data(folder).fingerprint() == before
    change(folder)
    assert data(folder).fingerprint() != before


def test_fingerprint_of_synthetic_clips_depends_on_their_settings():
    assert SyntheticClips(seed=1).fingerprint() == SyntheticClips(seed=1).fingerprint()
    assert SyntheticClips(seed=1).fingerprint() != SyntheticClips(seed=2).fingerprint()


def test_hash_depends_on_order_size_time_and_values(tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    for path in (a, b):
        path.write_bytes(b"1234")
        os.utime(path, (1, 1))
    digest = hash_files([a, b], "x")
    assert digest == hash_files([a, b], "x")
    (tmp_path / "folder").mkdir()
    assert digest == hash_files([a, tmp_path / "folder" / ".." / "b"], "x"), "paths are resolved"
    assert digest != hash_files([b, a], "x")
    assert digest != hash_files([a], "x")
    assert digest != hash_files([a, b], "y")
    os.utime(a, (2, 2))
    later = hash_files([a, b], "x")
    assert later != digest
    a.write_bytes(b"12345")
    os.utime(a, (2, 2))
    assert hash_files([a, b], "x") not in (later, digest)
