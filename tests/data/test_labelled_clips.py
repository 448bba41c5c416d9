import numpy as np
import pytest
import torch
from helpers.videos import write_h264
from PIL import Image

from res3d.clips import ClipSpec
from res3d.data import LabelledClips
from res3d.video import VideoReader


def gray(level: int, frames: int, height: int = 20, width: int = 32) -> list[np.ndarray]:
    """Return gray frames; frame n has brightness ``level`` + 4 n."""
    return [np.full((height, width, 3), level + 4 * n, np.uint8) for n in range(frames)]


@pytest.fixture
def clips(tmp_path):
    """A folder of two classes: the videos a/1.mp4 and a/2.mp4, and the image folder b/3."""
    for name, level in (("a/1.mp4", 0), ("a/2.mp4", 100)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_h264(tmp_path / name, gray(level, 20))
    (tmp_path / "b" / "3").mkdir(parents=True)
    for n, image in enumerate(gray(150, 6)):
        Image.fromarray(image).save(tmp_path / "b" / "3" / f"{n}.png")
    return tmp_path


def levels(clip: torch.Tensor) -> list[float]:
    """Return the mean brightness of each frame in 0..255."""
    return (clip.mean(dim=(0, 2, 3)) * 255).round().tolist()


def test_folders_are_classes_and_middle_clips_are_centered(clips):
    data = LabelledClips(source=str(clips), length=3, step=4, place="middle")
    assert len(data) == 3
    assert [c.name for c in data.info.categories] == ["a", "b"]
    assert [data[n][1] for n in range(3)] == [0, 0, 1]
    clip, _ = data[1]
    assert (clip.dtype, tuple(clip.shape)) == (torch.float32, (3, 3, 20, 32))
    assert np.allclose(levels(clip), [100 + 4 * n for n in (5, 9, 13)], atol=3)


def test_short_video_is_padded_with_its_last_frame(clips):
    clip, _ = LabelledClips(source=str(clips), length=8, place="middle")[2]
    assert levels(clip) == [150, 154, 158, 162, 166, 170, 170, 170]


def test_random_clips_start_anywhere_in_the_video(clips):
    data = LabelledClips(source=str(clips), length=3)
    torch.manual_seed(0)
    starts = {round((levels(data[2][0])[0] - 150) / 4) for _ in range(40)}
    assert starts == {0, 1, 2, 3}


def test_frames_are_resized_and_cropped(clips):
    data = LabelledClips(source=str(clips), length=2, side=10, crop=(8, 6), store=str(clips / ".store"))
    assert data[0][0].shape == (3, 2, 8, 6)
    with pytest.raises(ValueError, match=r"1\.mp4: crop \(24, 24\) is larger than frames of \(20, 32\)"):
        LabelledClips(source=str(clips), length=2, crop=(24, 24))[0]


def test_csv_list_gives_videos_and_classes(clips):
    (clips / "list.csv").write_text("b/3,two\n\na/1.mp4, one\n")
    data = LabelledClips(source=str(clips / "list.csv"), classes=("one", "two", "three"), length=2)
    assert [data[n][1] for n in range(2)] == [1, 0]
    assert data.info.num_classes == 3
    assert data.info.empty == ("three",)


@pytest.mark.parametrize(
    ("lines", "error", "message"),
    [
        ("a/9.mp4,x", FileNotFoundError, r"line 1: .*9\.mp4: no such file"),
        ("a/1.mp4,x\na/1.mp4", ValueError, "line 2 must be path,class, not 'a/1.mp4'"),
        ("a/1.mp4,", ValueError, "line 1 must be path,class"),
        ("", ValueError, "contains no videos"),
        ("a/1.mp4,q", ValueError, r"class 'q' of .*1\.mp4 is not one of x, y"),
    ],
)
def test_invalid_lists_are_refused(clips, lines, error, message):
    (clips / "list.csv").write_text(lines)
    with pytest.raises(error, match=message):
        LabelledClips(source=str(clips / "list.csv"), classes=("x", "y"))


def test_class_without_a_video_is_refused(clips):
    (clips / "c").mkdir()
    with pytest.raises(ValueError, match=r"c: the class has no video$"):
        LabelledClips(source=str(clips))
    Image.fromarray(gray(0, 1)[0]).save(clips / "c" / "1.png")
    with pytest.raises(
        ValueError, match="c: the class has no video; put the images of each video into a folder of their own"
    ):
        LabelledClips(source=str(clips))


def test_missing_and_binary_sources_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder or list"):
        LabelledClips(source="nowhere")
    (tmp_path / "x.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"x\.csv: not a text file in UTF-8"):
        LabelledClips(source=str(tmp_path / "x.csv"))


@pytest.mark.parametrize(
    ("side", "crop"), [(None, (17, 29)), (17, (14, 14)), (17, (15, 20)), (None, (20, 31)), (18, None)]
)
@pytest.mark.parametrize("store", [False, True])
def test_validation_clips_equal_the_preprocessing_of_classification(tmp_path, side, crop, store):
    """A center crop with an odd margin can be rounded in two ways: both must round alike."""
    (tmp_path / "a").mkdir()
    rng = np.random.default_rng(0)
    write_h264(tmp_path / "a" / "1.mp4", [rng.integers(0, 256, (20, 32, 3)).astype(np.uint8) for _ in range(9)])
    folder = str(tmp_path / ".store") if store else None
    data = LabelledClips(source=str(tmp_path), length=3, place="middle", side=side, crop=crop, store=folder)
    clip = data.info.clip
    assert clip == ClipSpec(length=3, resize=side, crop=crop)
    frames = np.stack([image for image, _ in VideoReader(tmp_path / "a" / "1.mp4")])[3:6]
    expected = clip(torch.from_numpy(frames)).transpose(0, 1)
    assert torch.equal((data[0][0] * 255).round(), (expected * 255).round())
