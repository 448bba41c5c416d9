"""Clips of tracked videos with CocoVID, PoseTrack18 or MOTChallenge annotations as targets for detectors."""

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
from res3d.data.frames import (
    IMAGE_SUFFIXES,
    VIDEO_SUFFIXES,
    Frames,
    check_gaps,
    frame_files,
    open_frames,
    resize_frames,
)
from res3d.settings import did_you_mean
from res3d.structures import Category, ClipDetections, Track, VideoTracks, probability_fields
from res3d.structures.formats import find_files, read_tracks

OCCURRENCES = probability_fields(ClipDetections)
"""Fields with several probabilities per object and clip, like actions. A target is True if the annotated probability is
at least 0.5 in some frame of the clip."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _ClipLocation:
    """Location of a clip: its video, and the range of its first frame."""

    video: str
    start: int  # first frame without jitter
    earliest: int  # smallest first frame with jitter
    latest: int  # largest first frame with jitter


@dataclass(frozen=True, kw_only=True, slots=True)
class TrackedClips:
    """Clips [3, T, H, W] RGB in 0..1 of annotated videos, and the objects in them as targets.

    The frames of the annotated video NAME are the first of these that exists:

    - the folder ``videos``/NAME/img1 (MOTChallenge) or ``videos``/NAME,
    - the file ``videos``/NAME.mp4 (or .avi, ...),
    - if NAME is a number (PoseTrack18), the only folder ``videos``/NAME_...,
    - if there is only one video, ``videos`` itself: a video file or a folder of images.

    Clips contain annotated frames only. Objects that do not count (``iscrowd``, a score of 0) are left out. An object
    that is absent from a frame is not visible there. If the annotations declare a frame size, the video may have
    another size of the same proportions; the annotations are scaled to it.

    A target has boxes [N, T, 4] in pixels of the clip, visible [N, T], labels [N] and track_ids [N]; keypoints
    [N, T, K, 3] if a class has keypoints; masks [N, T, H, W] if every object has masks; and fields like actions [N, A]
    if every object has them.

    Raises:
        FileNotFoundError: the annotations or a video do not exist.
        ValueError: the annotations cannot be read, have more frames than a video or other proportions, or lack one of
            ``classes``; an image is missing in a folder; a video has no clip; a field is out of range.
        VideoError: a video cannot be read.
    """

    task: ClassVar[str] = "detector"

    annotations: str
    """A CocoVID, PoseTrack18 or MOTChallenge file, or a folder of such files."""
    videos: str
    """A folder of video files or of folders of images."""
    length: int = 8
    """Frames per clip, T."""
    step: int = 1
    """Frames of the video from one frame of a clip to the next."""
    stride: int = 4
    """Frames from the start of one clip to the start of the next."""
    frames: tuple[int, int] | None = None
    """Range [start, stop) of the frames of each video to use; None uses all."""
    jitter: int = 0
    """Largest number of frames by which the start of a clip is shifted at random."""
    side: int | None = None
    """Size in pixels that the shorter side of frames is resized to; None keeps the size."""
    store: str | None = None
    """Folder for decoded frames; None decodes each video from its beginning for every clip."""
    classes: tuple[str, ...] | None = None
    """Names of the classes to use, in the order of their labels 1, 2, ...; None uses all classes of the annotations."""
    _tracks: Mapping[str, VideoTracks] = field(init=False, repr=False, compare=False)
    _frames: Mapping[str, Frames] = field(init=False, repr=False, compare=False)
    _labels: Mapping[int, int] = field(init=False, repr=False, compare=False)  # by label of the annotations
    _categories: tuple[Category, ...] = field(init=False, repr=False, compare=False)
    _locations: tuple[_ClipLocation, ...] = field(init=False, repr=False, compare=False)
    _info: DatasetInfo = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_numbers(self, length=1, step=1, stride=1, jitter=0)
        if self.frames is not None and not 0 <= self.frames[0] < self.frames[1]:
            raise ValueError(f"frames must be a range [start, stop) with 0 ≤ start < stop, not {self.frames}")
        if self.side is not None and self.side < 1:
            raise ValueError(f"side must be ≥ 1 pixel, not {self.side}")
        tracks = read_tracks(self.annotations)
        labels, categories = choose_classes(tracks, self.classes, self.annotations)
        for name, value in (("_tracks", tracks), ("_labels", labels), ("_categories", categories)):
            object.__setattr__(self, name, value)
        frames = {name: self._open(name, video, len(tracks) == 1) for name, video in tracks.items()}
        object.__setattr__(self, "_frames", frames)
        locations = [location for name, video in tracks.items() for location in self._locate_clips(name, video)]
        object.__setattr__(self, "_locations", tuple(locations))
        object.__setattr__(self, "_info", self._make_info())

    @property
    def info(self) -> DatasetInfo:
        """The classes and the shapes of the targets; masks are among them if every object has masks."""
        return self._info

    def _make_info(self) -> DatasetInfo:
        labels = {
            self._labels[track.label]
            for location in self._locations
            for track in self._tracks[location.video].tracks
            if track.label in self._labels and (_rows(track, self._numbers(location)) >= 0).any()
        }
        empty = tuple(c.name for label, c in enumerate(self._categories, 1) if label not in labels)
        has_mask = [present for track in self._used_tracks() for present in _has_mask(track)]
        targets = {"masks": "N T H W"} if all(has_mask) else {}
        if self._num_keypoints:
            targets["keypoints"] = f"N T {self._num_keypoints} 3"
        targets |= {name: f"N {count}" for name, count in self._occurrence_sizes().items()}
        return DatasetInfo(
            num_classes=1 + len(self._categories),
            categories=self._categories,
            empty=empty,
            targets=targets,
            partial={"masks": f"{has_mask.count(False)} of {len(has_mask)} objects in {self.annotations} have no mask"},
        )

    @property
    def _num_keypoints(self) -> int:
        """Keypoints of the class with the most; 0 if no class has keypoints."""
        return max((len(category.keypoints) for category in self._categories), default=0)

    def _used_tracks(self) -> list[Track]:
        """Return the tracks of the chosen classes in all videos."""
        return [track for video in self._tracks.values() for track in video.tracks if track.label in self._labels]

    def _occurrence_sizes(self) -> dict[str, int]:
        """Return the sizes of the ``OCCURRENCES`` that every track of the chosen classes has, by field name."""
        tracks = self._used_tracks()
        sizes = {name: {0 if (v := getattr(t, name)) is None else v.shape[1] for t in tracks} for name in OCCURRENCES}
        return {name: counts.pop() for name, counts in sizes.items() if len(counts) == 1 and 0 not in counts}

    def __len__(self) -> int:
        return len(self._locations)

    def __getitem__(self, number: int) -> tuple[Tensor, dict[str, Tensor]]:
        location = self._locations[number]
        start = location.start
        if location.earliest < location.latest:
            start = int(torch.randint(location.earliest, location.latest + 1, ()))
        numbers = self._numbers(location, start)
        source = self._frames[location.video]
        frames = resize_frames(source.read(numbers.tolist()), self.side)
        size = (frames.shape[2], frames.shape[3])
        return frames.transpose(0, 1).float() / 255, self._target(location.video, numbers, size)

    def fingerprint(self) -> str:
        """Return a hash of the settings, of the state of the annotations and videos, and of the clip locations."""
        annotations = Path(self.annotations)
        files = find_files(annotations) if annotations.is_dir() else [annotations]
        files += [file for frames in self._frames.values() for file in frame_files(frames.path)]
        return hash_files(files, self, self._locations, self._labels)

    def _open(self, name: str, video: VideoTracks, is_only: bool) -> Frames:
        """Open the frames of an annotated video, and check that they fit its annotations."""
        frames = open_frames(find_video(Path(self.videos), name, is_only), store=self.store, side=self.side)
        if video.num_frames > frames.num_frames:
            raise ValueError(
                f"{self.annotations}: video {name!r} has {video.num_frames} frames, "
                f"but {frames.path} only {frames.num_frames}"
            )
        if frames.path.is_dir():
            check_gaps(frames.path)
        if video.size is not None:
            _check_proportions(self.annotations, name, video.size, frames)
        return frames

    @property
    def _sampler(self) -> ClipSampler:
        return ClipSampler(self.length, self.stride, self.step, tail="drop")

    def _numbers(self, location: _ClipLocation, start: int | None = None) -> NDArray[np.int64]:
        """Return the frame numbers [T] of a clip; ``start`` replaces its first frame."""
        first = location.start if start is None else start
        return self._sampler.indices_at(np.array(first), self._frames[location.video].num_frames)

    def _locate_clips(self, name: str, video: VideoTracks) -> list[_ClipLocation]:
        """Return the locations of all clips of a video.

        Raises:
            ValueError: the video has no clip.
        """
        first, stop = self.frames or (0, self._frames[name].num_frames)
        usable = np.zeros(self._frames[name].num_frames, bool)
        usable[range(video.num_frames) if video.annotated is None else video.annotated] = True
        usable[:first] = usable[stop:] = False
        sampler = self._sampler
        all_starts = np.arange(max(0, len(usable) - sampler.span + 1))
        fits = [bool(row.all()) for row in usable[sampler.indices_at(all_starts, len(usable))]]
        locations = []
        for start in (first + sampler.starts(max(0, len(usable) - first))).tolist():
            if fits[start]:
                earliest = latest = start
                while earliest > max(0, start - self.jitter) and fits[earliest - 1]:
                    earliest -= 1
                while latest < min(len(fits) - 1, start + self.jitter) and fits[latest + 1]:
                    latest += 1
                locations.append(_ClipLocation(video=name, start=start, earliest=earliest, latest=latest))
        if not locations:
            raise ValueError(
                f"{self.annotations}: video {name!r} has no clip of {self.length} annotated frames, {self.step} apart, "
                f"in [{first}, {stop})"
            )
        return locations

    def _target(self, name: str, numbers: NDArray[np.int64], size: tuple[int, int]) -> dict[str, Tensor]:
        """Return the target of a clip: the objects that are in at least one of its frames.

        Args:
            name: name of the video.
            numbers: frame numbers [T] of the clip.
            size: (height, width) of its frames, to which annotations are scaled.
        """
        used = [(t, _rows(t, numbers)) for t in self._tracks[name].tracks if t.label in self._labels]
        objects = [(track, rows) for track, rows in used if (rows >= 0).any()]
        annotated_size = self._tracks[name].size or self._frames[name].size
        scale_y, scale_x = (new / old for new, old in zip(size, annotated_size, strict=True))
        scale = np.array([scale_x, scale_y, scale_x, scale_y], np.float32)
        boxes = [_take(track.boxes * scale, rows) for track, rows in objects]
        target = {
            "boxes": torch.from_numpy(np.array(boxes, np.float32).reshape(-1, len(numbers), 4)),
            "visible": torch.from_numpy(np.array([rows >= 0 for _, rows in objects], bool).reshape(-1, len(numbers))),
            "labels": torch.tensor([self._labels[track.label] for track, _ in objects], dtype=torch.int64),
            "track_ids": torch.tensor([track.id for track, _ in objects], dtype=torch.int64),
        }
        if count := self._num_keypoints:
            points = np.zeros((len(objects), len(numbers), count, 3), np.float32)
            for n, (track, rows) in enumerate(objects):
                if track.keypoints is not None:
                    points[n, :, : track.keypoints.shape[1]] = _take(
                        track.keypoints * np.array([scale_x, scale_y, 1], np.float32), rows
                    )
            target["keypoints"] = torch.from_numpy(points)
        for field_name in self._info.targets.keys() & OCCURRENCES:
            occurs = [_take(getattr(track, field_name), rows).max(axis=0) >= 0.5 for track, rows in objects]
            width = int(self._info.targets[field_name].split()[1])
            target[field_name] = torch.from_numpy(np.array(occurs, bool).reshape(-1, width))
        if "masks" in self._info.targets:
            target["masks"] = _masks(objects, len(numbers), size)
        return target


def choose_classes(
    tracks: Mapping[str, VideoTracks], classes: Sequence[str] | None, source: str
) -> tuple[dict[int, int], tuple[Category, ...]]:
    """Choose the classes of annotations and number them from 1.

    Args:
        tracks: the annotated videos by name.
        classes: names of the classes in the order of their new labels; None takes all, ordered by label. Labels without
            a category are named after their number.
        source: name of the annotations in error messages.

    Returns:
        The new label of each chosen label of the annotations, and the categories in the order of the new labels.

    Raises:
        ValueError: the annotations do not have a class.
    """
    categories = {label: category for video in tracks.values() for label, category in video.categories.items()}
    for label in {track.label for video in tracks.values() for track in video.tracks}:
        categories.setdefault(label, Category(name=str(label)))
    by_name = {category.name: label for label, category in sorted(categories.items())}
    chosen = list(by_name) if classes is None else list(classes)
    for name in chosen:
        if name not in by_name:
            hint = did_you_mean(name, by_name)
            raise ValueError(f"{source}: there is no class {name!r}{hint} (accepted: {', '.join(by_name)})")
    labels = {by_name[name]: number for number, name in enumerate(chosen, 1)}
    return labels, tuple(categories[by_name[name]] for name in chosen)


def find_video(folder: Path, name: str, is_only: bool) -> Path:
    """Find the video file or the folder of images of a video, see ``TrackedClips``.

    Args:
        folder: the folder of videos; a video file or a folder of images if ``is_only``.
        name: name of the video in the annotations.
        is_only: True if the annotations have no other video.

    Raises:
        FileNotFoundError: no location exists, or several folders start with the number of the video.
    """
    if folder.is_file() and is_only:
        return folder
    for path in (folder / name / "img1", folder / name, *(folder / f"{name}{suffix}" for suffix in VIDEO_SUFFIXES)):
        if path.exists():
            return path
    if name.isdecimal():
        numbered = sorted(path for path in folder.glob(f"{name}_*") if path.is_dir())
        if len(numbered) == 1:
            return numbered[0]
    if is_only and folder.is_dir() and any(file.suffix.lower() in IMAGE_SUFFIXES for file in folder.iterdir()):
        return folder
    raise FileNotFoundError(f"{folder}: there is no video {name!r} (expected a video file or a folder of images)")


def _check_proportions(source: str, name: str, size: tuple[int, int], frames: Frames) -> None:
    """Raise ValueError if frames have other proportions than the annotated (height, width)."""
    height, width = frames.size
    if abs(size[1] * height / size[0] - width) > 1:  # one pixel of tolerance: resizing rounds a side
        raise ValueError(
            f"{source}: video {name!r} is annotated in frames of {size[0]}×{size[1]}, but the frames of {frames.path} "
            f"are {height}×{width}, which are other proportions"
        )


def _rows(track: Track, numbers: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the rows [T] of a track in the frames ``numbers`` [T]; -1 where it is absent or has a score of 0."""
    rows = np.searchsorted(track.frames, numbers).clip(max=len(track) - 1)
    return np.where((track.frames[rows] == numbers) & (track.scores[rows] > 0), rows, -1)


