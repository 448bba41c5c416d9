"""Saving and loading by the table of formats."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers.tracks import assert_same, random_video, track_of

from res3d.structures import VideoTracks, tracks_formats
from res3d.structures.formats import FORMATS, TracksFormat, read_tracks, write_cocovid, write_mot, write_posetrack

BASIC = ("name", "num_frames", "fps", "size", "categories")
POSES = ("keypoints", "keypoints_scores")
# file: what it does not hold of ``random_video`` but for the tracks without poses
FILES = {
    "flies.json": (),
    "flies.posetrack.json": ("masks",),
    "flies.txt": ("masks", *POSES, "fps", "size", "categories", "num_frames"),
    "flies.csv": ("fps", "size", "categories", "num_frames"),
}


def posed() -> VideoTracks:
    video = random_video()
    return video.renamed(tracks=video.tracks[:2])


@pytest.mark.parametrize("name", FILES)
def test_what_is_saved_is_loaded_and_what_is_lost_is_named(tmp_path, name):
    pytest.importorskip("pandas")
    video, path = posed(), tmp_path / name
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
def test_a_format_can_be_named(tmp_path, name):
    pytest.importorskip("pandas")
    posed().save(tmp_path / "tracks.of.a.video", format=name)
    loaded = VideoTracks.load(tmp_path / "tracks.of.a.video", format=name)
    assert_same(posed(), loaded, without=("masks", *POSES, *BASIC))


def test_unknown_formats_and_suffixes_are_refused_with_those_there_are(tmp_path):
    every = re.escape("cocovid (.json), mot (.txt), posetrack (.posetrack.json, .json), table (.csv)")
    with pytest.raises(ValueError, match=f"a.xyz: tracks are written to {every}, not '.xyz' files"):
        posed().save(tmp_path / "a.xyz")
    (tmp_path / "a.xyz").touch()
    with pytest.raises(ValueError, match=f"a.xyz: tracks are read from {every}, not '.xyz' files"):
        VideoTracks.load(tmp_path / "a.xyz")
    with pytest.raises(ValueError, match=re.escape("no tracks format 'cocvid'; did you mean 'cocovid'? (accepted: ")):
        posed().save(tmp_path / "a.json", format="cocvid")
    with pytest.raises(FileNotFoundError, match=r"b\.json: no such file"):
        VideoTracks.load(tmp_path / "b.json")


def test_one_of_several_videos_is_named(tmp_path):
    videos = [random_video(0, name="a"), random_video(1, name="b")]
    write_cocovid(videos, tmp_path / "all.json")
    assert_same(videos[1], VideoTracks.load(tmp_path / "all.json", video="b"))
    with pytest.raises(ValueError, match="holds the videos 'a', 'b'; name one of them"):
        VideoTracks.load(tmp_path / "all.json")


def test_json_files_are_told_apart_by_what_is_in_them(tmp_path):
    write_posetrack(posed(), tmp_path / "pose.json")
    write_cocovid([posed()], tmp_path / "tracks.posetrack.json")
    assert VideoTracks.load(tmp_path / "pose.json").tracks[0].masks is None
    assert VideoTracks.load(tmp_path / "tracks.posetrack.json").tracks[0].masks is not None


def test_a_table_beside_other_files_of_a_folder_is_passed_over(tmp_path):
    write_mot(random_video(), tmp_path / "a.txt")
    (tmp_path / "a.csv").write_text("frame,id\n")
    assert list(read_tracks(tmp_path)) == ["a"]


def with_more() -> VideoTracks:
    """A video with all the fields that not every format holds."""
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
        FORMATS[name].write(with_more(), tmp_path / "a")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.json", "a.csv"])
def test_actions_are_kept(tmp_path, name):
    pytest.importorskip("pandas")
    video = with_more()
    with pytest.warns(UserWarning, match="does not hold embeddings"):
        assert {"embeddings", "times"} <= set(video.save(tmp_path / name))
    for one, other in zip(video.tracks, VideoTracks.load(tmp_path / name).tracks, strict=True):
        assert np.array_equal(one.actions, other.actions)
        assert other.actions.dtype == np.float32


@pytest.mark.parametrize("name", ["a.json", "a.csv"])
def test_tracks_without_actions_beside_others_have_none(tmp_path, name):
    pytest.importorskip("pandas")
    one, other = (track.replace(embeddings=None, times=None) for track in with_more().tracks)
    VideoTracks(tracks=(one, other.replace(actions=None)), num_frames=3, name="a").save(tmp_path / name)
    loaded = VideoTracks.load(tmp_path / name).tracks
    assert np.array_equal(loaded[0].actions, one.actions)
    assert loaded[1].actions is None


def test_a_new_format_is_a_line_of_the_table(tmp_path, monkeypatch):
    def write(video: VideoTracks, path: Path) -> None:
        path.write_text(f"{video.name} {len(video)} {video.num_frames}")

    def read(path: Path) -> dict[str, VideoTracks]:
        name, _, length = path.read_text().split()
        return {name: VideoTracks(tracks=(), num_frames=int(length), name=name)}

    made = TracksFormat(
        name="count", title="A count", suffixes=(".n",), write=write, read=read, holds=frozenset(("name", "num_frames"))
    )
    monkeypatch.setitem(tracks_formats.FORMATS._places, "count", "a_module:COUNT")
    monkeypatch.setitem(__import__("sys").modules, "a_module", type("Module", (), {"COUNT": made}))
    with pytest.warns(UserWarning, match=r"a\.n: A count does not hold masks, keypoints, keypoints_scores, fps"):
        random_video().save(tmp_path / "a.n")
    assert VideoTracks.load(tmp_path / "a.n").num_frames == 31
    assert list(read_tracks(tmp_path)) == ["flies"]
    monkeypatch.setitem(
        __import__("sys").modules,
        "a_module",
        type("Module", (), {"COUNT": replace(made, read=tracks_formats.refuse_reading)}),
    )
    with pytest.raises(ValueError, match=r"tracks are read from .*, not '\.n' files"):
        VideoTracks.load(tmp_path / "a.n")
    with pytest.raises(ValueError, match="files of its format are only written"):
        VideoTracks.load(tmp_path / "a.n", format="count")
