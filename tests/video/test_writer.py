import subprocess
import sys

import numpy as np
import pytest
from helpers.paths import ROOT
from helpers.videos import decode_with_pyav, gray_with_bar

from res3d.data import SyntheticVideo
from res3d.video import VideoReader, VideoWriter


@pytest.mark.parametrize("size", [(48, 64), (47, 64), (48, 63), (37, 51)])
def test_frames_come_back_with_their_size(tmp_path, size):
    path = tmp_path / "out.mp4"
    images = [gray_with_bar(n, size[1], size[0]) for n in range(10)]
    with VideoWriter(path, fps=12.5, quality=5) as writer:
        for image in images:
            writer.write(image)
    read = decode_with_pyav(path)
    assert [seconds for seconds, _ in read] == pytest.approx([n / 12.5 for n in range(10)])
    for (_, image), original in zip(read, images, strict=True):
        assert image.shape == original.shape
        assert np.abs(image.astype(int) - original).mean() < 6


@pytest.mark.parametrize("fps", [7, 23.976, 29.97, 30000 / 1001, 59.94])
def test_rates_that_do_not_divide_do_not_drift(tmp_path, fps):
    path = tmp_path / "out.mp4"
    with VideoWriter(path, fps=fps) as writer:
        for n in range(200):
            writer.write(np.full((16, 16, 3), n, np.uint8))
    times = [seconds for _, seconds in VideoReader(path)]
    assert times == pytest.approx([n / fps for n in range(200)], abs=1e-5)
    assert VideoReader(path).info.fps == pytest.approx(fps, rel=1e-4)


def test_variable_times_are_kept_and_the_last_frame_lasts_as_long_as_the_one_before(tmp_path):
    path = tmp_path / "out.mp4"
    times = [0.0, 0.04, 0.05, 0.3, 0.31, 1.0, 1.5]
    with VideoWriter(path) as writer:
        for n, seconds in enumerate(times):
            writer.write(gray_with_bar(n), seconds)
    frames = list(VideoReader(path).frames())
    assert [f.seconds for f in frames] == pytest.approx(times, abs=1e-4)
    assert float(frames[-1].duration) == pytest.approx(0.5, abs=1e-4)


def test_the_file_appears_only_when_it_is_whole(tmp_path):
    path = tmp_path / "out.mp4"
    with VideoWriter(path) as writer:
        writer.write(gray_with_bar(0))
        assert not path.exists()
    assert path.exists()
    assert [p.name for p in tmp_path.iterdir()] == ["out.mp4"]


def test_an_error_leaves_nothing_and_spares_what_was_there(tmp_path):
    path = tmp_path / "out.mp4"
    path.write_bytes(b"older")

    def write_and_fail():
        with VideoWriter(path) as writer:
            writer.write(gray_with_bar(0))
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        write_and_fail()
    assert path.read_bytes() == b"older"
    assert [p.name for p in tmp_path.iterdir()] == ["out.mp4"]


def test_what_ctrl_c_leaves_is_playable_and_has_another_name(tmp_path):
    path = tmp_path / "out.mp4"

    def write_and_interrupt():
        with VideoWriter(path) as writer:
            for n in range(5):
                writer.write(gray_with_bar(n))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_and_interrupt()
    assert [p.name for p in tmp_path.iterdir()] == ["out.partial.mp4"]
    assert len(list(VideoReader(tmp_path / "out.partial.mp4"))) == 5


def test_no_frames_make_no_file(tmp_path):
    with VideoWriter(tmp_path / "out.mp4"):
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("frame", "seconds", "message"),
    [
        (np.zeros((48, 64), np.uint8), None, r"a frame must be uint8 \[H, W, 3\], not uint8 \(48, 64\)"),
        (np.zeros((48, 64, 3), np.float32), None, r"must be uint8 \[H, W, 3\], not float32"),
        (np.zeros((48, 62, 3), np.uint8), None, "a frame of 62×48 in a video of 64×48"),
        (np.zeros((48, 64, 3), np.uint8), 0.0, "frame times must increase"),
    ],
)
def test_wrong_frames_are_refused(tmp_path, frame, seconds, message):
    with VideoWriter(tmp_path / "out.mp4") as writer:
        writer.write(gray_with_bar(0))
        with pytest.raises(ValueError, match=message):
            writer.write(frame, seconds)


@pytest.mark.parametrize(
    ("name", "arguments", "error", "message"),
    [
        ("out.avi", {}, ValueError, "the writer makes .mp4 files, not 'out.avi'"),
        ("nowhere/out.mp4", {}, FileNotFoundError, "nowhere: no such folder"),
        ("out.mp4", {"fps": 0}, ValueError, "fps must be from 0.001 to 90000, not 0"),
        ("out.mp4", {"fps": 1e-7}, ValueError, "fps must be from 0.001 to 90000, not 1e-07"),
        ("out.mp4", {"fps": 1e10}, ValueError, "fps must be from 0.001 to 90000, not 10000000000"),
        ("out.mp4", {"quality": 60}, ValueError, "quality must be from 0 to 51, not 60"),
    ],
)
def test_wrong_arguments_are_refused(tmp_path, name, arguments, error, message):
    with pytest.raises(error, match=message):
        VideoWriter(tmp_path / name, **arguments)


def test_a_closed_writer_takes_no_more_frames(tmp_path):
    with VideoWriter(tmp_path / "out.mp4") as writer:
        writer.write(gray_with_bar(0))
    before = (tmp_path / "out.mp4").read_bytes()
    with pytest.raises(ValueError, match=r"out.mp4 is finished; it takes no more frames"):
        writer.write(gray_with_bar(1))
    writer.close()
    assert (tmp_path / "out.mp4").read_bytes() == before


def test_nothing_is_left_where_the_name_is_taken_by_a_folder(tmp_path):
    (tmp_path / "a.mp4").mkdir()
    with pytest.raises(OSError), VideoWriter(tmp_path / "a.mp4") as writer:  # noqa: PT011 (which one is the system's)
        writer.write(np.zeros((32, 32, 3), np.uint8))
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


@pytest.mark.skipif(sys.platform != "linux", reason="limits the size of files")
def test_a_full_disk_leaves_nothing(tmp_path):
    script = """
import resource, signal, sys
import numpy as np
from res3d.video import VideoWriter
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
rng = np.random.default_rng(0)
try:
    with VideoWriter(sys.argv[1], quality=0) as writer:
        for _ in range(200):
            writer.write(rng.integers(0, 255, (64, 64, 3), np.uint8))
except OSError as error:
    sys.exit(f"told: {error}")
"""
    command = [sys.executable, "-c", script, str(tmp_path / "out.mp4")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert "told: " in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_same_frames_make_the_same_file(tmp_path):
    """Frames are drawn while x264 works: what is in memory then must not matter."""
    for name in ("a.mp4", "b.mp4"):
        SyntheticVideo(num_frames=60, size=(120, 160)).write(tmp_path / name)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
