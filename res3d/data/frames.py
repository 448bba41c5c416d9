"""Random access to the frames of a video: a folder of images, a video file, or a store of decoded frames."""

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

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
VIDEO_SUFFIXES = (".mp4", ".avi", ".mkv", ".mov", ".webm", ".m4v", ".mpg")


class Frames(Protocol):
    """The frames of one video."""

    path: Path
    """The video file or folder of images."""
    num_frames: int
    """Number of frames."""
    size: tuple[int, int]
    """(height, width) of the frames at ``path``, before resizing."""

    def read(self, numbers: Sequence[int]) -> Tensor:
        """Return frames as uint8 [T, 3, H, W] RGB.

        Args:
            numbers: frame numbers [T] from 0, in increasing order; a number may be repeated.
        """


def frame_files(source: Path) -> list[Path]:
    """Return the files of a video: the images of a folder in the order of their names, or the video file itself."""
    if not source.is_dir():
        return [source]
    return sorted(file for file in source.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES)


def check_gaps(folder: Path) -> None:
    """Raise ValueError if an image of a video is missing, judging by the last number in each file name.

    The most frequent difference between successive numbers is the step that all must have. If it covers less than half
    of the differences, the numbers are not frame numbers (timestamps, for example) and nothing is checked. Nothing is
    checked either if a file name has no number.
    """
    files = frame_files(folder)
    numbers = [int(match[1]) for file in files if (match := re.search(r"(\d+)\D*$", file.stem))]
    steps = Counter(b - a for a, b in pairwise(numbers))
    if len(numbers) < len(files) or not steps or 2 * max(steps.values()) < steps.total():
        return
    step = min(steps, key=lambda step: (-steps[step], step))
    for (file, a), (next_file, b) in pairwise(zip(files, numbers, strict=True)):
        if b - a != step:
            raise ValueError(
                f"{folder}: {file.name} is followed by {next_file.name}, but most numbers are {step} apart: an image "
                "is missing, or the numbers have no leading zeros"
            )


class FrameFolder:
    """A folder with one image per frame, in the order of the file names.

    Raises:
        FileNotFoundError: the folder does not exist.
        ValueError: the folder contains no image, or (in ``read`` too) an image cannot be decoded.
    """

    def __init__(self, path: Path) -> None:
        if not path.is_dir():
            raise FileNotFoundError(f"{path}: no such folder")
        self.path = path
        self.files = frame_files(path)
        if not self.files:
            raise ValueError(f"{path}: the folder contains no images ({', '.join(IMAGE_SUFFIXES)})")
        self.num_frames = len(self.files)
        height, width = self._decode(self.files[0]).shape[1:]
        self.size = (height, width)

    def read(self, numbers: Sequence[int]) -> Tensor:
        return torch.stack([self._decode(self.files[number]) for number in numbers])

    @staticmethod
    def _decode(file: Path) -> Tensor:
        try:
            with Image.open(file) as image:
                pixels = np.array(image.convert("RGB"))
        except (OSError, ValueError, SyntaxError) as error:  # Pillow raises all of these for damaged files
            raise ValueError(f"{file}: not a readable image ({error})") from None
        return torch.from_numpy(pixels).permute(2, 0, 1)


