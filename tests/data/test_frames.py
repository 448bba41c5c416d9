import numpy as np
import pytest
import torch
from helpers.videos import decode_with_pyav, write_h264
from PIL import Image

from res3d.data.frames import FrameFolder, StoredFrames, VideoFile, check_gaps, open_frames, resize_frames
from res3d.video import VideoError


def images(count: int, height: int = 48, width: int = 64) -> list[np.ndarray]:
    """Gray frames of increasing brightness with a white bar that grows."""
    frames = []
    for n in range(count):
        image = np.full((height, width, 3), 6 * n % 256, np.uint8)
        image[: height // 4, : 1 + n % width] = 255
        frames.append(image)
    return frames


def write_folder(path, frames) -> None:
    path.mkdir()
    for n, image in enumerate(frames):
        Image.fromarray(image).save(path / f"{n:06}.png")


def test_video_file_reads_frames_by_number(video):
    frames = VideoFile(video)
    assert (frames.num_frames, frames.size) == (40, (48, 64))
    oracle = decode_with_pyav(video)
    for numbers in ([0, 1, 2], [7, 9, 11], [38, 39, 39, 39]):
        read = frames.read(numbers)
        assert (read.dtype, tuple(read.shape)) == (torch.uint8, (len(numbers), 3, 48, 64))
        for frame, number in zip(read, numbers, strict=True):
            assert np.array_equal(frame.permute(1, 2, 0).numpy(), oracle[number][1])


def test_video_file_reports_a_frame_that_is_declared_but_missing(video):
    frames = VideoFile(video)
    frames.num_frames = 50
    with pytest.raises(VideoError, match=r"video\.mp4: frame 40 is missing, though the metadata declare 50 frames"):
        frames.read([39, 40])


def test_folder_reads_its_images_in_order(tmp_path):
    written = images(5)
    write_folder(tmp_path / "v", written)
    (tmp_path / "v" / "notes.txt").write_text("not an image")
    frames = FrameFolder(tmp_path / "v")
    assert (frames.num_frames, frames.size) == (5, (48, 64))
    read = frames.read([0, 3, 3])
    assert len(read) == 3
    assert all(np.array_equal(p.permute(1, 2, 0).numpy(), written[n]) for p, n in zip(read, (0, 3, 3), strict=True))


@pytest.mark.parametrize(
    ("names", "gap"),
    [
        (["1", "2", "3"], None),
        (["f00.v2", "f05.v2", "f10.v2"], None),
        (["03", "17", "20", "99", "99b"], None),
        (["cover", "1", "2", "4"], None),
        (["1"], None),
        (["01", "03", "04", "05"], "01.png is followed by 03.png"),
        (["x08", "x09", "x11"], "x09.png is followed by x11.png"),
        (["8", "9", "10", "11", "12"], "12.png is followed by 8.png"),
    ],
)
def test_gap_in_file_numbers_is_refused(tmp_path, names, gap):
    for name in names:
        (tmp_path / f"{name}.png").touch()
    if gap is None:
        check_gaps(tmp_path)
        return
    with pytest.raises(ValueError, match=gap):
        check_gaps(tmp_path)


def test_folder_without_readable_images_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder"):
        FrameFolder(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="the folder contains no images"):
        FrameFolder(tmp_path)
    write_folder(tmp_path / "v", images(2))
    (tmp_path / "v" / "000001.png").write_bytes(b"not an image")
    with pytest.raises(ValueError, match=r"000001\.png: not a readable image"):
        FrameFolder(tmp_path / "v").read([0, 1])


@pytest.mark.parametrize("kind", ["video", "folder"])
@pytest.mark.parametrize("side", [None, 24])
def test_store_contains_all_frames_resized(tmp_path, video, kind, side):
    if kind == "folder":
        video = tmp_path / "v"
        write_folder(video, images(9))
    stored = StoredFrames(video, tmp_path / "store", side)
    source = open_frames(video, store=None, side=None)
    assert (stored.num_frames, stored.size) == (source.num_frames, (48, 64))
    numbers = [0, 1, 5, 8, 8]
    assert torch.equal(stored.read(numbers), resize_frames(source.read(numbers), side))
    assert stored.read([0]).shape[2:] == ((48, 64) if side is None else (24, 32))


def test_store_is_written_once_per_size_and_source(tmp_path, video):
    files = [StoredFrames(video, tmp_path / "store", side).file for side in (24, None, 24)]
    assert files[0] == files[2] != files[1]
    before = files[0].stat().st_mtime_ns
    StoredFrames(video, tmp_path / "store", 24)
    assert files[0].stat().st_mtime_ns == before
    write_h264(video, images(12))
    assert StoredFrames(video, tmp_path / "store", 24).num_frames == 12
    assert not list((tmp_path / "store").glob(".*")), "no unfinished file remains"


def test_replaced_image_makes_another_store(tmp_path):
    write_folder(tmp_path / "v", images(3))
    before = StoredFrames(tmp_path / "v", tmp_path / "store", None).read([1])
    Image.new("RGB", (64, 48), (255, 0, 0)).save(tmp_path / "v" / "000001.png")
    assert not torch.equal(StoredFrames(tmp_path / "v", tmp_path / "store", None).read([1]), before)


def test_store_that_cannot_be_written_leaves_no_file(tmp_path, video, monkeypatch):
    def raise_disk_full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("res3d.data.frames._write_header", raise_disk_full)
    with pytest.raises(OSError, match=r"\.npy: the store of frames cannot be written \(No space left on device\)"):
        StoredFrames(video, tmp_path / "store", 24)
    assert not list((tmp_path / "store").iterdir())


def test_resized_frames_equal_bilinear_interpolation():
    frames = torch.randint(0, 256, (2, 3, 30, 40), dtype=torch.uint8)
    resized = resize_frames(frames, 15)
    exact = torch.nn.functional.interpolate(frames.float(), size=(15, 20), mode="bilinear", align_corners=False)
    assert (resized.float() - exact).abs().max() <= 0.5
    assert resize_frames(frames, None) is frames
    assert resize_frames(frames, 30) is frames
