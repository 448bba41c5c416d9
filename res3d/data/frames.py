"""Frames of a video by number: from a folder of pictures, a video file, or a store of decoded frames."""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import IO, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from numpy.lib import format as npy
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from res3d.data.fingerprint import hash_files
from res3d.files import unfinished
from res3d.video import VideoError, VideoReader

Resize = Callable[[Tensor], Tensor]

PICTURES = (".jpg", ".jpeg", ".png", ".webp")
VIDEOS = (".mp4", ".avi", ".mkv", ".mov", ".webm", ".m4v", ".mpg")


class Frames(Protocol):
    """The frames of one video."""

    path: Path
    num_frames: int
    size: tuple[int, int]
    """(height, width) of the frames at ``path``, before they are resized."""

    def read(self, numbers: Sequence[int]) -> Tensor:
        """Frames by number, in increasing order, a number more than once if need be: uint8 [T, 3, H, W]."""


def files_of(source: Path) -> list[Path]:
    """What holds the frames of a video: the pictures of a folder in their order, or the file itself."""
    if not source.is_dir():
        return [source]
    return sorted(file for file in source.iterdir() if file.suffix.lower() in PICTURES)


def check_gaps(folder: Path) -> None:
    """ValueError for pictures one of which is missing, by the last number in their names.

    Numbers go up by one step, as almost all do; where most do not, they are times, or nothing that counts.
    """
    files = files_of(folder)
    numbers = [int(found[1]) for file in files if (found := re.search(r"(\d+)\D*$", file.stem))]
    steps = Counter(b - a for a, b in pairwise(numbers))
    if len(numbers) < len(files) or not steps or 2 * max(steps.values()) < steps.total():
        return
    step = min(steps, key=lambda step: (-steps[step], step))
    for (one, a), (other, b) in pairwise(zip(files, numbers, strict=True)):
        if b - a != step:
            raise ValueError(
                f"{folder}: {one.name} is followed by {other.name}, where most numbers are {step} apart: a picture is "
                "missing, or numbers have no leading zeros"
            )


class PictureFolder:
    """A folder with a picture for each frame; their names' order is the frames'.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: a folder without pictures.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_dir():
            raise FileNotFoundError(f"{path}: no such folder")
        self.path = path
        self.files = files_of(path)
        if not self.files:
            raise ValueError(f"{path}: a folder without pictures ({', '.join(PICTURES)})")
        self.num_frames = len(self.files)
        height, width = self._decode(self.files[0]).shape[1:]
        self.size = (height, width)

    def read(self, numbers: Sequence[int]) -> Tensor:
        return torch.stack([self._decode(self.files[number]) for number in numbers])

    @staticmethod
    def _decode(file: Path) -> Tensor:
        try:
            with Image.open(file) as picture:
                pixels = np.array(picture.convert("RGB"))
        except (OSError, ValueError, SyntaxError) as error:  # what Pillow raises for damaged files
            raise ValueError(f"{file}: not a picture that can be read ({error})") from None
        return torch.from_numpy(pixels).permute(2, 0, 1)


class VideoFile:
    """A video file, decoded from its beginning for every clip: for short ones. ``num_frames`` is what it declares.

    Raises:
        FileNotFoundError: no such file.
        VideoError: not a video, or one that does not say how long it is.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.reader = VideoReader(path)
        if self.reader.info.num_frames is None:
            raise VideoError(f"{path}: does not say how many frames it has; with a store it is decoded to see")
        self.num_frames = self.reader.info.num_frames
        self.size = (self.reader.info.height, self.reader.info.width)

    def read(self, numbers: Sequence[int]) -> Tensor:
        wanted, pictures = set(numbers), dict[int, Tensor]()
        for frame in VideoReader(self.path, allow_truncated=True).frames():
            if frame.index in wanted:
                pictures[frame.index] = torch.from_numpy(frame.rgb()).permute(2, 0, 1)
            if frame.index >= numbers[-1]:
                break
        if lacking := sorted(wanted - set(pictures)):
            raise VideoError(f"{self.path}: has no frame {lacking[0]}, though it declares {self.num_frames}")
        return torch.stack([pictures[number] for number in numbers])


