import re

import pytest
from helpers.tracks import posed_video, random_video

from res3d.structures.formats import (
    read_cocovid,
    read_mot,
    read_mot_detections,
    read_posetrack,
    read_tracks,
    write_cocovid,
    write_mot,
    write_posetrack,
)


def test_read_tracks_detects_the_format(tmp_path):
    write_cocovid([random_video(name="a"), random_video(name="b")], tmp_path / "both.json")
    write_posetrack(posed_video().renamed(name="c"), tmp_path / "pose.json")
    write_mot(random_video(), tmp_path / "d.txt")
    (tmp_path / "e" / "gt").mkdir(parents=True)
    write_mot(random_video(), tmp_path / "e" / "gt" / "gt.txt")
    (tmp_path / "notes.md").write_text("not a track")
    assert list(read_tracks(tmp_path / "both.json")) == ["a", "b"]
    assert list(read_tracks(tmp_path / "pose.json")) == ["c"]
    assert list(read_tracks(tmp_path / "d.txt")) == ["d"]
    assert sorted(read_tracks(tmp_path)) == ["a", "b", "c", "d", "e"]


def test_read_tracks_refuses_invalid_files_and_folders(tmp_path):
    with pytest.raises(ValueError, match=re.escape("the folder contains no files of tracks (.json or .txt)")):
        read_tracks(tmp_path)
    (tmp_path / "a.csv").write_text("1,2")
    with pytest.raises(ValueError, match=r"a\.csv: invalid table of tracks \(the table has no column frame"):
        read_tracks(tmp_path / "a.csv")
    (tmp_path / "a.xyz").write_text("1,2")
    with pytest.raises(
        ValueError, match=r"cannot read tracks in '\.xyz' files \(accepted: cocovid \(\.json\), mot \(\.txt\), "
    ):
        read_tracks(tmp_path / "a.xyz")
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="not a UTF-8 text file"):
        read_tracks(tmp_path / "a.txt")
    write_mot(random_video(), tmp_path / "a.txt")
    (tmp_path / "sub").mkdir()
    write_mot(random_video(), tmp_path / "sub" / "a.txt")
    (tmp_path / "a.csv").unlink()
    with pytest.raises(ValueError, match="two files hold a video 'a'"):
        read_tracks(tmp_path)
    for reader in (read_tracks, read_mot, read_cocovid, read_posetrack, read_mot_detections):
        with pytest.raises(FileNotFoundError, match=r"none.txt: no such file"):
            reader(tmp_path / "none.txt")
