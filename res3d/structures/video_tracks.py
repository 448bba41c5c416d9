"""The tracks of a video, and the files they can be kept in."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from res3d.ops.rle import Rle
from res3d.structures.category import Category
from res3d.structures.frame_tracks import FrameTracks
from res3d.structures.track import Track

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class VideoTracks:
    """Every object of a video.

    ``to_mot``, ``to_cocovid``, ``to_posetrack`` write files, whole or not at all, and ``from_...`` read them back with
    nothing lost of what the format can hold (docs/tracking.md has the table); ``to_table`` gives a pandas table.

    Raises:
        ValueError: two tracks with one id, a frame beyond ``num_frames``, or a size or rate that is none.
    """

    tracks: tuple[Track, ...]  # in the order of their ids
    num_frames: int  # of the video, whether or not something is in them
    name: str = "video"
    fps: float | None = None
    size: tuple[int, int] | None = None  # (height, width) of a frame in pixels
    categories: Mapping[int, Category] = field(default_factory=dict)  # by label
    annotated: NDArray[np.int64] | None = None  # frames that somebody labelled; None: all of them

    def __post_init__(self) -> None:
        object.__setattr__(self, "tracks", tuple(sorted(self.tracks, key=lambda track: track.id)))
        for one, other in pairwise(self.tracks):
            if one.id == other.id:
                raise ValueError(f"two tracks have the id {one.id}")
        last = max((int(track.frames[-1]) for track in self.tracks), default=-1)
        if last >= self.num_frames or self.num_frames < 0:
            raise ValueError(f"a video of {self.num_frames} frames has no frame {last}")
        if self.size is not None and (len(self.size) != 2 or min(self.size) < 1):
            raise ValueError(f"the size of a video must be (height, width) in pixels, not {self.size!r}")
        if self.fps is not None and not 0 < self.fps < float("inf"):
            raise ValueError(f"fps must be > 0, not {self.fps!r}")
        if self.annotated is not None and not set(self.annotated.tolist()) <= set(range(self.num_frames)):
            raise ValueError(f"annotated frames must be frames of a video of {self.num_frames}")

    def __len__(self) -> int:
        return len(self.tracks)

    def frames(self) -> Iterator[FrameTracks]:
        """The same, frame by frame: every frame of the video, those without objects too."""
        places = [np.full(len(track), n) for n, track in enumerate(self.tracks)]
        rows = [np.arange(len(track)) for track in self.tracks]
        empty = [np.zeros(0, np.int64)]
        frames = np.concatenate([track.frames for track in self.tracks] or empty)
        order = np.argsort(frames, kind="stable")
        place, row = np.concatenate(places or empty)[order], np.concatenate(rows or empty)[order]
        bounds = np.searchsorted(frames[order], np.arange(self.num_frames + 1))
        for number in range(self.num_frames):
            part = slice(bounds[number], bounds[number + 1])
            yield self._frame(number, place[part].tolist(), row[part].tolist())

    def _frame(self, number: int, places: list[int], rows: list[int]) -> FrameTracks:
        tracks = [self.tracks[place] for place in places]
        pairs = list(zip(tracks, rows, strict=True))

        def stack(name: str) -> NDArray[np.float32] | None:
            """[N, K, ...]; where classes have more or fewer keypoints, K is the most, the rest zeros."""
            held = [
                (n, array[row]) for n, (track, row) in enumerate(pairs) if (array := getattr(track, name)) is not None
            ]
            if not held:
                return None
            stacked = np.zeros((len(pairs), max(len(a) for _, a in held), *held[0][1].shape[1:]), np.float32)
            for n, array in held:
                stacked[n, : len(array)] = array
            return stacked

        masks = tuple(None if track.masks is None else track.masks[row] for track, row in pairs)
        return FrameTracks(
            frame=number,
            ids=np.array([track.id for track in tracks], np.int64),
            labels=np.array([track.label for track in tracks], np.int64),
            boxes=np.array([track.boxes[row] for track, row in pairs], np.float32).reshape(-1, 4),
            scores=np.array([track.scores[row] for track, row in pairs], np.float32),
            keypoints=stack("keypoints"),
            keypoints_scores=stack("keypoints_scores"),
            masks=masks if any(mask is not None for mask in masks) else None,
        )

    @classmethod
    def from_frames(cls, frames: Iterable[FrameTracks], **facts: Any) -> "VideoTracks":
        """Tracks put together from frames in order; ``facts`` are the other fields of the class.

        ``num_frames`` may be left out: it is then one more than the last frame's number.
        """
        held = list(frames)
        facts.setdefault("num_frames", held[-1].frame + 1 if held else 0)
        return cls(tracks=tuple(_group(held)), **facts)

    def of(self, label: int) -> tuple[Track, ...]:
        """The tracks of one class."""
        return tuple(track for track in self.tracks if track.label == label)

    def renamed(self, **facts: Any) -> "VideoTracks":
        """The same tracks with other facts about the video (name, fps, size, categories, ...)."""
        return replace(self, **facts)

    def to_mot(self, path: str | Path) -> None:
        """Write MOTChallenge text; see ``formats.mot``."""
        from res3d.structures.formats.mot import write_mot

        write_mot(self, path)

    @classmethod
    def from_mot(cls, path: str | Path, **facts: Any) -> "VideoTracks":
        """Read MOTChallenge text; see ``formats.mot``."""
        from res3d.structures.formats.mot import read_mot

        return read_mot(path, **facts)

    def to_cocovid(self, path: str | Path) -> None:
        """Write CocoVID JSON; see ``formats.cocovid``, which also writes several videos to a file."""
        from res3d.structures.formats.cocovid import write_cocovid

        write_cocovid([self], path)

    @classmethod
    def from_cocovid(cls, path: str | Path, video: str | None = None) -> "VideoTracks":
        """Read the only video of a CocoVID file, or the one that is named."""
        from res3d.structures.formats.cocovid import read_cocovid

        videos = read_cocovid(path)
        if video is None and len(videos) == 1:
            return next(iter(videos.values()))
        if video not in videos:
            asked = "name one of them" if video is None else f"{video!r} is none of them"
            raise ValueError(f"{path}: holds the videos {', '.join(map(repr, videos))}; {asked}")
        return videos[video]

    def to_posetrack(self, path: str | Path) -> None:
        """Write PoseTrack18 JSON; see ``formats.posetrack``."""
        from res3d.structures.formats.posetrack import write_posetrack

        write_posetrack(self, path)

    @classmethod
    def from_posetrack(cls, path: str | Path) -> "VideoTracks":
        """Read PoseTrack18 JSON; see ``formats.posetrack``."""
        from res3d.structures.formats.posetrack import read_posetrack

        return read_posetrack(path)

    def to_table(self) -> "pd.DataFrame":
        """A pandas table, a row an object and frame; see ``formats.table``."""
        from res3d.structures.formats.table import to_table

        return to_table(self)

    @classmethod
    def from_table(cls, table: "pd.DataFrame", **facts: Any) -> "VideoTracks":
        """Read such a table; see ``formats.table``."""
        from res3d.structures.formats.table import from_table

        return from_table(table, **facts)


def _group(frames: list[FrameTracks]) -> Iterator[Track]:
    """Tracks from frames: all arrays joined, then cut by id."""
    held = [frame for frame in frames if len(frame)]
    if not held:
        return
    ids = np.concatenate([frame.ids for frame in held])
    order = np.argsort(ids, kind="stable")
    numbers = np.concatenate([np.full(len(frame), frame.frame) for frame in held])[order]
    labels, boxes, scores = (
        np.concatenate([getattr(frame, name) for frame in held])[order] for name in ("labels", "boxes", "scores")
    )
    keypoints, points = _joined(held, "keypoints", order), _joined(held, "keypoints_scores", order)
    masks: list[Rle | None] = [mask for frame in held for mask in frame.masks or (None,) * len(frame)]
    starts = np.flatnonzero(np.diff(ids[order], prepend=-1))
    for start, stop in zip(starts, [*starts[1:], len(order)], strict=True):
        part = slice(int(start), int(stop))
        own = tuple(masks[n] for n in order[part])
        yield Track(
            id=int(ids[order[start]]),
            label=int(labels[stop - 1]),  # of a stream, the last word
            frames=numbers[part].astype(np.int64),
            boxes=boxes[part],
            scores=scores[part],
            keypoints=None if keypoints is None else keypoints[part],
            keypoints_scores=None if points is None else points[part],
            masks=own if any(mask is not None for mask in own) else None,
        )


def _joined(frames: list[FrameTracks], name: str, order: NDArray[np.int64]) -> NDArray[np.float32] | None:
    """An optional array of all frames in ``order``; zeros for frames without it, None if none has it."""
    shapes = {array.shape[1:] for frame in frames if (array := getattr(frame, name)) is not None}
    if not shapes:
        return None
    if len(shapes) > 1:
        raise ValueError(f"{name} of all frames must have one shape, not {sorted(shapes)}")
    nothing = np.zeros(shapes.pop(), np.float32)
    parts = [np.stack([nothing] * len(f)) if (a := getattr(f, name)) is None else a for f in frames]
    joined: NDArray[np.float32] = np.concatenate(parts)[order]
    return joined
