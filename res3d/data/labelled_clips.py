"""Clips of videos that each show one class: a folder of folders, or a list."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from res3d.clips import ClipSpec, center_offsets
from res3d.data.facts import Facts, named
from res3d.data.frames import PICTURES, VIDEOS, Frames, files_of, open_frames, resize_frames
from res3d.data.sources import hash_files
from res3d.video import VideoError

Video = tuple[Path, str]  # and the name of its class


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelledClips:
    """One clip [3, T, H, W] in 0..1 of each video, and the number of its class from 0.

    Args (fields):
        source: a folder with a folder of videos for each class (CLASS/video.mp4, or CLASS/video/ with a picture a
            frame), or a CSV file with a line ``path,class`` for each video, paths from where the file is.
        classes: their names in order; by default those of ``source`` in alphabetical order.
        length: T, frames; of a shorter video the last is repeated.
        step: from one frame of a clip to the next.
        place: where in its video a clip is taken; at random for training, in the middle for scores.
        side: pixels that frames' shorter side is resized to.
        crop: (height, width) of a window in the middle of each frame, after resizing.
        store: folder to keep decoded frames in; without it, videos are decoded from their beginning for every clip.

    Raises:
        FileNotFoundError: no such source, or a video of the list that is not there.
        ValueError: a source without videos, a class without one, a class that is none of ``classes``, numbers out of
            range.
    """

    source: str
    classes: tuple[str, ...] | None = None
    length: int = 16
    step: int = 1
    place: Literal["random", "middle"] = "random"
    side: int | None = None
    crop: tuple[int, int] | None = None
    store: str | None = None
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
    def facts(self) -> Facts:
        """What the classes are."""
        held = {name for _, name in self._videos}
        return Facts(
            num_classes=len(self._names),
            categories=named(self._names),
            empty=tuple(name for name in self._names if name not in held),
            clip=self._clip,
        )

    def __len__(self) -> int:
        return len(self._videos)

    def __getitem__(self, number: int) -> tuple[Tensor, int]:
        path, name = self._videos[number]
        frames = self._read(open_frames(path, store=self.store, side=self.side))
        if self.crop is not None:
            frames = _middle(frames, self.crop, path)
        return frames.transpose(0, 1).float() / 255, self._names.index(name)

    def fingerprint(self) -> str:
        """Of the videos, their classes and their order."""
        files = [file for path, _ in self._videos for file in files_of(path)]
        return hash_files(files, self, [name for _, name in self._videos], self._names)

    def _read(self, source: Frames) -> Tensor:
        spare = max(0, source.num_frames - self.step * (self.length - 1) - 1)
        start = int(torch.randint(spare + 1, ())) if self.place == "random" else spare // 2
        numbers = [min(start + self.step * n, source.num_frames - 1) for n in range(self.length)]
        return resize_frames(source.read(numbers), self.side)


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


def _middle(frames: Tensor, crop: tuple[int, int], path: Path) -> Tensor:
    height, width = frames.shape[2:]
    try:
        top, left = center_offsets((height, width), crop)
    except ValueError as error:
        raise VideoError(f"{path}: {error}") from None
    return frames[:, :, top : top + crop[0], left : left + crop[1]]
