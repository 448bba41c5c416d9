import numpy as np
import pytest

from res3d.cli import main
from res3d.cli.sample import make_sample
from res3d.data import LabelledClips
from res3d.structures import VideoTracks
from res3d.video import VideoReader

SMALL = ["--num-frames", "6", "--size", "48,64", "--num-objects", "2"]


def files(folder) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_sample_writes_a_video_and_its_tracks(tmp_path, capsys):
    assert main(["sample", str(tmp_path / "out"), *SMALL]) == 0
    assert files(tmp_path / "out") == ["res3d_sample.mp4", "res3d_sample_truth.json"]
    assert "wrote " in capsys.readouterr().out
    truth = VideoTracks.from_cocovid(tmp_path / "out" / "res3d_sample_truth.json")
    assert (truth.num_frames, len(truth), truth.size) == (6, 2, (48, 64))
    assert len(list(VideoReader(tmp_path / "out" / "res3d_sample.mp4"))) == 6


@pytest.mark.slow
def test_default_sample_equals_that_of_the_other_commands(tmp_path, capsys):
    assert main(["sample", str(tmp_path)]) == 0
    make_sample(tmp_path)
    assert "using the sample" in capsys.readouterr().out


def test_labelled_videos_form_a_dataset(tmp_path):
    assert main(["sample", str(tmp_path), *SMALL, "--per-class", "2", "--seed", "7"]) == 0
    kinds = ("disc", "square", "triangle")
    assert files(tmp_path) == [f"{kind}/{kind}_{number:03d}.mp4" for kind in kinds for number in range(2)]
    clips = LabelledClips(source=str(tmp_path), length=4)
    assert len(clips) == 6
    first = [next(iter(VideoReader(tmp_path / name)))[0] for name in files(tmp_path)]
    assert len({image.tobytes() for image in map(np.ascontiguousarray, first)}) == 6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "needs one path, OUT, not 0"),
        (["OUT", "--size", "8,8"], "size must be ≥ 32 pixels"),
        (["OUT", "--per-class", "0"], "--per-class must be ≥ 1, not 0"),
        (["OUT", "--num-frames", "0"], "num_frames, num_objects and fps must be > 0"),
    ],
)
def test_invalid_settings_give_exit_code_2_and_no_files(tmp_path, capsys, arguments, message):
    words = [str(tmp_path / "x") if word == "OUT" else word for word in arguments]
    assert main(["sample", *words]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


def test_existing_files_need_overwrite(tmp_path, capsys):
    (tmp_path / "res3d_sample_truth.json").write_text("mine")
    assert main(["sample", str(tmp_path), *SMALL]) == 2
    assert "exists (--overwrite replaces it)" in capsys.readouterr().err
    assert files(tmp_path) == ["res3d_sample_truth.json"]
    assert main(["sample", str(tmp_path), *SMALL, "--overwrite"]) == 0
    (tmp_path / "file").write_text("mine")
    assert main(["sample", str(tmp_path / "file"), *SMALL]) == 1
