import json
import runpy
import sys
from pathlib import Path

import pytest
from helpers.paths import ROOT
from helpers.tracks import random_video, track_of

from res3d.cli import main
from res3d.structures import VideoTracks
from res3d.structures.formats import FORMATS, write_cocovid

pytest.importorskip("trackeval")
TOOL = ROOT / "tools" / "evaluate.py"


@pytest.fixture
def truth(tmp_path) -> Path:
    write_cocovid([random_video(0, name="a"), random_video(1, name="b")], tmp_path / "truth.json")
    return tmp_path / "truth.json"


def test_ground_truth_scores_100_against_itself(truth, tmp_path, capsys):
    assert main(["evaluate", str(truth), str(truth), "--json", str(tmp_path / "scores.json")]) == 0
    lines = capsys.readouterr().out.splitlines()
    totals = [line.split() for line in lines if line.startswith("total")]
    assert len(totals) == 3  # boxes, masks, poses
    assert all(total[1] == "100.00" for total in totals)
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["pose"]["videos"]["b"]["HOTA"] == 1


def test_script_in_tools_runs_the_command(truth, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", [str(TOOL), str(truth), str(truth)])
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(str(TOOL), run_name="__main__")
    assert caught.value.code == 0
    captured = capsys.readouterr()
    assert "PCK@0.2 fly: head 100.00" in captured.out
    assert captured.err == ""


@pytest.mark.parametrize("name", ["mot", "table"])
def test_files_without_a_video_name_match_a_single_video(tmp_path, capsys, name):
    if name == "table":
        pytest.importorskip("pandas")
    video = random_video(masks=False, poses=False)
    video.to_cocovid(tmp_path / "truth.json")
    predictions = tmp_path / f"anything{FORMATS[name].suffixes[0]}"
    FORMATS[name].write(video, predictions)
    assert main(["evaluate", str(predictions), str(tmp_path / "truth.json")]) == 0
    assert "100.00" in capsys.readouterr().out


def test_identity_switches_are_printed_with_their_frames(tmp_path, capsys):
    boxes = [[5, 5, 20, 20]] * 10
    VideoTracks(tracks=(track_of(1, range(10), boxes),), num_frames=10).to_mot(tmp_path / "gt.txt")
    halves = (track_of(1, range(5), boxes[:5]), track_of(2, range(5, 10), boxes[5:]))
    VideoTracks(tracks=halves, num_frames=10).to_mot(tmp_path / "predicted.txt")
    assert main(["evaluate", str(tmp_path / "predicted.txt"), str(tmp_path / "gt.txt")]) == 0
    assert "switch in gt, frame 5: 1 1 was 1, is 2" in capsys.readouterr().out
    assert main(["evaluate", str(tmp_path / "predicted.txt"), str(tmp_path / "gt.txt"), "--switches", "0"]) == 0
    assert "... and 1 more switches" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["TRUTH"], 2, "res3d evaluate: error: needs two paths, PRED and GT, not 1"),
        (["TRUTH", "TRUTH", "--switches", "-1"], 2, "--switches must be ≥ 0, not -1"),
        (["TRUTH", "TRUTH", "--json", "nowhere/a.json"], 2, "--json nowhere/a.json: no such folder"),
        (["none.json", "TRUTH"], 1, "res3d evaluate: none.json: no such file"),
        (["OTHER", "TRUTH"], 1, "the ground truth has a video 'a' that the predictions lack; they have 'c'"),
        (["NOTES", "TRUTH"], 1, "line 1 must be numbers separated by commas, not 'hello'"),
        (["FOLDER", "TRUTH"], 1, "the folder contains no files of tracks (.json or .txt)"),
    ],
)
def test_invalid_input_gives_one_line_and_its_exit_code(truth, tmp_path, capsys, arguments, code, message):
    random_video(name="c").to_cocovid(tmp_path / "other.json")
    (tmp_path / "notes.txt").write_text("hello")
    (tmp_path / "empty").mkdir()
    names = {"TRUTH": truth, "OTHER": tmp_path / "other.json", "NOTES": tmp_path / "notes.txt"}
    names["FOLDER"] = tmp_path / "empty"
    assert main(["evaluate", *(str(names.get(word, word)) for word in arguments)]) == code
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1


def test_failed_write_of_the_scores_leaves_no_file(truth, tmp_path, capsys):
    (tmp_path / "scores.json").mkdir()
    assert main(["evaluate", str(truth), str(truth), "--json", str(tmp_path / "scores.json")]) == 1
    assert "Is a directory" in capsys.readouterr().err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["scores.json", "truth.json"]
