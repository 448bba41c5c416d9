"""Clips of tracked videos, with CocoVID, PoseTrack18 or MOTChallenge annotations as the targets of a detector."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from res3d.clips import ClipSampler
from res3d.data.dataset_info import DatasetInfo, check_numbers
from res3d.data.fingerprint import hash_files
from res3d.data.frames import PICTURES, VIDEOS, Frames, check_gaps, files_of, open_frames, resize_frames
from res3d.settings import did_you_mean
from res3d.structures import Category, ClipDetections, Track, VideoTracks, probability_fields
from res3d.structures.formats import find_files, read_tracks

OCCURRENCES = probability_fields(ClipDetections)
"""Fields of objects that are probabilities per clip: as targets, whether a thing occurs in some frame of it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Place:
    """Where a clip is."""

    video: str
    start: int  # frame
    earliest: int  # starts that time may be shifted to
    latest: int


@dataclass(frozen=True, kw_only=True, slots=True)
class TrackedClips:
    """Clips [3, T, H, W] of videos with the objects in them; those absent from a frame are not visible there.

    A video NAME of the annotations is NAME or NAME.mp4 (or .avi, ...) in the folder ``videos``, NAME/img1 as in
    MOTChallenge, of a number as in PoseTrack18 the one folder NAME_..., or ``videos`` itself where there is one video
    only. Frames that nobody annotated are in no clip. Objects that are not to be counted (``iscrowd``, a score of 0)
    are left out. Where annotations say of what size their frames are, a video of another is theirs in proportion.

    Raises:
        FileNotFoundError: no such annotations or videos.
        ValueError: annotations that cannot be read, of frames that a video does not have or of other proportions, or
            without one of ``classes``; a folder that lacks a picture; a video without a clip; numbers out of range.
        VideoError: a video that cannot be read.
    """

    task: ClassVar[str] = "detector"

    annotations: str
    """A CocoVID, PoseTrack18 or MOTChallenge file, or a folder of such files."""
    videos: str
    """A folder of video files or of folders of pictures."""
    length: int = 8
    """Frames of a clip, T."""
    step: int = 1
    """Frames of the video from one frame of a clip to the next."""
    stride: int = 4
    """Frames from the start of one clip to the start of the next."""
    frames: tuple[int, int] | None = None
    """Range [first, one after the last) of the frames of each video to use; None uses all."""
    jitter: int = 0
    """Largest number of frames by which the start of a clip is shifted at random."""
    side: int | None = None
    """Pixels that the shorter side of frames is resized to; None keeps the size."""
    store: str | None = None
    """Folder for decoded frames; without it, videos are decoded from their beginning for every clip."""
    classes: tuple[str, ...] | None = None
    """Names of the classes to use, as labels 1, 2, ...; None uses all of the annotations."""
    _tracks: Mapping[str, VideoTracks] = field(init=False, repr=False, compare=False)
    _frames: Mapping[str, Frames] = field(init=False, repr=False, compare=False)
    _labels: Mapping[int, int] = field(init=False, repr=False, compare=False)  # of the annotations: ours
    _categories: tuple[Category, ...] = field(init=False, repr=False, compare=False)
    _places: tuple[_Place, ...] = field(init=False, repr=False, compare=False)
    _info: DatasetInfo = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_numbers(self, length=1, step=1, stride=1, jitter=0)
        if self.frames is not None and not 0 <= self.frames[0] < self.frames[1]:
            raise ValueError(f"frames must be a range [first, one after the last), not {self.frames}")
        if self.side is not None and self.side < 1:
            raise ValueError(f"side must be ≥ 1 pixel, not {self.side}")
        tracks = read_tracks(self.annotations)
        labels, categories = choose_classes(tracks, self.classes, self.annotations)
        for name, value in (("_tracks", tracks), ("_labels", labels), ("_categories", categories)):
            object.__setattr__(self, name, value)
        frames = {name: self._open(name, video, len(tracks) == 1) for name, video in tracks.items()}
        object.__setattr__(self, "_frames", frames)
        places = [place for name, video in tracks.items() for place in self._find_places(name, video)]
        object.__setattr__(self, "_places", tuple(places))
        object.__setattr__(self, "_info", self._find_info())

    @property
    def info(self) -> DatasetInfo:
        """The classes and targets; masks are among them where every object has one."""
        return self._info

    def _find_info(self) -> DatasetInfo:
        seen = {
            self._labels[track.label]
            for place in self._places
            for track in self._tracks[place.video].tracks
            if track.label in self._labels and (_rows(track, self._numbers(place)) >= 0).any()
        }
        empty = tuple(c.name for label, c in enumerate(self._categories, 1) if label not in seen)
        masked = [has for track in self._used_tracks() for has in _masked(track)]
        targets = {"masks": "N T H W"} if all(masked) else {}
        if self._num_keypoints:
            targets["keypoints"] = f"N T {self._num_keypoints} 3"
        targets |= {name: f"N {count}" for name, count in self._occurrence_sizes().items()}
        return DatasetInfo(
            num_classes=1 + len(self._categories),
            categories=self._categories,
            empty=empty,
            targets=targets,
            partial={"masks": f"{masked.count(False)} of {len(masked)} objects in {self.annotations} have none"},
        )

    @property
    def _num_keypoints(self) -> int:
        return max((len(category.keypoints) for category in self._categories), default=0)

    def _used_tracks(self) -> list[Track]:
        """The tracks of the chosen classes, of all videos."""
        return [track for video in self._tracks.values() for track in video.tracks if track.label in self._labels]

    def _occurrence_sizes(self) -> dict[str, int]:
        """Sizes of the fields with a probability of each of several things, as actions, that every used object has."""
        used = self._used_tracks()
        sizes = {name: {0 if (v := getattr(t, name)) is None else v.shape[1] for t in used} for name in OCCURRENCES}
        return {name: found.pop() for name, found in sizes.items() if len(found) == 1 and 0 not in found}

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, number: int) -> tuple[Tensor, dict[str, Tensor]]:
        place = self._places[number]
        start = place.start
        if place.earliest < place.latest:
            start = int(torch.randint(place.earliest, place.latest + 1, ()))
        numbers = self._numbers(place, start)
        source = self._frames[place.video]
        frames = resize_frames(source.read(numbers.tolist()), self.side)
        size = (frames.shape[2], frames.shape[3])
        return frames.transpose(0, 1).float() / 255, self._target(place.video, numbers, size)

    def fingerprint(self) -> str:
        """Return a hash of the annotations, the videos and the clips in them."""
        annotations = Path(self.annotations)
        files = find_files(annotations) if annotations.is_dir() else [annotations]
        files += [file for frames in self._frames.values() for file in files_of(frames.path)]
        return hash_files(files, self, self._places, self._labels)

    def _open(self, name: str, video: VideoTracks, only: bool) -> Frames:
        frames = open_frames(find_video(Path(self.videos), name, only), store=self.store, side=self.side)
        if video.num_frames > frames.num_frames:
            raise ValueError(
                f"{self.annotations}: video {name!r} has {video.num_frames} frames, "
                f"and {frames.path} only {frames.num_frames}"
            )
        if frames.path.is_dir():
            check_gaps(frames.path)
        if video.size is not None:
            _check_proportions(self.annotations, name, video.size, frames)
        return frames

    @property
    def _sampler(self) -> ClipSampler:
        return ClipSampler(self.length, self.stride, self.step, tail="drop")

    def _numbers(self, place: _Place, start: int | None = None) -> NDArray[np.int64]:
        """Frame numbers [T] of the clip at ``place``, or with its start shifted to ``start``."""
        first = place.start if start is None else start
        return self._sampler.indices_at(np.array(first), self._frames[place.video].num_frames)

    def _find_places(self, name: str, video: VideoTracks) -> list[_Place]:
        first, stop = self.frames or (0, self._frames[name].num_frames)
        usable = np.zeros(self._frames[name].num_frames, bool)
        usable[range(video.num_frames) if video.annotated is None else video.annotated] = True
        usable[:first] = usable[stop:] = False
        sampler = self._sampler
        anywhere = np.arange(max(0, len(usable) - sampler.span + 1))
        fits = [bool(row.all()) for row in usable[sampler.indices_at(anywhere, len(usable))]]
        places = []
        for start in (first + sampler.starts(max(0, len(usable) - first))).tolist():
            if fits[start]:
                earliest = latest = start
                while earliest > max(0, start - self.jitter) and fits[earliest - 1]:
                    earliest -= 1
                while latest < min(len(fits) - 1, start + self.jitter) and fits[latest + 1]:
                    latest += 1
                places.append(_Place(video=name, start=start, earliest=earliest, latest=latest))
        if not places:
            raise ValueError(
                f"{self.annotations}: video {name!r} has no clip: {self.length} annotated frames, {self.step} apart, "
                f"in [{first}, {stop})"
            )
        return places

    def _target(self, name: str, numbers: NDArray[np.int64], size: tuple[int, int]) -> dict[str, Tensor]:
        """Of the objects that are in some frame, in pixels of frames of ``size``."""
        held = [(t, _rows(t, numbers)) for t in self._tracks[name].tracks if t.label in self._labels]
        held = [(track, rows) for track, rows in held if (rows >= 0).any()]
        annotated = self._tracks[name].size or self._frames[name].size
        down, across = (new / old for new, old in zip(size, annotated, strict=True))
        scale = np.array([across, down, across, down], np.float32)
        boxes = [_take(track.boxes * scale, rows) for track, rows in held]
        target = {
            "boxes": torch.from_numpy(np.array(boxes, np.float32).reshape(-1, len(numbers), 4)),
            "visible": torch.from_numpy(np.array([rows >= 0 for _, rows in held], bool).reshape(-1, len(numbers))),
            "labels": torch.tensor([self._labels[track.label] for track, _ in held], dtype=torch.int64),
            "track_ids": torch.tensor([track.id for track, _ in held], dtype=torch.int64),
        }
        if count := self._num_keypoints:
            points = np.zeros((len(held), len(numbers), count, 3), np.float32)
            for n, (track, rows) in enumerate(held):
                if track.keypoints is not None:
                    points[n, :, : track.keypoints.shape[1]] = _take(
                        track.keypoints * np.array([across, down, 1], np.float32), rows
                    )
            target["keypoints"] = torch.from_numpy(points)
        for name in self._info.targets.keys() & OCCURRENCES:
            seen = [_take(getattr(track, name), rows).max(axis=0) >= 0.5 for track, rows in held]
            width = int(self._info.targets[name].split()[1])
            target[name] = torch.from_numpy(np.array(seen, bool).reshape(-1, width))
        if "masks" in self._info.targets:
            target["masks"] = _masks(held, len(numbers), size)
        return target