class StoredFrames:
    """Frames decoded once, resized, and kept in a file that is not read into memory.

    Args:
        source: a video file or a folder of pictures.
        folder: of the file, made if absent; several processes and runs share it.
        side: pixels that the shorter side is resized to, which is part of the file's name; None keeps the size.
        resize: resizes uint8 [n, 3, H, W]; by default ``resize_frames`` to ``side``.

    Raises:
        VideoError: as the source.
        OSError: the file cannot be written; nothing is left of it.
    """

    def __init__(self, source: Path, folder: Path, side: int | None, resize: Resize | None = None) -> None:
        self.path = source
        self.file = folder / f"{source.stem}_{hash_files(files_of(source), side)[:12]}.npy"
        if not self.file.exists():
            folder.mkdir(parents=True, exist_ok=True)
            _store(source, self.file, resize or partial(resize_frames, side=side))
        self.num_frames = len(self._open())
        info = None if source.is_dir() else VideoReader(source).info
        self.size = PictureFolder(source).size if info is None else (info.height, info.width)

    def _open(self) -> NDArray[np.uint8]:
        array: NDArray[np.uint8] = np.load(self.file, mmap_mode="r")
        return array

    def read(self, numbers: Sequence[int]) -> Tensor:
        return torch.from_numpy(self._open()[list(numbers)]).permute(0, 3, 1, 2)


def open_frames(source: Path, *, store: str | None, side: int | None, resize: Resize | None = None) -> Frames:
    """Frames of a folder or file, resized and from a store in the folder ``store`` where one is named.

    Raises:
        as the classes above.
    """
    if store is not None:
        return StoredFrames(source, Path(store), side, resize)
    return PictureFolder(source) if source.is_dir() else VideoFile(source)


def resize_frames(frames: Tensor, side: int | None) -> Tensor:
    """uint8 [T, 3, H, W] with the shorter side ``side``, as the detectors' own transform would do it to these frames.

    (Bilinear without antialiasing: what is trained on is to look like what is seen when videos are tracked.)
    """
    if side is None or side == min(frames.shape[2:]):
        return frames
    scale = side / min(frames.shape[2:])
    resized = F.interpolate(
        frames.float(), scale_factor=scale, mode="bilinear", recompute_scale_factor=True, align_corners=False
    )
    return resized.round().byte()


def _store(source: Path, file: Path, resize: Resize) -> None:
    try:
        with unfinished(file) as place, place.open("wb") as out:
            count, shape = 0, None
            for picture in _pictures(source):
                pixels = resize(picture[None])[0].permute(1, 2, 0).contiguous().numpy()
                if shape is None:
                    shape = pixels.shape
                    _write_header(out, (0, *shape))
                if pixels.shape != shape:
                    raise ValueError(f"{source}: frame {count} is {list(pixels.shape)}, those before it {list(shape)}")
                out.write(pixels.data)
                count += 1
            assert shape is not None  # a reader gives a frame or raises
            out.seek(0)
            _write_header(out, (count, *shape))
    except OSError as error:
        raise OSError(f"{file}: the store of frames cannot be written ({error.strerror or error})") from None


def _pictures(source: Path) -> Iterator[Tensor]:
    """uint8 [3, H, W]."""
    if source.is_dir():
        folder = PictureFolder(source)
        yield from (folder.read([number])[0] for number in range(folder.num_frames))
    else:
        yield from (torch.from_numpy(image).permute(2, 0, 1) for image, _ in VideoReader(source))


def _write_header(out: IO[bytes], shape: tuple[int, ...]) -> None:
    """NumPy leaves room in it for the first axis to grow: the number of frames is known at the end."""
    npy.write_array_header_1_0(out, {"descr": "|u1", "fortran_order": False, "shape": shape})
