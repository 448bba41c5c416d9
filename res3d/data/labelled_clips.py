"""Clips of videos that each show one class: a folder of folders, or a list."""

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
from res3d.data.dataset_info import DatasetInfo, named
from res3d.data.fingerprint import hash_files
from res3d.data.frames import PICTURES, VIDEOS, files_of, open_frames
from res3d.video import VideoError

Video = tuple[Path, str]  # and the name of its class


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelledClips:
    """One clip [3, T, H, W] in 0..1 of each video, and the number of its class from 0.

    Raises:
        FileNotFoundError: no such source, or a video of the list that is not there.
        ValueError: a source without videos, a class without one, a class that is none of ``classes``, numbers out of
            range.
    """

    task: ClassVar[str] = "classifier"

    source: str
    """A folder with a folder of videos for each class (CLASS/video.mp4, or CLASS/video/ with one picture per frame),
    or a CSV file with a line ``path,class`` for each video, with paths relative to the file."""
    classes: tuple[str, ...] | None = None
    """Names of the classes in order; None takes those of ``source`` in alphabetical order."""
    length: int = 16
    """Frames of a clip, T; the last frame of a shorter video is repeated."""
    step: int = 1
    """Frames of the video from one frame of a clip to the next."""
    place: Literal["random", "middle"] = "random"
    """Where a clip is taken from its video: at random for training, in the middle for scores."""
    side: int | None = None
    """Pixels that the shorter side of frames is resized to; None keeps the size."""
    crop: tuple[int, int] | None = None
    """(height, width) of a window in the middle of each frame, after resizing; None keeps the whole frame."""
    store: str | None = None
    """Folder for decoded frames; without it, videos are decoded from their beginning for every clip."""
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
            raise ValueError(f"{source}: holds no videos of classes")
        names = self.classes or tuple(sorted({name for _, name in videos}))
        for path, name in videos:
            if name not in names:
                raise ValueError(f"{source}: {path} is of class {name!r}, which is none of {', '.join(names)}")
        object.__setattr__(self, "_videos", videos)
        object.__setattr__(self, "_names", names)

    @property
    def info(self) -> DatasetInfo:
        """The classes, and how clips are cut from videos."""
        held = {name for _, name in self._videos}
        return DatasetInfo(
            num_classes=len(self._names),
            categories=named(self._names),
            empty=tuple(name for name in self._names if name not in held),
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
        files = [file for path, _ in self._videos for file in files_of(path)]
        return hash_files(files, self, [name for _, name in self._videos], self._names)

    def _choose(self, num_frames: int) -> NDArray[np.int64]:
        """Frame numbers [T] of a clip of a video; the last frame of a short one is repeated."""
        sampler = self._clip.sampler()
        spare = max(0, num_frames - sampler.span)
        start = int(torch.randint(spare + 1, ())) if self.place == "random" else spare // 2
        return sampler.indices_at(np.array(start), num_frames)

    def _resize(self, frames: Tensor) -> Tensor:
        """uint8 [n, 3, H, W], resized as for the model that is trained on these clips."""
        return self._clip.resize_window(frames.permute(0, 2, 3, 1))


def _in_folders(source: Path) -> Iterator[Video]:
    for folder in sorted(path for path in source.iterdir() if path.is_dir() and not path.name.startswith(".")):
        videos = sorted(path for path in folder.iterdir() if path.is_dir() or path.suffix.lower() in VIDEOS)
        if not videos:
            pictures = any(path.suffix.lower() in PICTURES for path in folder.iterdir())
            hint = "; pictures of one video are a folder in it" if pictures else ""
            raise ValueError(f"{folder}: a class without a video{hint}")
        yield from ((path, folder.name) for path in videos)


def _in_list(source: Path) -> Iterator[Video]:
    try:
        lines = source.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise ValueError(f"{source}: holds no text") from None
    for number, row in enumerate(csv.reader(lines), start=1):
        if not row:
            continue
        if len(row) != 2 or not all(cell.strip() for cell in row):
            raise ValueError(f"{source}: line {number} must be path,class, not {','.join(row)!r}")
        path = source.parent / row[0].strip()
        if not path.exists():
            raise FileNotFoundError(f"{source}: line {number}: {path}: no such file")
        yield path, row[1].strip()