def choose_classes(
    tracks: Mapping[str, VideoTracks], classes: Sequence[str] | None, source: str
) -> tuple[dict[int, int], tuple[Category, ...]]:
    """Our label of each of the annotations' labels that is used, and the categories of ours from 1 on.

    Raises:
        ValueError: a class that the annotations do not have; names ``source``.
    """
    known = {label: category for video in tracks.values() for label, category in video.categories.items()}
    for label in {track.label for video in tracks.values() for track in video.tracks}:
        known.setdefault(label, Category(name=str(label)))
    by_name = {category.name: label for label, category in sorted(known.items())}
    chosen = list(by_name) if classes is None else list(classes)
    for name in chosen:
        if name not in by_name:
            hint = did_you_mean(name, by_name)
            raise ValueError(f"{source}: has no class {name!r}{hint} (it has {', '.join(by_name)})")
    labels = {by_name[name]: number for number, name in enumerate(chosen, 1)}
    return labels, tuple(known[by_name[name]] for name in chosen)


def find_video(folder: Path, name: str, only: bool) -> Path:
    """The file, or the folder of pictures, of a video; ``only``: ``folder`` may be it.

    Raises:
        FileNotFoundError: none is there, or several are; says where was looked.
    """
    if folder.is_file() and only:
        return folder
    for path in (folder / name / "img1", folder / name, *(folder / f"{name}{suffix}" for suffix in VIDEOS)):
        if path.exists():
            return path
    if name.isdecimal() and len(found := sorted(path for path in folder.glob(f"{name}_*") if path.is_dir())) == 1:
        return found[0]
    if only and folder.is_dir() and any(file.suffix.lower() in PICTURES for file in folder.iterdir()):
        return folder
    raise FileNotFoundError(f"{folder}: has no video {name!r} (a file, or a folder of pictures, of that name)")


