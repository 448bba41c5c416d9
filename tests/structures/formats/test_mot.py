import re

import numpy as np
import pytest
from helpers.tracks import track_of

from res3d.structures import VideoTracks
from res3d.structures.formats import read_mot, read_mot_detections


def test_mot_counts_frames_and_pixels_from_1(tmp_path):
    video = VideoTracks(
        tracks=(track_of(3, [0, 7], [[0, 0, 10.5, 20], [661.09, 188.12, 784.21, 272.22]]),), num_frames=9
    )
    video.to_mot(tmp_path / "a.txt")
    assert (tmp_path / "a.txt").read_text() == "1,3,1,1,10.5,20,1,1,-1\n8,3,662.09,189.12,123.12,84.1,1,1,-1\n"


@pytest.mark.parametrize(
    ("line", "label", "score"),
    [
        ("2,5,1,1,4,4,0.5", 1, 0.5),
        ("2,5,1,1,4,4,1,3", 3, 1),
        ("2,5,1,1,4,4,0,7,0.25", 7, 0),
        ("2,5,1,1,4,4,0.9,-1,-1,-1", 1, 0.9),
        ("2 5 1 1 4 4 0.9 -1 -1 -1", 1, 0.9),
        ("2.0, 5, 1, 1, 4, 4, 0.9, 33.5, 8.2, 0", 1, 0.9),
    ],
)
def test_mot_lines_of_every_layout_are_read(tmp_path, line, label, score):
    (tmp_path / "a.txt").write_text(f"\n{line}\n")
    (track,) = VideoTracks.from_mot(tmp_path / "a.txt", num_frames=10, size=(9, 9), fps=5.0).tracks
    assert (track.id, track.label, track.frames.tolist()) == (5, label, [1])
    assert track.boxes.tolist() == [[0, 0, 4, 4]]
    assert track.scores[0] == np.float32(score)


def test_mot_detections_have_one_entry_per_frame(tmp_path):
    (tmp_path / "det.txt").write_text(
        "3,-1,1,1,4,4,0.5,-1,-1,-1\n1,-1,2,2,4,4,0.25,-1,-1,-1\n3,-1,9,9,1,1,1,-1,-1,-1\n"
    )
    frames = read_mot_detections(tmp_path / "det.txt", num_frames=4)
    assert [len(frame) for frame in frames] == [1, 0, 2, 0]
    assert frames[2].boxes.tolist() == [[0, 0, 4, 4], [8, 8, 9, 9]]
    assert frames[0].scores.tolist() == [0.25]
    with pytest.raises(ValueError, match=r"has frame 3 \(counted from 1\), but num_frames is 2"):
        read_mot_detections(tmp_path / "det.txt", num_frames=2)
    (tmp_path / "det.txt").write_text("1,-1,1,1,4,4,17.5,-1,-1,-1\n")
    with pytest.raises(ValueError, match=r"det.txt: scores must be in 0..1"):
        read_mot_detections(tmp_path / "det.txt")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2,3\n", "a.txt: line 1 has 3 columns, not the 7 to 10 of MOTChallenge text"),
        ("\n1,2,x,4,5,6,7\n", "a.txt: line 2 must be numbers separated by commas, not '1,2,x,4,5,6,7'"),
        ('{"videos": []}', "looks like JSON"),
        ("0,1,1,1,4,4,1\n", "a.txt: line 1: frame must be an integer ≥ 1"),
        ("1.5,1,1,1,4,4,1\n", "a.txt: line 1: frame must be an integer ≥ 1"),
        ("1,1,1,1,-4,4,1\n", "width and height ≥ 0, all numbers finite; not [1.0, 1.0, 1.0, 1.0, -4.0"),
        ("\n1,1,1,1,nan,4,1\n", "a.txt: line 2: frame must be an integer ≥ 1, id and label integers"),
        ("1,1,1,1,4,4,1\n\n2,-1,1,1,4,4,1\n", "line 3 has no id, so the file holds detections, not tracks"),
        ("1,1,1,1,4,4,1\n1,1,2,2,4,4,1\n", "a.txt: id 1 appears twice in frame 0 (counted from 0)"),
        ("1,1,1,1,4,4,1,1\n2,1,2,2,4,4,1,2\n", "a.txt: id 1 has the labels 1 and 2"),
        ("7,1,1,1,4,4,1\n", "a.txt: a track has frame 6, but the video has only 5 frames"),
    ],
)
def test_invalid_mot_files_are_refused(tmp_path, text, message):
    (tmp_path / "a.txt").write_text(text)
    with pytest.raises(ValueError, match=re.escape(message)):
        read_mot(tmp_path / "a.txt", num_frames=5)


def test_read_mot_refuses_a_folder(tmp_path):
    with pytest.raises(ValueError, match="cannot be read"):
        read_mot(tmp_path)