class VideoFile:
    """A video file that is decoded from its beginning for every clip; suitable for short videos.

    ``num_frames`` is the number in the metadata of the file.

    Raises:
        FileNotFoundError: the file does not exist.
        VideoError: the file is not a video, or its metadata lack the number of frames. ``read`` raises it for a frame
            that the file does not contain.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.reader = VideoReader(path)
        if self.reader.info.num_frames is None:
            raise VideoError(
                f"{path}: the metadata lack the number of frames; set a store, which counts the frames by decoding them"
            )
        self.num_frames = self.reader.info.num_frames
        self.size = (self.reader.info.height, self.reader.info.width)

    def read(self, numbers: Sequence[int]) -> Tensor:
        requested, images = set(numbers), dict[int, Tensor]()
        for frame in VideoReader(self.path, allow_truncated=True).frames():
            if frame.index in requested:
                images[frame.index] = torch.from_numpy(frame.rgb()).permute(2, 0, 1)
            if frame.index >= numbers[-1]:
                break
        if missing := sorted(requested - set(images)):
            raise VideoError(
                f"{self.path}: frame {missing[0]} is missing, though the metadata declare {self.num_frames} frames"
            )
        return torch.stack([images[number] for number in numbers])


class StoredFrames:
    """Frames that are decoded and resized once and stored in a memory-mapped ``.npy`` file.

    Args:
        source: a video file or a folder of images.
        folder: folder of the store, created if missing; several processes and runs can share it.
        side: size in pixels of the shorter side, which is part of the file's name; None keeps the size.
        resize: resizes uint8 [n, 3, H, W]; by default ``resize_frames`` to ``side``.

    Raises:
        ValueError: frames of different sizes, or a folder of images that cannot be read.
        VideoError: a video that cannot be read.
        OSError: the store cannot be written; no partial file remains.
    """

    def __init__(self, source: Path, folder: Path, side: int | None, resize: Resize | None = None) -> None:
        self.path = source
        self.file = folder / f"{source.stem}_{hash_files(frame_files(source), side)[:12]}.npy"
        if not self.file.exists():
            folder.mkdir(parents=True, exist_ok=True)
            _store(source, self.file, resize or partial(resize_frames, side=side))
        self.num_frames = len(self._open())
        info = None if source.is_dir() else VideoReader(source).info
        self.size = FrameFolder(source).size if info is None else (info.height, info.width)

    def _open(self) -> NDArray[np.uint8]:
        array: NDArray[np.uint8] = np.load(self.file, mmap_mode="r")
        return array

    def read(self, numbers: Sequence[int]) -> Tensor:
        return torch.from_numpy(self._open()[list(numbers)]).permute(0, 3, 1, 2)


def open_frames(source: Path, *, store: str | None, side: int | None, resize: Resize | None = None) -> Frames:
    """Open a video file or a folder of images.

    Args:
        source: the video file or folder of images.
        store: folder of a store of decoded, resized frames; with None, frames are decoded at every access and have
            their original size.
        side: as in ``StoredFrames``; ignored without a store.
        resize: as in ``StoredFrames``; ignored without a store.

    Raises:
        FileNotFoundError, ValueError, VideoError, OSError: see ``FrameFolder``, ``VideoFile`` and ``StoredFrames``.
    """
    if store is not None:
        return StoredFrames(source, Path(store), side, resize)
    return FrameFolder(source) if source.is_dir() else VideoFile(source)


def resize_frames(frames: Tensor, side: int | None) -> Tensor:
    """Resize frames uint8 [T, 3, H, W] to a shorter side of ``side`` pixels; None keeps the size.

    Bilinear without antialiasing, like the transform of the detectors, so that training frames look like the frames
    that a detector sees when it tracks objects in a video.
    """
    if side is None or side == min(frames.shape[2:]):
        return frames
    scale = side / min(frames.shape[2:])
    resized = F.interpolate(
        frames.float(), scale_factor=scale, mode="bilinear", recompute_scale_factor=True, align_corners=False
    )
    return resized.round().byte()


def _store(source: Path, file: Path, resize: Resize) -> None:
    """Write the resized frames of a video to an ``.npy`` file, uint8 [frames, H, W, 3]."""
    try:
        with unfinished(file) as path, path.open("wb") as out:
            count, shape = 0, None
            for image in _decode_all(source):
                pixels = resize(image[None])[0].permute(1, 2, 0).contiguous().numpy()
                if shape is None:
                    shape = pixels.shape
                    _write_header(out, (0, *shape))
                if pixels.shape != shape:
                    raise ValueError(
                        f"{source}: frame {count} has shape {list(pixels.shape)}, the frames before it {list(shape)}"
                    )
                out.write(pixels.data)
                count += 1
            assert shape is not None  # a reader yields at least one frame or raises
            out.seek(0)
            _write_header(out, (count, *shape))
    except OSError as error:
        raise OSError(f"{file}: the store of frames cannot be written ({error.strerror or error})") from None


def _decode_all(source: Path) -> Iterator[Tensor]:
    """Yield the frames of a video in order, uint8 [3, H, W]."""
    if source.is_dir():
        folder = FrameFolder(source)
        yield from (folder.read([number])[0] for number in range(folder.num_frames))
    else:
        yield from (torch.from_numpy(image).permute(2, 0, 1) for image, _ in VideoReader(source))


def _write_header(out: IO[bytes], shape: tuple[int, ...]) -> None:
    """Write an ``.npy`` header of uint8 values.

    The number of frames is only known at the end. NumPy pads the header so that the first axis can grow in place.
    """
    npy.write_array_header_1_0(out, {"descr": "|u1", "fortran_order": False, "shape": shape})
