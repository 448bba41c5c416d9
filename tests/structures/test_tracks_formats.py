"""Saving and loading with the table of formats."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.tracks import assert_same, posed_video, random_video, track_of

from res3d.structures import VideoTracks, tracks_formats
from res3d.structures.formats import FORMATS, TracksFormat, read_tracks, write_cocovid, write_mot, write_posetrack

BASIC = ("name", "num_frames", "fps", "size", "categories")
POSES = ("keypoints", "keypoints_scores")
# file -> fields of ``posed_video()`` that its format does not hold
FILES = {
    "flies.json": (),
    "flies.posetrack.json": ("masks",),
    "flies.txt": ("masks", *POSES, "fps", "size", "categories", "num_frames"),
    "flies.csv": ("fps", "size", "categories", "num_frames"),
}


@pytest.mark.parametrize("name", FILES)
def test_load_reverses_save_and_lost_fields_are_named(tmp_path, name):
    pytest.importorskip("pandas")
    video, path = posed_video(), tmp_path / name
    if FILES[name]:
        with pytest.warns(UserWarning, match=rf"{name}: .* does not hold {', '.join(FILES[name])}"):
            lost = video.save(path)
    else:
        lost = video.save(path)
    assert set(lost) == set(FILES[name])
    assert_same(video, VideoTracks.load(path), without=(*lost, "name"))
    assert list(read_tracks(path)) == ["flies"]


@pytest.mark.filterwarnings("ignore:.*does not hold:UserWarning")
@pytest.mark.parametrize("name", FORMATS)
def test_format_can_be_chosen_by_name(tmp_path, name):
    pytest.importorskip("pandas")
    posed_video().save(tmp_path / "tracks.of.a.video", format=name)
    loaded = VideoTracks.load(tmp_path / "tracks.of.a.video", format=name)
    assert_same(posed_video(), loaded, without=("masks", *POSES, *BASIC))


def test_unknown_formats_and_suffixes_are_refused(tmp_path):
    every = re.escape("cocovid (.json), mot (.txt), posetrack (.posetrack.json, .json), table (.csv)")
    with pytest.raises(ValueError, match=rf"a.xyz: cannot write tracks in '.xyz' files \(accepted: {every}\)"):
        posed_video().save(tmp_path / "a.xyz")
    (tmp_path / "a.xyz").touch()
    with pytest.raises(ValueError, match=rf"a.xyz: cannot read tracks in '.xyz' files \(accepted: {every}\)"):
        VideoTracks.load(tmp_path / "a.xyz")
    with pytest.raises(ValueError, match=re.escape("no tracks format 'cocvid'; did you mean 'cocovid'? (accepted: ")):
        posed_video().save(tmp_path / "a.json", format="cocvid")
    with pytest.raises(FileNotFoundError, match=r"b\.json: no such file"):
        VideoTracks.load(tmp_path / "b.json")


def test_video_of_several_is_chosen_by_name(tmp_path):
    videos = [random_video(0, name="a"), random_video(1, name="b")]
    write_cocovid(videos, tmp_path / "all.json")
    assert_same(videos[1], VideoTracks.load(tmp_path / "all.json", video="b"))
    with pytest.raises(ValueError, match="holds the videos 'a', 'b'; choose one by its name"):
        VideoTracks.load(tmp_path / "all.json")


def test_format_of_json_files_is_detected_from_content(tmp_path):
    write_posetrack(posed_video(), tmp_path / "pose.json")
    write_cocovid([posed_video()], tmp_path / "tracks.posetrack.json")
    assert VideoTracks.load(tmp_path / "pose.json").tracks[0].masks is None
    assert VideoTracks.load(tmp_path / "tracks.posetrack.json").tracks[0].masks is not None


def test_tables_in_a_folder_are_skipped(tmp_path):
    write_mot(random_video(), tmp_path / "a.txt")
    (tmp_path / "a.csv").write_text("frame,id\n")
    assert list(read_tracks(tmp_path)) == ["a"]


def video_with_all_fields() -> VideoTracks:
    """Return a video with embeddings, actions and times, which not every format holds."""
    rng = np.random.default_rng(0)
    times = np.arange(4) / 25 + 0.5
    tracks = [
        track_of(
            n,
            [0, 2],
            [[0, 0, 4, 4]] * 2,
            embeddings=rng.random((2, 3)).astype(np.float32),
            actions=rng.random((2, 5)).astype(np.float32),
            times=times[[0, 2]],
        )
        for n in (1, 2)
    ]
    return VideoTracks(tracks=tuple(tracks), num_frames=4, times=times)


@pytest.mark.parametrize(
    ("name", "refused"),
    [
        ("cocovid", "CocoVID JSON does not hold times"),
        ("mot", "MOTChallenge text does not hold actions, times"),
        ("posetrack", "PoseTrack18 JSON does not hold actions, times"),
        ("table", "A table does not hold times"),
    ],
)
def test_fields_that_a_format_does_not_hold_are_refused_by_name(tmp_path, name, refused):
    pytest.importorskip("pandas")
    with pytest.raises(ValueError, match=refused):
        FORMATS[name].write(video_with_all_fields(), tmp_path / "a")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.json", "a.csv"])
def test_actions_are_saved_and_loaded(tmp_path, name):
    pytest.importorskip("pandas")
    video = video_with_all_fields()
    with pytest.warns(UserWarning, match="does not hold embeddings"):
        assert {"embeddings", "times"} <= set(video.save(tmp_path / name))
    for one, other in zip(video.tracks, VideoTracks.load(tmp_path / name).tracks, strict=True):
        assert np.array_equal(one.actions, other.actions)
        assert other.actions.dtype == np.float32


@pytest.mark.parametrize("name", ["a.json", "a.csv"])
def test_track_without_actions_is_loaded_without(tmp_path, name):
    pytest.importorskip("pandas")
    one, other = (track.replace(embeddings=None, times=None) for track in video_with_all_fields().tracks)
    VideoTracks(tracks=(one, other.replace(actions=None)), num_frames=3, name="a").save(tmp_path / name)
    loaded = VideoTracks.load(tmp_path / name).tracks
    assert np.array_equal(loaded[0].actions, one.actions)
    assert loaded[1].actions is None


def test_new_format_needs_only_an_entry_in_the_table(tmp_path, monkeypatch):
    def write(video: VideoTracks, path: Path) -> None:
        path.write_text(f"{video.name} {len(video)} {video.num_frames}")

    def read(path: Path) -> dict[str, VideoTracks]:
        name, _, length = path.read_text().split()
        return {name: VideoTracks(tracks=(), num_frames=int(length), name=name)}

    count = TracksFormat(
        name="count", title="A count", suffixes=(".n",), write=write, read=read, holds=frozenset(("name", "num_frames"))
    )
    monkeypatch.setitem(tracks_formats.FORMATS._locations, "count", "a_module:COUNT")
    monkeypatch.setitem(__import__("sys").modules, "a_module", type("Module", (), {"COUNT": count}))
    with pytest.warns(UserWarning, match=r"a\.n: A count does not hold masks, keypoints, keypoints_scores, fps"):
        random_video().save(tmp_path / "a.n")
    assert VideoTracks.load(tmp_path / "a.n").num_frames == 31
    assert list(read_tracks(tmp_path)) == ["flies"]
    monkeypatch.setitem(
        __import__("sys").modules,
        "a_module",
        type("Module", (), {"COUNT": replace(count, read=tracks_formats.refuse_reading)}),
    )
    with pytest.raises(ValueError, match=r"cannot read tracks in '\.n' files"):
        VideoTracks.load(tmp_path / "a.n")
    with pytest.raises(ValueError, match="this format can be written but not read"):
        VideoTracks.load(tmp_path / "a.n", format="count")