def _check_proportions(source: str, name: str, size: tuple[int, int], frames: Frames) -> None:
    height, width = frames.size
    if abs(size[1] * height / size[0] - width) > 1:  # whoever resized frames rounded a side
        raise ValueError(
            f"{source}: video {name!r} is annotated in frames of {size[0]}×{size[1]}, and those of {frames.path}, of "
            f"{height}×{width}, have other proportions"
        )


def _rows(track: Track, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """[T] rows of a track in the frames ``numbers``; -1 where it is absent, or not to be counted."""
    rows = np.searchsorted(track.frames, numbers).clip(max=len(track) - 1)
    return np.where((track.frames[rows] == numbers) & (track.scores[rows] > 0), rows, -1)


def _masked(track: Track) -> list[bool]:
    """Of the rows that count, whether they have a mask."""
    masks = track.masks or (None,) * len(track)
    return [mask is not None for mask, score in zip(masks, track.scores, strict=True) if score > 0]


def _take(values: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """``values[rows]``, and zeros where a row is -1."""
    taken: NDArray[np.float32] = np.where((rows >= 0).reshape(-1, *[1] * (values.ndim - 1)), values[rows], 0)
    return taken


def _masks(held: Sequence[tuple[Track, NDArray[np.int64]]], length: int, size: tuple[int, int]) -> Tensor:
    """[N, T, H, W]; a mask of another size is resized, to the nearest pixel."""
    masks = torch.zeros(len(held), length, *size, dtype=torch.bool)
    for n, (track, rows) in enumerate(held):
        assert track.masks is not None  # asked for only where all have them
        for t, row in enumerate(rows.tolist()):
            if row >= 0 and (mask := track.masks[row]) is not None:
                pixels = torch.from_numpy(mask.decode())[None, None].float()
                masks[n, t] = F.interpolate(pixels, size=size)[0, 0] > 0
    return masks
