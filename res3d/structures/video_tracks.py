"""The tracks of a video, and the files that hold them."""

import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from res3d.settings import resolve
from res3d.settings.types import Value
from res3d.structures.category import Category
from res3d.structures.frame_tracks import FrameTracks
from res3d.structures.observations import frames_of, tracks_of
from res3d.structures.rows import Doubles, Integers
from res3d.structures.track import Track
from res3d.structures.tracks_formats import FORMATS, format_to_read, format_to_write

if TYPE_CHECKING:
    import pandas as pd

TABLE = "res3d.structures.formats.table"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class VideoTracks:
    """Every object of a video.

    ``save`` writes a file in any of the formats of ``tracks_formats``, whole or not at all, and ``load`` reads it back
    with nothing lost of what the format holds (docs/tracking.md has the table). ``to_mot``, ``from_mot`` and the like
    do the same for one format: they leave out masks and keypoints that it does not hold without a warning, and refuse
    other fields that it does not hold.

    Raises:
        ValueError: two tracks with one id, a frame beyond ``num_frames``, an invalid size or rate, or times that do not
            increase or differ from those of a track.
    """

    tracks: tuple[Track, ...]
    """In the order of their ids."""
    num_frames: int
    """Of the video, whether or not they have objects."""
    name: str = "video"
    fps: float | None = None
    size: tuple[int, int] | None = None
    """(height, width) of a frame in pixels."""
    categories: Mapping[int, Category] = field(default_factory=dict)
    """By label."""
    annotated: Integers | None = None
    """Frames that somebody labelled; None: all of them."""
    times: Doubles | None = None
    """[num_frames] seconds of each frame from the start of the video."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "tracks", tuple(sorted(self.tracks, key=lambda track: track.id)))
        for one, other in pairwise(self.tracks):
            if one.id == other.id:
                raise ValueError(f"two tracks have the id {one.id}")
        last = self._last_frame()
        if last >= self.num_frames or self.num_frames < 0:
            raise ValueError(f"a video of {self.num_frames} frames has no frame {last}")
        if self.size is not None and (len(self.size) != 2 or min(self.size) < 1):
            raise ValueError(f"the size of a video must be (height, width) in pixels, not {self.size!r}")
        if self.fps is not None and not 0 < self.fps < float("inf"):
            raise ValueError(f"fps must be > 0, not {self.fps!r}")
        if self.annotated is not None and not set(self.annotated.tolist()) <= set(range(self.num_frames)):
            raise ValueError(f"annotated frames must be frames of a video of {self.num_frames}")
        if self.times is not None:
            self._check_times(self.times)

    def _last_frame(self) -> int:
        """Return the last frame with an object, -1 without any."""
        return max((int(track.frames[-1]) for track in self.tracks), default=-1)

    def _check_times(self, times: Doubles) -> None:
        if times.shape != (self.num_frames,) or not (np.diff(times) > 0).all():
            raise ValueError(f"times must be those of {self.num_frames} frames and increase, not {times.tolist()[:10]}")
        for track in self.tracks:
            if track.times is not None and not np.array_equal(track.times, times[track.frames]):
                raise ValueError(f"track {track.id} and the video have different times")

    def __len__(self) -> int:
        return len(self.tracks)

    def frames(self) -> Iterator[FrameTracks]:
        """Yield the same frame by frame: every frame of the video, those without objects too."""
        for frame in frames_of(self.tracks, self.num_frames):
            yield frame if self.times is None else frame.replace(time=float(self.times[frame.frame]))

    @classmethod
    def from_frames(cls, frames: Iterable[FrameTracks], **facts: Value) -> "VideoTracks":
        """Put tracks together from frames in order; ``facts`` are the other fields of the class.

        Without ``num_frames``, it is one more than the last frame's number; without ``times``, they are the frames',
        if each frame has its own.
        """
        held = list(frames)
        facts.setdefault("num_frames", held[-1].frame + 1 if held else 0)
        times = [frame.time for frame in held if frame.time is not None]
        if held and len(times) == facts["num_frames"]:
            facts.setdefault("times", np.array(times))
        return cls(tracks=tuple(tracks_of(held)), **facts)

    def of(self, label: int) -> tuple[Track, ...]:
        """Return the tracks of one class."""
        return tuple(track for track in self.tracks if track.label == label)

    def renamed(self, **facts: Value) -> "VideoTracks":
        """Return the same tracks with other metadata of the video (name, fps, size, categories, ...)."""
        return replace(self, **facts)

    def filled_fields(self) -> tuple[str, ...]:
        """Return the names of optional fields that have a value: of some track, then of the video.

        ``num_frames`` is among them where frames follow the last one with an object.
        """
        of_tracks = [each.name for each in fields(Track) if each.default is None]
        filled = [name for name in of_tracks if any(getattr(track, name) is not None for track in self.tracks)]
        for each in fields(self):
            value, default = getattr(self, each.name), {} if each.default is MISSING else each.default
            if each.name not in ("tracks", "num_frames") and (isinstance(value, np.ndarray) or value != default):
                filled.append(each.name)
        longer = self.num_frames > self._last_frame() + 1
        return tuple(dict.fromkeys(filled + ["num_frames"] * longer))

    def save(self, path: str | Path, format: str | None = None) -> tuple[str, ...]:
        """Write a file, whole or not at all.

        Args:
            path: the file.
            format: a name of ``tracks_formats.FORMATS``; by default the one of the file's suffix.

        Returns:
            Names of the fields, of tracks or of the video, that the format does not hold; a warning lists them too.

        Raises:
            ValueError: an unknown format or suffix, a format that is only read, or a video without what it needs.
            ImportError: the extra that the format needs is not installed.
        """
        path = Path(path)
        chosen = format_to_write(path, format)
        lost = tuple(name for name in chosen.lacks(self) if name != "name" or self.name != path.stem)
        chosen.write(self._without(lost), path)
        if lost:
            warnings.warn(f"{path}: {chosen.title} does not hold {', '.join(lost)}", stacklevel=2)
        return lost

    @classmethod
    def load(cls, path: str | Path, format: str | None = None, *, video: str | None = None) -> "VideoTracks":
        """Read the tracks of a video.

        Args:
            path: the file.
            format: a name of ``tracks_formats.FORMATS``; by default told from the file's suffix and content.
            video: name of one of the videos of a file that holds several.

        Raises:
            FileNotFoundError: no such file.
            ValueError: an unknown format or suffix, a format that is only written, a file that is not of the format, or
                one of several videos that is not named.
            ImportError: the extra that the format needs is not installed.
        """
        path = Path(path)
        return _choose(format_to_read(path, format).read(path), video, path)

    def _without(self, names: Iterable[str]) -> "VideoTracks":
        """Return the same without these fields of tracks and without times, as far as they are among ``names``."""
        of_tracks = {each.name: None for each in fields(Track) if each.name in names and each.default is None}
        if not of_tracks:
            return self
        tracks = tuple(track.replace(**of_tracks) for track in self.tracks)
        return self.renamed(tracks=tracks, times=None if "times" in of_tracks else self.times)

    def to_mot(self, path: str | Path) -> None:
        """Write MOTChallenge text; see ``formats.mot``."""
        FORMATS["mot"].write(self, Path(path))

    @classmethod
    def from_mot(cls, path: str | Path, **facts: object) -> "VideoTracks":
        """Read MOTChallenge text; ``facts`` are what it does not hold; see ``formats.mot.read_mot``."""
        return _choose(FORMATS["mot"].read(Path(path), **{"name": Path(path).stem, **facts}), None, path)

    def to_cocovid(self, path: str | Path) -> None:
        """Write CocoVID JSON; see ``formats.cocovid``, which also writes several videos to a file."""
        FORMATS["cocovid"].write(self, Path(path))

    @classmethod
    def from_cocovid(cls, path: str | Path, video: str | None = None) -> "VideoTracks":
        """Read the only video of a CocoVID file, or the one that is named."""
        return _choose(FORMATS["cocovid"].read(Path(path)), video, path)

    def to_posetrack(self, path: str | Path) -> None:
        """Write PoseTrack18 JSON; see ``formats.posetrack``."""
        FORMATS["posetrack"].write(self, Path(path))

    @classmethod
    def from_posetrack(cls, path: str | Path) -> "VideoTracks":
        """Read PoseTrack18 JSON; see ``formats.posetrack``."""
        return _choose(FORMATS["posetrack"].read(Path(path)), None, path)

    def to_table(self) -> "pd.DataFrame":
        """Return a pandas table with one row per object and frame; see ``formats.table``."""
        return resolve(f"{TABLE}:to_table")(self)

    @classmethod
    def from_table(cls, table: "pd.DataFrame", **facts: object) -> "VideoTracks":
        """Read such a table; ``facts`` are what it does not hold; see ``formats.table``."""
        made: VideoTracks = resolve(f"{TABLE}:from_table")(table, **facts)
        return made


def _choose(videos: Mapping[str, VideoTracks], name: str | None, path: str | Path) -> VideoTracks:
    """The video of that name, or the only one."""
    if name is None and len(videos) == 1:
        name = next(iter(videos))
    if name is None or name not in videos:
        asked = "name one of them" if name is None else f"{name!r} is none of them"
        raise ValueError(f"{path}: holds the videos {', '.join(map(repr, videos))}; {asked}")
    return videos[name]
