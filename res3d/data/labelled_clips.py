"""Clips of videos with one class label each, from a folder per class or a CSV list."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from res3d.clips import ClipSpec
from res3d.data.dataset_info import DatasetInfo, name_categories
from res3d.data.fingerprint import hash_files
from res3d.data.frames import IMAGE_SUFFIXES, VIDEO_SUFFIXES, frame_files, open_frames
from res3d.video import VideoError

Video = tuple[Path, str]
"""Path of a video, and the name of its class."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelledClips:
    """One clip [3, T, H, W] RGB in 0..1 per video, and the index of its class from 0.

    Raises:
        FileNotFoundError: ``source``, or a video of the list, does not exist.
        ValueError: the source or one of its classes has no video, a class is not in ``classes``, a line of the list is
            invalid, or a field is out of range.
        VideoError: when a clip is read: a video that cannot be decoded, or whose frames are smaller than the crop.
    """

    task: ClassVar[str] = "classifier"

    source: str
    """A folder with one subfolder per class (CLASS/video.mp4, or CLASS/video/ with one image per frame), or a CSV file
    with one line ``path,class`` per video, whose paths are relative to the file."""
    classes: tuple[str, ...] | None = None
    """Names of the classes in order; None takes the classes of ``source`` in alphabetical order."""
    length: int = 16
    """Frames per clip, T; a shorter video is padded with its last frame."""
    step: int = 1
    """Frames of the video from one frame of a clip to the next."""
    place: Literal["random", "middle"] = "random"
    """Location of the clip in its video: "random" for training, "middle" for validation."""
    side: int | None = None
    """Size in pixels that the shorter side of frames is resized to; None keeps the size."""
    crop: tuple[int, int] | None = None
    """(height, width) of a window in the middle of each frame, after resizing; None keeps the whole frame."""
    store: str | None = None
    """Folder for decoded frames; None decodes each video from its beginning for every clip."""
    _clip: ClipSpec = field(init=False, repr=False, compare=False)
    _videos: tuple[Video, ...] = field(init=False, repr=False, compare=False)
    _names: tuple[str, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        clip = ClipSpec(length=self.length, step=self.step, resize=self.side, crop=self.crop)
        object.__setattr__(self, "_clip", clip)
        source = Path(self.source)
        if not source.exists():
            raise FileNotFoundError(f"{source}: no such folder or list")
        videos = tuple(_in_folders(source) if source.is_dir() else _in_list(source))
        if not videos:
            raise ValueError(f"{source}: contains no videos (expected CLASS/VIDEO in a folder, path,class in a file)")
        names = self.classes or tuple(sorted({name for _, name in videos}))
        for path, name in videos:
            if name not in names:
                raise ValueError(f"{source}: class {name!r} of {path} is not one of {', '.join(names)}")
        object.__setattr__(self, "_videos", videos)
        object.__setattr__(self, "_names", names)

    @property
    def info(self) -> DatasetInfo:
        """The classes and the clip spec."""
        with_videos = {name for _, name in self._videos}
        return DatasetInfo(
            num_classes=len(self._names),
            categories=name_categories(self._names),
            empty=tuple(name for name in self._names if name not in with_videos),
            clip=self._clip,
        )

    def __len__(self) -> int:
        return len(self._videos)

    def __getitem__(self, number: int) -> tuple[Tensor, int]:
        path, name = self._videos[number]
        source = open_frames(path, store=self.store, side=self.side, resize=self._resize)
        frames = source.read(self._choose(source.num_frames).tolist()).permute(0, 2, 3, 1)
        try:
            pixels = self._clip.cut(frames)
        except ValueError as error:
            raise VideoError(f"{path}: {error}") from None
        return pixels.transpose(0, 1).float() / 255, self._names.index(name)

    def fingerprint(self) -> str:
        """Return a hash of the videos, their classes and their order."""
        files = [file for path, _ in self._videos for file in frame_files(path)]
        return hash_files(files, self, [name for _, name in self._videos], self._names)

    def _choose(self, num_frames: int) -> NDArray[np.int64]:
        """Return the frame numbers [T] of a clip; a short video is padded with its last frame."""
        sampler = self._clip.sampler()
        spare = max(0, num_frames - sampler.span)
        start = int(torch.randint(spare + 1, ())) if self.place == "random" else spare // 2
        return sampler.indices_at(np.array(start), num_frames)

    def _resize(self, frames: Tensor) -> Tensor:
        """Resize frames uint8 [n, 3, H, W] for the store with the clip spec, as frames are resized without a store."""
        return self._clip.resize_window(frames.permute(0, 2, 3, 1))


def _in_folders(source: Path) -> Iterator[Video]:
    """Yield the videos of a folder with one subfolder per class."""
    for folder in sorted(path for path in source.iterdir() if path.is_dir() and not path.name.startswith(".")):
        videos = sorted(path for path in folder.iterdir() if path.is_dir() or path.suffix.lower() in VIDEO_SUFFIXES)
        if not videos:
            has_images = any(path.suffix.lower() in IMAGE_SUFFIXES for path in folder.iterdir())
            hint = "; put the images of each video into a folder of their own inside it" if has_images else ""
            raise ValueError(f"{folder}: the class has no video{hint}")
        yield from ((path, folder.name) for path in videos)


def _in_list(source: Path) -> Iterator[Video]:
    """Yield the videos of a CSV file with lines ``path,class``."""
    try:
        lines = source.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise ValueError(f"{source}: not a text file in UTF-8") from None
    for number, row in enumerate(csv.reader(lines), start=1):
        if not row:
            continue
        if len(row) != 2 or not all(cell.strip() for cell in row):
            raise ValueError(f"{source}: line {number} must be path,class, not {','.join(row)!r}")
        path = source.parent / row[0].strip()
        if not path.exists():
            raise FileNotFoundError(f"{source}: line {number}: {path}: no such file")
        yield path, row[1].strip()
