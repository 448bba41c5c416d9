import json
import os
import threading
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.paths import ROOT
from helpers.videos import cut, encode, gray_with_bar, write_h264, write_sound, write_two_streams

import res3d
from res3d.cli import main
from res3d.features import ExtractionRun

SIZE = ["--resize", "40x50", "--crop", "32x32"]


@pytest.fixture
def extract(tmp_path, monkeypatch, thin_spec):
    """Return a function that runs the command with a small network in an empty folder and returns the exit code."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)

    def run(*arguments: object, model: object = thin_spec) -> int:
        return main(["extract", *map(str, arguments), "--model", str(model), *SIZE])

    return run


def files(folder: str = "features") -> list[str]:
    path = Path(folder)
    return sorted(p.name for p in path.iterdir()) if path.exists() else []


@pytest.mark.slow
def test_without_a_video_the_sample_is_generated_and_used(extract, capsys):
    assert extract() == 0
    assert files() == ["res3d_sample.mp4", "res3d_sample.npz"]
    out = capsys.readouterr().out
    assert "no video given: wrote a sample of 100 frames to features/res3d_sample.mp4" in out
    assert "weights: none given, so they are RANDOM (seed 0)" in out
    assert "cpu" in out
    assert "float32" in out
    features = res3d.ClipFeatures.load("features/res3d_sample.npz")
    assert features.features.shape == (7, 64)
    assert np.isfinite(features.features).all()
    assert features.features.std(axis=0).max() > 0, "every clip gives the same features"


def test_features_equal_those_of_the_python_api(extract, video, thin_spec):
    assert extract(video, "--length", 8, "--stride", 3, "--seed", 5, "--layer", "conv4") == 0
    loaded = res3d.ClipFeatures.load("features/video.npz")
    torch.manual_seed(5)
    model = res3d.create_backbone(thin_spec)
    preprocess = res3d.video.Preprocessing(
        resize=(40, 50), crop=(32, 32), mean=(0.43216, 0.394666, 0.37645), std=(0.22803, 0.22145, 0.216989)
    )
    sampler = res3d.video.ClipSampler(8, 3)
    expected = res3d.extract_features(video, model, sampler=sampler, preprocess=preprocess, layer="conv4")
    assert np.array_equal(loaded.features, expected.features)
    assert loaded.meta["weights_sha256"] == expected.meta["weights_sha256"]
    assert loaded.meta["weights"] == "random, seed 5"


def test_weights_of_a_file_are_recorded(extract, video, thin, tmp_path, capsys):
    res3d.save_weights(thin, tmp_path / "w.safetensors")
    assert extract(video, "--weights", tmp_path / "w.safetensors") == 0
    assert "RANDOM" not in capsys.readouterr().out
    meta = res3d.ClipFeatures.load("features/video.npz").meta
    assert meta["weights"] == str(tmp_path / "w.safetensors")


@pytest.mark.parametrize("kind", ["backbone", "classifier", "detector"])
def test_backbone_is_read_from_a_model_file(kind, video, tmp_path):
    backbone = res3d.resnet18_3d(width=0.125)
    model = {
        "backbone": lambda: backbone,
        "classifier": lambda: res3d.ClipClassifier(backbone, 3),
        "detector": lambda: res3d.detection.mask_rcnn_3d("resnet18_3d", 3, width=0.125, channels=16),
    }[kind]()
    res3d.save_weights(model, tmp_path / "w.safetensors")
    command = ["extract", str(video), "--weights", str(tmp_path / "w.safetensors"), "--out", str(tmp_path / "out")]
    assert main([*command, "--resize", "40", "--crop", "32x32", "--length", "4", "--stride", "20"]) == 0
    features = res3d.ClipFeatures.load(tmp_path / "out" / f"{video.stem}.npz")
    assert features.meta["model"] == "resnet18_3d"
    assert features.features.shape[1] == 64


def test_registered_weights_determine_model_clips_and_preprocessing(registered, video, tmp_path):
    command = ["extract", str(video), "--weights", registered, "--out", str(tmp_path / "out")]
    assert main(command) == 0
    meta = res3d.ClipFeatures.load_meta(tmp_path / "out" / "video.npz")
    assert meta["model"] == "resnet10_3d_thin"
    assert meta["weights"] == registered
    clips = {key: meta["sampler"][key] for key in ("length", "stride", "step")}
    assert (clips, meta["fps"]) == ({"length": 8, "stride": 16, "step": 2}, 12.5)
    assert meta["preprocessing"]["resize"] == [40, 50]
    assert meta["preprocessing"]["mean"] == [0.1, 0.2, 0.3]
    assert main([*command, "--crop", "none", "--mean", "[0,0,0]"]) == 0
    meta = res3d.ClipFeatures.load_meta(tmp_path / "out" / "video.npz")
    assert meta["preprocessing"]["crop"] is None
    assert meta["preprocessing"]["mean"] == [0, 0, 0]
    assert meta["preprocessing"]["resize"] == [40, 50]


def test_folders_and_globs_give_one_file_per_video(extract, tmp_path, capsys):
    folder = tmp_path / "videos"
    folder.mkdir()
    for name in ("a.mp4", "b.mkv"):
        write_h264(folder / name, [gray_with_bar(n) for n in range(20)])
    assert extract(folder) == 0
    assert files() == ["a.npz", "b.npz"]
    assert "2 of 2 videos done" in capsys.readouterr().out
    assert extract(folder / "*.mp4", "--out", "other") == 0
    assert files("other") == ["a.npz"]


@pytest.mark.slow
def test_finished_file_is_skipped_until_settings_or_video_change(extract, video, capsys):
    def is_extracted(*arguments: object) -> bool:
        capsys.readouterr()
        assert extract(video, *arguments) == 0
        return "is finished, skipped" not in capsys.readouterr().out

    assert is_extracted()
    assert not is_extracted()
    assert is_extracted("--overwrite")
    changes = (
        ["--stride", 8],
        ["--seed", 1],
        ["--layer", "conv4"],
        ["--pool", "none"],
        ["--end", 1],
        ["--fps", 10],
        ["--dtype", "bfloat16"],
        ["--allow-truncated"],
        ["--mean", "[0,0,0]"],
    )
    for change in changes:
        assert is_extracted(*change), change
        assert not is_extracted(*change), change
        assert is_extracted(), change
    write_h264(video, [gray_with_bar(n) for n in range(30)])
    assert is_extracted()
    Path("features/video.npz").write_bytes(Path("features/video.npz").read_bytes()[:-50])
    assert is_extracted(), "a truncated file is not finished"


def test_replacement_is_reported_and_files_of_other_programs_are_refused(extract, video, capsys):
    assert extract(video) == 0
    capsys.readouterr()
    assert extract(video, "--clip-stride", 8, "--layer", "conv4") == 0
    assert "features/video.npz is replaced: layer was 'conv5', is 'conv4', sampler.stride was 16, is 8" in (
        capsys.readouterr().out
    )
    Path("features/video.npz").write_text("mine")
    assert extract(video) == 2
    assert "video.npz exists and was not made from video.mp4 here (--overwrite replaces it)" in capsys.readouterr().err
    assert Path("features/video.npz").read_text() == "mine"
    assert extract(video, "--overwrite") == 0


def test_short_dotted_and_old_names_set_the_same_settings(extract, video, capsys):
    assert extract(video, "--clip-length", 8, "--dtype", "bf16", "--clips.stride", 4) == 0
    assert "bfloat16" in capsys.readouterr().out
    assert extract(video, "--length", 8, "--dtype", "bfloat16", "--stride", 4) == 0
    captured = capsys.readouterr()
    assert "is finished, skipped" in captured.out
    assert captured.err == ""


def test_ctrl_c_before_the_first_file_reports_no_finished_file(extract, video, monkeypatch, capsys):
    def interrupt(self, frames):
        raise KeyboardInterrupt

    monkeypatch.setattr(ExtractionRun, "_clip_maps", interrupt)
    assert extract(video) == 130
    assert capsys.readouterr().err.endswith("res3d extract: interrupted; no file was finished\n")


def test_unreadable_video_does_not_stop_the_others(extract, video, tmp_path, capsys):
    (tmp_path / "random.mp4").write_bytes(np.random.default_rng(0).bytes(9999))
    (tmp_path / "empty.mp4").touch()
    write_sound(tmp_path / "sound.mp4")
    damaged = cut(video, 0.8)
    names = ["missing.mp4", tmp_path / "random.mp4", tmp_path / "empty.mp4", tmp_path / "sound.mp4", damaged, video]
    assert extract(*names) == 1
    assert files() == ["video.npz"]
    captured = capsys.readouterr()
    errors = captured.err.splitlines()
    assert len(errors) == 5
    assert errors[0] == "res3d extract: missing.mp4: no such file"
    assert all(error.startswith(f"res3d extract: {name}: ") for name, error in zip(names, errors, strict=False))
    assert "Traceback" not in captured.err
    assert "1 of 6 videos done" in captured.out


def test_allow_truncated_uses_the_readable_frames_and_reports_damage(extract, video, capsys):
    damaged = cut(video, 0.8)
    assert extract(damaged, "--allow-truncated") == 0
    assert "truncated or damaged" in capsys.readouterr().out
    assert res3d.ClipFeatures.load(f"features/{damaged.stem}.npz").meta["video"]["damage"]


def test_gap_in_the_frame_times_is_printed(extract, tmp_path, capsys):
    path = tmp_path / "gap.mkv"
    ticks = [n if n < 30 else n + 4 for n in range(40)]
    encode(path, [gray_with_bar(n) for n in range(40)], codec="libx264", ticks=ticks, time_base=Fraction(1, 25))
    assert extract(path) == 0
    assert "gap.mkv: the times of frames have gaps of 4 frames" in capsys.readouterr().out


def test_stream_chooses_among_the_video_streams(extract, tmp_path, capsys):
    """FFmpeg prefers the default track, which is the second."""
    write_two_streams(tmp_path / "two.mkv", [(48, 64), (96, 128)])
    sizes = {}
    for name, flags in {"best": [], "first": ["--stream", 0], "second": ["--stream", 1]}.items():
        assert extract(tmp_path / "two.mkv", "--out", name, *flags) == 0
        meta = res3d.ClipFeatures.load(f"{name}/two.npz").meta
        sizes[name] = meta["video"]["height"], meta["video"].get("stream")
    assert sizes == {"best": (96, None), "first": (48, 0), "second": (96, 1)}
    assert extract(tmp_path / "two.mkv", "--stream", 2) == 1
    assert "two.mkv: no video stream 2: the file has 2, counted from 0" in capsys.readouterr().err


def test_video_without_a_clip_is_reported(extract, video, capsys):
    assert extract(video, "--tail", "drop", "--length", 50) == 0
    assert "40 frames are fewer than the 50 of one clip" in capsys.readouterr().out
    assert res3d.ClipFeatures.load("features/video.npz").features.shape == (0, 64)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--length", 0], "clip length must be a whole number from 1 to 2147483647, not 0"),
        (["--layer", "conv9"], "layer: resnet10_3d_thin has no stage 'conv9' (accepted: stem, conv2"),
        (["--start", -1], "--start must be ≥ 0 seconds, not -1"),
        (["--start", 2, "--end", 2], "--end must be later than --start (2.0 s), not 2.0"),
        (["--fps", 0], "--fps must be ≥ 1e-06, not 0.0"),
        (["--resize", "big"], "--resize must be pixels like 256 or 128x171 (height x width), or none, not 'big'"),
        (["--crop", "64x64"], "crop (64, 64) is larger than frames resized to (40, 50)"),
        (["--device", "warp9"], "--device warp9: not available on this machine"),
        (["--align", "center", "--tail", "drop"], "tail must be 'pad' with align='center', not 'drop'"),
        (["--fps", 1e-9], "--fps must be ≥ 1e-06, not 1e-09"),
        (["--stride", 10**20], "clip stride must be a whole number from 1 to"),
        (["--device", "meta"], "--device must be a device with memory, not 'meta'"),
        (["--mean", "[.nan, 0, 0]"], "mean and std must be three numbers each"),
        (["--out", ""], "--out must name a folder"),
        ([""], "the name of a video must not be empty"),
        (["--batch-size", 0], "batch_size must be a whole number ≥ 1, not 0"),
        (["empty_folder"], "folder 'empty_folder' contains no video"),
        (["*.mov"], "no file matches '*.mov'"),
    ],
)
def test_invalid_settings_give_exit_code_2_and_no_files(extract, video, capsys, arguments, message):
    Path("empty_folder").mkdir()
    # The fixture puts its flags for the size last; here the tested flags must be the last ones.
    code = main(
        [
            "extract",
            str(video),
            "--model",
            str(ROOT / "configs/backbones/resnet10_3d_thin.yaml"),
            *SIZE,
            *map(str, arguments),
        ]
    )
    assert code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not Path("features").exists()


def test_unknown_model_or_invalid_spec_gives_exit_code_2(extract, video, tmp_path, capsys):
    spec = tmp_path / "spec.yaml"
    spec.write_text((ROOT / "configs/backbones/resnet10_3d_thin.yaml").read_text().replace("width: 64", "widht: 64"))
    for model, message in (
        ("resnet18", "no backbone is called 'resnet18'; did you mean 'resnet18_3d'?"),
        (spec, "spec.yaml: spec.stages[3]: unknown key 'widht'; did you mean 'width'?"),
        ("nowhere.yaml", "nowhere.yaml: not a readable spec file"),
    ):
        assert extract(video, model=model) == 2
        assert message in capsys.readouterr().err
    assert not Path("features").exists()


def test_network_without_three_input_channels_is_refused(extract, video, tmp_path, capsys, thin_spec):
    (tmp_path / "gray.yaml").write_text(thin_spec.read_text() + "in_channels: 1\n")
    assert extract(video, model=tmp_path / "gray.yaml") == 2
    assert "videos have 3 channels, and resnet10_3d_thin takes 1" in capsys.readouterr().err


def test_out_of_memory_gives_one_line_and_the_loop_continues(extract, video, capsys, monkeypatch):
    original = ExtractionRun._clip_maps
    calls = []

    def run(self, frames):
        calls.append(1)
        if len(calls) == 1:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate\nmuch")
        return original(self, frames)

    monkeypatch.setattr(ExtractionRun, "_clip_maps", run)
    other = video.with_name("other.mp4")
    other.write_bytes(video.read_bytes())
    assert extract(video, other) == 1
    assert files() == ["other.npz"]
    error = capsys.readouterr().err
    assert "CUDA out of memory. Tried to allocate (if memory is low" in error
    assert error.count("\n") == 1


def test_file_name_of_any_bytes_is_accepted(extract, video, capsys):
    path = Path(os.fsdecode(b"\xff\xc3\xbc [a].mp4"))
    path.write_bytes(video.read_bytes())
    assert extract(path) == 0
    assert len(files()) == 1


def test_invalid_weights_give_exit_code_1(extract, video, tmp_path, capsys):
    (tmp_path / "w.safetensors").write_bytes(b"no weights")
    assert extract(video, "--weights", "missing.safetensors") == 1
    assert extract(video, "--weights", tmp_path / "w.safetensors") == 1
    errors = capsys.readouterr().err.splitlines()
    assert errors[0] == "res3d extract: missing.safetensors: no such weights file"
    assert "w.safetensors: not a safetensors file" in errors[1]
    assert not Path("features").exists()


def test_error_names_an_output_folder_that_cannot_be_created(extract, video, capsys):
    Path("taken").touch()
    assert extract(video, "--out", "taken") == 2
    assert "--out taken: File exists" in capsys.readouterr().err


@pytest.mark.parametrize("config", sorted((ROOT / "configs").glob("extract_*.yaml")), ids=lambda p: p.name)
def test_configuration_of_the_project_runs(video, tmp_path, config, thin_spec):
    flags = ["--model", str(thin_spec), "--out", str(tmp_path / "out")]
    assert main(["extract", str(video), "--config", str(config), *flags]) == 0
    assert len(res3d.ClipFeatures.load(tmp_path / "out" / "video.npz")) > 0


@pytest.mark.slow
def test_ctrl_c_keeps_finished_files_and_leaves_no_partial_file(extract, tmp_path, capsys, ctrl_c):
    folder = tmp_path / "videos"
    folder.mkdir()
    write_h264(folder / "a.mp4", [gray_with_bar(n) for n in range(10)])
    write_h264(folder / "b.mp4", [gray_with_bar(n) for n in range(1500)])
    out = tmp_path / "out"
    before = set(threading.enumerate())
    ctrl_c(lambda: (out / "a.npz").exists() and any(path.stat().st_size for path in out.glob(".b.npz.*")))
    assert extract(folder, "--out", out, "--stride", 1) == 130
    errors = capsys.readouterr().err
    assert "interrupted; finished files are kept" in errors
    assert "Traceback" not in errors
    for thread in set(threading.enumerate()) - before:
        thread.join(10)
        assert not thread.is_alive(), f"{thread} would keep the process from ending"
    assert [p.name for p in out.iterdir()] == ["a.npz"]
    assert len(res3d.ClipFeatures.load(out / "a.npz")) == 1
    assert json.loads(json.dumps(dict(res3d.ClipFeatures.load(out / "a.npz").meta)))["sampler"]["stride"] == 1


def test_at_once_gives_the_same_features(extract, video, capsys):
    others = [video.with_name(f"other{n}.mp4") for n in range(3)]
    for other in others:
        other.write_bytes(video.read_bytes())
    others[1].write_bytes(b"no video")
    assert extract(video, *others, "--at-once", 3) == 1
    assert files() == ["other0.npz", "other2.npz", "video.npz"]
    features, others = (res3d.ClipFeatures.load(f"features/{name}.npz").features for name in ("video", "other2"))
    np.testing.assert_array_equal(features, others)
    assert extract(video, "--at-once", 0) == 2
    assert "--at-once must be ≥ 1, not 0" in capsys.readouterr().err


def test_decoders_give_the_same_features(extract, video, capsys):
    assert extract(video, "--out", "one") == 0
    assert extract(video, "--out", "several", "--decoders", 3) == 0
    one, several = (res3d.ClipFeatures.load(f"{folder}/video.npz") for folder in ("one", "several"))
    np.testing.assert_array_equal(one.features, several.features)
    np.testing.assert_array_equal(one.frame_times, several.frame_times)
    assert extract(video, "--decoders", 0) == 2
    assert "--decoders must be ≥ 1, not 0" in capsys.readouterr().err


def test_ctrl_c_stops_all_videos_at_once(extract, video, monkeypatch):
    other = video.with_name("other.mp4")
    other.write_bytes(video.read_bytes())

    def interrupt(self, frames):
        raise KeyboardInterrupt

    monkeypatch.setattr(ExtractionRun, "_clip_maps", interrupt)
    assert extract(video, other, "--at-once", 2) == 130
    assert files() == []


def test_context_video_is_recorded_and_checked(extract, video, capsys):
    assert extract(video, "--context", "video", "--length", 8, "--stride", 2) == 0
    assert res3d.ClipFeatures.load("features/video.npz").meta["context"] == "video"
    out = capsys.readouterr().out
    assert "busy: decode" in out
    assert extract(video, "--context", "video", "--stride", 3, "--step", 2) == 2
    assert "the clip stride must be a multiple of it, not 3" in capsys.readouterr().err
