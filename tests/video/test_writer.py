import numpy as np
import pytest
from helpers.videos import decode_with_pyav, gray_with_bar

from res3d.data import SyntheticVideo
from res3d.video import VideoReader, VideoWriter


@pytest.mark.parametrize("size", [(48, 64), (47, 64), (48, 63), (37, 51)])
def test_frames_are_read_back_with_the_same_size(tmp_path, size):
    path = tmp_path / "out.mp4"
    images = [gray_with_bar(n, size[1], size[0]) for n in range(10)]
    with VideoWriter(path, fps=12.5, quality=5) as writer:
        for image in images:
            writer.write(image)
    frames = decode_with_pyav(path)
    assert [seconds for seconds, _ in frames] == pytest.approx([n / 12.5 for n in range(10)])
    for (_, image), original in zip(frames, images, strict=True):
        assert image.shape == original.shape
        assert np.abs(image.astype(int) - original).mean() < 6


@pytest.mark.parametrize("fps", [7, 23.976, 29.97, 30000 / 1001, 59.94])
def test_fractional_rates_do_not_drift(tmp_path, fps):
    path = tmp_path / "out.mp4"
    with VideoWriter(path, fps=fps) as writer:
        for n in range(200):
            writer.write(np.full((16, 16, 3), n, np.uint8))
    times = [seconds for _, seconds in VideoReader(path)]
    assert times == pytest.approx([n / fps for n in range(200)], abs=1e-5)
    assert VideoReader(path).info.fps == pytest.approx(fps, rel=1e-4)


def test_variable_frame_times_are_written(tmp_path):
    path = tmp_path / "out.mp4"
    times = [0.0, 0.04, 0.05, 0.3, 0.31, 1.0, 1.5]
    with VideoWriter(path) as writer:
        for n, seconds in enumerate(times):
            writer.write(gray_with_bar(n), seconds)
    frames = list(VideoReader(path).frames())
    assert [f.seconds for f in frames] == pytest.approx(times, abs=1e-4)
    assert float(frames[-1].duration) == pytest.approx(0.5, abs=1e-4)  # that of the previous frame


def test_file_appears_only_when_complete(tmp_path):
    path = tmp_path / "out.mp4"
    with VideoWriter(path) as writer:
        writer.write(gray_with_bar(0))
        assert not path.exists()
    assert path.exists()
    assert [p.name for p in tmp_path.iterdir()] == ["out.mp4"]


def test_error_leaves_no_file_and_keeps_an_existing_one(tmp_path):
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


def test_ctrl_c_leaves_a_playable_partial_file(tmp_path):
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


def test_writer_without_frames_creates_no_file(tmp_path):
    with VideoWriter(tmp_path / "out.mp4"):
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("frame", "seconds", "message"),
    [
        (np.zeros((48, 64), np.uint8), None, r"a frame must be uint8 \[H, W, 3\], not uint8 \(48, 64\)"),
        (np.zeros((48, 64, 3), np.float32), None, r"must be uint8 \[H, W, 3\], not float32"),
        (np.zeros((48, 62, 3), np.uint8), None, "a frame must be 64×48, as the first one, not 62×48"),
        (np.zeros((48, 64, 3), np.uint8), 0.0, "frame times must increase"),
    ],
)
def test_invalid_frames_are_refused(tmp_path, frame, seconds, message):
    with VideoWriter(tmp_path / "out.mp4") as writer:
        writer.write(gray_with_bar(0))
        with pytest.raises(ValueError, match=message):
            writer.write(frame, seconds)


@pytest.mark.parametrize(
    ("name", "arguments", "error", "message"),
    [
        ("out.avi", {}, ValueError, "path must end in .mp4, not 'out.avi'"),
        ("nowhere/out.mp4", {}, FileNotFoundError, "nowhere: no such folder"),
        ("out.mp4", {"fps": 0}, ValueError, "fps must be from 0.001 to 90000, not 0"),
        ("out.mp4", {"fps": 1e-7}, ValueError, "fps must be from 0.001 to 90000, not 1e-07"),
        ("out.mp4", {"fps": 1e10}, ValueError, "fps must be from 0.001 to 90000, not 10000000000"),
        ("out.mp4", {"quality": 60}, ValueError, "quality must be from 0 to 51, not 60"),
    ],
)
def test_invalid_arguments_are_refused(tmp_path, name, arguments, error, message):
    with pytest.raises(error, match=message):
        VideoWriter(tmp_path / name, **arguments)


def test_closed_writer_refuses_frames(tmp_path):
    with VideoWriter(tmp_path / "out.mp4") as writer:
        writer.write(gray_with_bar(0))
    content = (tmp_path / "out.mp4").read_bytes()
    with pytest.raises(ValueError, match=r"out.mp4 is closed; frames can no longer be written"):
        writer.write(gray_with_bar(1))
    writer.close()
    assert (tmp_path / "out.mp4").read_bytes() == content


def test_no_file_is_left_if_a_folder_has_the_name(tmp_path):
    (tmp_path / "a.mp4").mkdir()
    with pytest.raises(OSError), VideoWriter(tmp_path / "a.mp4") as writer:  # noqa: PT011 (the error depends on the system)
        writer.write(np.zeros((32, 32, 3), np.uint8))
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]


def test_full_disk_leaves_no_file(tmp_path):
    resource = pytest.importorskip("resource")  # limits the size of files, as a full disk does
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    rng = np.random.default_rng(0)

    def write_too_much():
        with VideoWriter(tmp_path / "out.mp4", quality=0) as writer:
            for _ in range(200):
                writer.write(rng.integers(0, 255, (64, 64, 3), np.uint8))

    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            write_too_much()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


def test_same_frames_give_the_same_file(tmp_path):
    """The content of memory while x264 encodes must not change its output."""
    for name in ("a.mp4", "b.mp4"):
        SyntheticVideo(num_frames=60, size=(120, 160)).write(tmp_path / name)
    assert (tmp_path / "a.mp4").read_bytes() == (tmp_path / "b.mp4").read_bytes()
