import contextlib
import io
import json
from pathlib import Path

import pytest
import torch
from helpers.detectors import tiny_detector
from helpers.videos import cut, gray_with_bar, write_h264

import res3d
from res3d.cli import main
from res3d.detection import DEMO_WEIGHTS
from res3d.structures import Category, VideoTracks, formats
from res3d.tracking import track_video
from res3d.video import VideoReader

pytest.importorskip("supervision")
pytest.importorskip("trackeval")
CATEGORIES = tuple(Category(name=name) for name in ("disc", "square", "triangle"))
LOW = ["--min-score", "0.05", "--high-score", "0.05", "--new-score", "0.05"]  # scores of a random detector are low


@pytest.fixture(scope="module")
def weights(tmp_path_factory) -> Path:
    """Weights file of a random detector, which finds objects everywhere."""
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    torch.manual_seed(0)
    model = tiny_detector(categories=CATEGORIES)
    with torch.no_grad():
        model.box_head.visible.bias.fill_(3)
    res3d.save_weights(model, path)
    return path


@pytest.fixture
def track(tmp_path, monkeypatch, weights):
    """Return a function that runs the command in an empty folder and returns the exit code."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)

    def run(*arguments: object, weights: object = weights) -> int:
        return main(["track", *map(str, arguments), "--weights", str(weights), *LOW])

    return run


@pytest.fixture
def video(tmp_path) -> Path:
    write_h264(tmp_path / "video.mp4", [gray_with_bar(n) for n in range(21)])
    return tmp_path / "video.mp4"


def files(folder: str | Path = "tracks") -> list[str]:
    path = Path(folder)
    return sorted(p.name for p in path.iterdir()) if path.exists() else []


@pytest.fixture(scope="module")
def demonstration(tmp_path_factory) -> tuple[Path, str]:
    """Folder in which the command ran without arguments, as ``python tools/detect_and_track.py``, and its output."""
    folder = tmp_path_factory.mktemp("demonstration")
    output = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(output):
        patch.chdir(folder)
        patch.setenv("OMP_NUM_THREADS", str(torch.get_num_threads()))  # else the command sets it for later tests
        assert main(["track"]) == 0
    return folder, output.getvalue()


@pytest.mark.slow
def test_without_a_video_the_sample_is_tracked_and_scored(demonstration):
    folder, out = demonstration
    names = sorted([f"res3d_sample{n}" for n in ("_tracked.mp4", "_truth.json", ".json", ".mp4")])
    assert files(folder / "tracks") == names
    assert "no video given: wrote a sample of 100 frames to tracks/res3d_sample.mp4" in out
    assert "classes: disc, square, triangle" in out
    assert "HOTA" in out
    assert "class triangle" in out
    assert len(list(VideoReader(folder / "tracks" / "res3d_sample_tracked.mp4"))) == 100
    assert len(VideoTracks.from_cocovid(folder / "tracks" / "res3d_sample_truth.json")) == 5


@pytest.mark.slow
def test_tracks_equal_those_of_the_python_api(track, video, weights):
    flags = ("--clip-length", 6, "--clip-stride", 3, "--batch-size", 2, "--min-length", 1, "--no-draw")
    assert track(video, *flags) == 0
    assert files() == ["video.json"]
    model = res3d.load_model(weights)
    low = {"min_score": 0.05, "high_score": 0.05, "new_score": 0.05, "min_length": 1}
    expected = track_video(video, model, clip_length=6, clip_stride=3, batch_size=2, **low)
    tracks = VideoTracks.from_cocovid("tracks/video.json")
    assert len(tracks) == len(expected) > 0
    assert (tracks.num_frames, tracks.size, tracks.name) == (21, (expected.size), "video")
    for a, b in zip(tracks.tracks, expected.tracks, strict=True):
        assert (a.id, a.label, a.frames.tolist()) == (b.id, b.label, b.frames.tolist())
        assert a.boxes == pytest.approx(b.boxes, abs=1e-3)
        assert a.masks == b.masks


@pytest.mark.slow
def test_annotated_video_has_size_rate_and_times_of_the_input(track, video):
    assert track(video, "--show-frames", "--formats", "mot,table", "--out", "out") == 0
    assert files("out") == ["video.csv", "video.json", "video.txt", "video_tracked.mp4", "video_tracked.png"]
    before, after = VideoReader(video), VideoReader("out/video_tracked.mp4")
    assert (after.info.width, after.info.height, after.info.fps) == (
        before.info.width,
        before.info.height,
        before.info.fps,
    )
    assert [seconds for _, seconds in after] == pytest.approx([seconds for _, seconds in before], abs=1e-4)
    assert len(VideoTracks.from_mot("out/video.txt")) == len(VideoTracks.from_cocovid("out/video.json"))


def test_time_range_and_detector_settings_are_applied(track, video):
    assert track(video, "--start", 0.2, "--end", 0.6, "--no-draw", "--min-size", 48, "--max-size", 60) == 0
    assert VideoTracks.from_cocovid("tracks/video.json").num_frames == 10
    assert "min_size=48" in json.loads(Path("tracks/video.json").read_text())["info"]["settings"]


@pytest.mark.slow
def test_finished_video_is_skipped_until_settings_change(track, video, capsys):
    assert track(video) == 0
    stamp = Path("tracks/video.json").stat().st_mtime_ns
    assert track(video) == 0
    assert "tracks/video.json is finished, skipped (--overwrite computes it again)" in capsys.readouterr().out
    assert Path("tracks/video.json").stat().st_mtime_ns == stamp
    for change in (["--overwrite"], ["--max-lost", 5], ["--show-frames", "--max-lost", 5]):
        assert track(video, *change) == 0
        assert Path("tracks/video.json").stat().st_mtime_ns != stamp, change
        stamp = Path("tracks/video.json").stat().st_mtime_ns
        capsys.readouterr()


@pytest.mark.slow
def test_files_of_other_programs_and_inputs_are_not_overwritten(track, video, tmp_path, capsys):
    """Files of the user, input files, and tracks of another video with the same name are not overwritten."""
    out = tmp_path / "out"
    out.mkdir()
    for name in ("video.json", "video_tracked.mp4", "video.txt"):
        (out / name).write_text("mine")
        assert track(video, "--formats", "mot", "--out", out) == 2
        assert f"{name} exists and was not made from video.mp4 here" in capsys.readouterr().err
        assert (out / name).read_text() == "mine"
        (out / name).unlink()
    video.with_name("video_tracked.mp4").write_bytes(video.read_bytes())
    assert track(video.parent, "--out", video.parent) == 2
    assert "video_tracked.mp4 is an input and would be overwritten" in capsys.readouterr().err
    assert track(video, "--out", out) == 0
    other = tmp_path / "other" / "video.mp4"
    other.parent.mkdir()
    write_h264(other, [gray_with_bar(n) for n in range(9)])
    assert track(other, "--out", out) == 2
    assert track(other, "--out", out, "--overwrite") == 0
    assert VideoTracks.from_cocovid(out / "video.json").num_frames == 9


@pytest.mark.slow
def test_run_resumes_after_a_failure_between_two_files(track, video, monkeypatch, capsys):
    def fail(*_, **__):
        raise RuntimeError("out of luck")

    with monkeypatch.context() as patch:
        patch.setattr(formats, "write_cocovid", fail)
        assert track(video) == 1
    assert files() == [".video.json.claim", "video_tracked.mp4"]
    assert track(video) == 0
    assert files() == ["video.json", "video_tracked.mp4"]
    capsys.readouterr()
    assert track(video, "--max-lost", 7) == 0
    assert "tracks/video.json is replaced: link changed" in capsys.readouterr().out


@pytest.mark.slow
def test_files_of_other_settings_are_removed(track, video):
    assert track(video, "--formats", "mot") == 0
    assert track(video, "--no-draw", "--max-tracks", 1) == 0
    assert files() == ["video.json"]
    assert track(video, "--formats", "mot", "--max-tracks", 1) == 0
    assert len(VideoTracks.from_mot("tracks/video.txt")) == 1


@pytest.mark.slow
def test_annotated_videos_in_the_input_folder_are_not_tracked(track, video, tmp_path, capsys):
    folder = tmp_path / "clips"
    folder.mkdir()
    (folder / "a.mp4").write_bytes(video.read_bytes())
    for _ in range(2):
        assert track(folder, "--out", folder) == 0
        assert files(str(folder)) == ["a.json", "a.mp4", "a_tracked.mp4"]
    assert "is finished, skipped" in capsys.readouterr().out
    assert track(folder / "a_tracked.mp4", "--out", tmp_path / "again") == 0, "an annotated video can be named directly"


@pytest.mark.slow
def test_changed_spec_with_equal_weights_is_tracked_again(track, video, weights, tmp_path, capsys):
    assert track(video, "--no-draw") == 0
    model = res3d.load_model(weights)
    model.set_norm_eps(0.5)
    res3d.save_weights(model, tmp_path / "eps.safetensors")
    assert track(video, "--no-draw", weights=tmp_path / "eps.safetensors") == 0
    assert "is finished, skipped" not in capsys.readouterr().out


def test_settings_are_printed(track, video, capsys):
    assert track(video, "--max-tracks", 2, "--min-size", 50, "--start", 0.1, "--max-lost", 7, "--no-draw") == 0
    out = capsys.readouterr().out
    for text in (
        "shorter side 50",
        "max_tracks 2",
        "max_lost 7",
        "min_score 0.05",
        "from 0.1 s to the end",
        "to tracks",
    ):
        assert text in out


@pytest.mark.slow
def test_second_run_uses_the_same_sample_and_scores_it(demonstration, monkeypatch, capsys):
    folder, first = demonstration
    monkeypatch.chdir(folder)
    assert main(["track"]) == 0
    second = capsys.readouterr().out
    assert "no video given: using the sample tracks/res3d_sample.mp4" in second
    assert "is finished, skipped" in second
    assert second[second.index("HOTA") :] == first[first.index("HOTA") :]


@pytest.mark.slow
def test_other_video_with_the_name_of_the_sample_is_refused(track, video, capsys):
    Path("tracks").mkdir()
    Path("tracks/res3d_sample.mp4").write_bytes(video.read_bytes())
    assert track() == 2
    assert "res3d_sample.mp4 is not the sample video of this version" in capsys.readouterr().err


@pytest.mark.slow
def test_min_score_lowers_the_threshold_of_the_detector(track, video, weights):
    assert track(video, "--no-draw", "--min-score", 0, "--high-score", 0, "--new-score", 0) == 0
    assert "box_score_thresh=0" in json.loads(Path("tracks/video.json").read_text())["info"]["settings"]


def test_video_shorter_than_min_length_is_reported(track, tmp_path, capsys):
    write_h264(tmp_path / "one.mp4", [gray_with_bar(0)])
    assert track(tmp_path / "one.mp4", "--no-draw") == 0
    assert "no tracks, because it has fewer frames than --min-length 3" in capsys.readouterr().out
    assert track(tmp_path / "one.mp4", "--no-draw", "--min-length", 1) == 0
    assert len(VideoTracks.from_cocovid("tracks/one.json")) > 0


@pytest.mark.slow
def test_truth_is_scored(track, video, capsys):
    assert track(video, "--no-draw", "--min-length", 1) == 0
    truth = Path("tracks/video.json").rename("truth.json")
    capsys.readouterr()
    assert track(video, "--no-draw", "--min-length", 1, "--truth", truth) == 0
    assert "100.00" in capsys.readouterr().out
    video.with_name("other.mp4").write_bytes(video.read_bytes())
    assert track(video, video.with_name("other.mp4"), "--truth", truth) == 1
    assert "--truth truth.json has no tracks of other (it has video)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--clip-stride", "8"], "clip_stride must be less than 8 (clip_length), so that clips overlap, not 8"),
        (["--batch-size", "0"], "batch_size must be ≥ 1, not 0"),
        (["--formats", "posetrack"], "--formats posetrack: the detector has no keypoints"),
        (["--formats", "avi"], "--formats[0]: expected one of cocovid, mot, posetrack, table, not 'avi'"),
        (["--no-draw", "--show-frames"], "--show-frames needs the annotated frames, which --no-draw turns off"),
        (["--max-tracks", "0"], "max_tracks must be a whole number ≥ 1 or None, not 0"),
        (["--min-size", "0"], "min_size must be a whole number ≥ 1, not 0"),
        (["--end", "2", "--truth", "x.json"], "only whole videos are scored"),
        (["--out", ""], "--out must name a folder"),
        (["--backbone", "resnet18_3d"], "defines its backbone and norms"),
    ],
)
def test_invalid_settings_give_exit_code_2_and_no_files(track, video, capsys, flags, message):
    assert track(video, *flags) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert files() == []


def test_empty_name_of_weights_is_refused(track, video, capsys):
    assert track(video, weights="") == 2
    assert "--weights must be the name or file of a detector, not ''" in capsys.readouterr().err


@pytest.mark.slow
def test_error_names_files_that_cannot_be_read(track, video, tmp_path, capsys, thin):
    assert track("missing.mp4", video, "--no-draw") == 1
    assert "missing.mp4: no such file" in capsys.readouterr().err
    assert files() == ["video.json"]
    assert track(video, weights="missing.pth") == 1
    assert "missing.pth" in capsys.readouterr().err
    res3d.save_weights(thin, tmp_path / "thin.safetensors")
    assert track(video, weights=tmp_path / "thin.safetensors") == 1
    assert "holds a ResNet3d, not a detector" in capsys.readouterr().err
    assert track(video, "--truth", "missing.json") == 1
    assert "missing.json: no such file" in capsys.readouterr().err
    Path("broken.json").write_text('{"a":')
    assert track(video, "--truth", "broken.json") == 1
    assert "broken.json: not a JSON file" in capsys.readouterr().err


def test_truncated_video_needs_allow_truncated(track, video, capsys):
    video = cut(video, 0.8)
    assert track(video) == 1
    assert files() == []
    assert "res3d track: " in capsys.readouterr().err
    assert track(video, "--allow-truncated") == 0
    assert "truncated or damaged" in capsys.readouterr().out
    assert 0 < VideoTracks.from_cocovid("tracks/cut_video.json").num_frames < 21


@pytest.mark.slow
def test_ctrl_c_writes_the_frames_so_far_to_partial_files(track, tmp_path, capsys, ctrl_c):
    write_h264(tmp_path / "long.mp4", [gray_with_bar(n) for n in range(1500)])
    out = tmp_path / "out"
    ctrl_c(lambda: any(path.stat().st_size for path in out.glob(".*.unfinished.mp4")))
    assert track(tmp_path / "long.mp4", "--out", out) == 130
    err = capsys.readouterr().err
    assert "interrupted; finished files are kept" in err
    assert "Traceback" not in err
    assert f"so far of long are in {out / 'long.partial.json'} and {out / 'long_tracked.partial.mp4'}" in err
    assert files(str(out)) == ["long.partial.json", "long_tracked.partial.mp4"]
    drawn = len(list(VideoReader(out / "long_tracked.partial.mp4")))
    assert 0 < drawn < 1500
    assert drawn <= VideoTracks.from_cocovid(out / "long.partial.json").num_frames <= drawn + 1


@pytest.mark.slow
def test_demonstration_detector_tracks_the_sample(demonstration):
    """The weights in the package, which ``python tools/detect_and_track.py`` uses by default."""
    folder, out = demonstration
    assert DEMO_WEIGHTS.stat().st_size < 8e6
    assert "classes: disc, square, triangle" in out
    (total,) = (line.split() for line in out.partition("mask ")[0].splitlines() if line.startswith("total"))
    assert float(total[1]) > 75, "HOTA"
    tracks = VideoTracks.from_cocovid(folder / "tracks" / "res3d_sample.json")
    assert {tracks.categories[track.label].name for track in tracks.tracks} == {"disc", "square", "triangle"}
