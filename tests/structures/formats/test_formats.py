"""Properties of all formats: no loss, no partial files, and errors that name an invalid file."""

import json
from pathlib import Path

import numpy as np
import pytest
from helpers.track_files import cocovid_json, key_paths, posetrack_json
from helpers.tracks import assert_same, posed_video, random_video

from res3d.structures import VideoTracks
from res3d.structures.formats import read_cocovid, read_posetrack

POSES = ("keypoints", "keypoints_scores")

# format -> writer, reader, function that returns a video, fields that the format does not hold
FORMATS = {
    "mot": ("to_mot", "from_mot", random_video, ("masks", *POSES, "fps", "size", "categories", "num_frames", "name")),
    "cocovid": ("to_cocovid", "from_cocovid", random_video, ()),
    "posetrack": ("to_posetrack", "from_posetrack", lambda: posed_video(masks=False), ()),
}


@pytest.mark.parametrize("name", FORMATS)
def test_reading_reverses_writing(tmp_path, name):
    writer, reader, make, lost = FORMATS[name]
    video, path = make(), tmp_path / "flies.json"
    getattr(video, writer)(path)
    back = getattr(VideoTracks, reader)(path)
    assert_same(video, back, without=lost)
    assert back.name == "flies"
    assert [p.name for p in tmp_path.iterdir()] == ["flies.json"]


@pytest.mark.parametrize("name", FORMATS)
def test_video_without_objects_is_written_and_read(tmp_path, name):
    writer, reader, _, _ = FORMATS[name]
    getattr(VideoTracks(tracks=(), num_frames=5, name="a"), writer)(tmp_path / "a.json")
    assert len(getattr(VideoTracks, reader)(tmp_path / "a.json")) == 0


@pytest.mark.parametrize("name", ["cocovid", "posetrack"])
def test_frames_without_annotation_are_distinguished(tmp_path, name):
    writer, reader, make, _ = FORMATS[name]
    video = make()
    frames = np.unique(np.concatenate([track.frames for track in video.tracks]))
    video = video.renamed(annotated=frames)
    assert len(frames) < video.num_frames
    getattr(video, writer)(tmp_path / "a.json")
    assert_same(video, getattr(VideoTracks, reader)(tmp_path / "a.json"))


@pytest.mark.parametrize("name", FORMATS)
def test_failed_write_keeps_the_old_file(tmp_path, name, monkeypatch):
    writer, _, make, _ = FORMATS[name]
    path = tmp_path / "a.json"
    path.write_text("old")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        getattr(make(), writer)(path)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize("value", [None, "x", -1, 1e99, [], {}, [[]], {"a": 1}])
@pytest.mark.parametrize(("make", "reader"), [(cocovid_json, read_cocovid), (posetrack_json, read_posetrack)])
def test_invalid_value_anywhere_raises_an_error_that_names_the_file(tmp_path, make, reader, value):
    path = tmp_path / "a.json"
    for key_path in key_paths(make()):
        data = make()
        parent = data
        for key in key_path[:-1]:
            parent = parent[key]
        parent[key_path[-1]] = value
        path.write_text(json.dumps(data))
        try:
            reader(path)
        except ValueError as error:
            assert str(error).startswith(f"{path}: ")  # noqa: PT017 (many of these values are valid)