def _has_mask(track: Track) -> list[bool]:
    """Return whether each row of a track with a score above 0 has a mask."""
    masks = track.masks or (None,) * len(track)
    return [mask is not None for mask, score in zip(masks, track.scores, strict=True) if score > 0]


def _take(values: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return ``values[rows]``, with zeros where a row is -1."""
    is_present = (rows >= 0).reshape(-1, *[1] * (values.ndim - 1))
    result: NDArray[np.float32] = np.where(is_present, values[rows], 0)
    return result


def _masks(objects: Sequence[tuple[Track, NDArray[np.int64]]], length: int, size: tuple[int, int]) -> Tensor:
    """Return masks [N, T, H, W]; masks of another size are resized with nearest-neighbor interpolation.

    Args:
        objects: tracks with their rows [T] in the clip.
        length: T.
        size: (height, width) of the frames of the clip.
    """
    masks = torch.zeros(len(objects), length, *size, dtype=torch.bool)
    for n, (track, rows) in enumerate(objects):
        assert track.masks is not None  # called only if all objects have masks
        for t, row in enumerate(rows.tolist()):
            if row >= 0 and (mask := track.masks[row]) is not None:
                pixels = torch.from_numpy(mask.decode())[None, None].float()
                masks[n, t] = F.interpolate(pixels, size=size)[0, 0] > 0
    return masks
