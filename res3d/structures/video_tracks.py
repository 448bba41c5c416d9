"""The tracks of a video, and methods to save and load them."""

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
from res3d.structures.observations import join_into_tracks, split_into_frames
from res3d.structures.rows import Doubles, Integers
from res3d.structures.track import Track
from res3d.structures.tracks_formats import FORMATS, format_to_read, format_to_write

if TYPE_CHECKING:
    import pandas as pd

TABLE = "res3d.structures.formats.table"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class VideoTracks:
    """The tracks of all objects in a video, with metadata of the video.

    ``save`` writes a file in any of the formats of ``tracks_formats``, and ``load`` reads it back without loss of the
    fields that the format holds (docs/tracking.md has the table). ``to_mot``, ``from_mot`` and the methods of the other
    formats do the same for one format. Of the fields that the format does not hold, they drop those in
    ``tracks_formats.LEFT_OUT`` without a warning and raise ValueError for others.

    Raises:
        ValueError: two tracks have the same id, a frame is beyond ``num_frames``, the size or rate is invalid, or the
            times do not increase or differ from those of a track.
    """

    tracks: tuple[Track, ...]
    """Tracks, sorted by id."""
    num_frames: int
    """Number of frames in the video, including frames without objects."""
    name: str = "video"
    fps: float | None = None
    """Frames per second, > 0."""
    size: tuple[int, int] | None = None
    """(height, width) of a frame in pixels."""
    categories: Mapping[int, Category] = field(default_factory=dict)
    """Categories by label."""
    annotated: Integers | None = None
    """Numbers of the annotated frames; None: all frames are annotated."""
    times: Doubles | None = None
    """[num_frames] time of each frame in seconds from the start of the video."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "tracks", tuple(sorted(self.tracks, key=lambda track: track.id)))
        for one, other in pairwise(self.tracks):
            if one.id == other.id:
                raise ValueError(f"two tracks have the id {one.id}; ids must be unique")
        if self.num_frames < 0:
            raise ValueError(f"num_frames must be ≥ 0, not {self.num_frames}")
        if (last := self._last_frame()) >= self.num_frames:
            raise ValueError(f"a track has frame {last}, but the video has only {self.num_frames} frames (from 0)")
        if self.size is not None and (len(self.size) != 2 or min(self.size) < 1):
            raise ValueError(f"size must be (height, width) in pixels, both ≥ 1, not {self.size!r}")
        if self.fps is not None and not 0 < self.fps < float("inf"):
            raise ValueError(f"fps must be finite and > 0, not {self.fps!r}")
        if self.annotated is not None and not set(self.annotated.tolist()) <= set(range(self.num_frames)):
            raise ValueError(f"annotated must contain only frame numbers from 0 and below {self.num_frames}")
        if self.times is not None:
            self._check_times(self.times)

    def _last_frame(self) -> int:
        """Return the number of the last frame with an object, or -1 if there are no objects."""
        return max((int(track.frames[-1]) for track in self.tracks), default=-1)

    def _check_times(self, times: Doubles) -> None:
        if times.shape != (self.num_frames,) or not (np.diff(times) > 0).all():
            raise ValueError(f"times must be {self.num_frames} increasing numbers, not {times.tolist()[:10]}")
        for track in self.tracks:
            if track.times is not None and not np.array_equal(track.times, times[track.frames]):
                raise ValueError(f"track {track.id} and the video have different times for the same frames")

    def __len__(self) -> int:
        return len(self.tracks)

    def frames(self) -> Iterator[FrameTracks]:
        """Yield the objects of every frame of the video, in order; also frames without objects."""
        for frame in split_into_frames(self.tracks, self.num_frames):
            yield frame if self.times is None else frame.replace(time=float(self.times[frame.frame]))

    @classmethod
    def from_frames(cls, frames: Iterable[FrameTracks], **metadata: Value) -> "VideoTracks":
        """Join the objects of consecutive frames into tracks.

        Args:
            frames: frames of a video, in order.
            metadata: other fields of the class. The default of ``num_frames`` is the number of the last frame plus 1.
                The default of ``times`` are the times of the frames, if all frames of the video have one.
        """
        frame_list = list(frames)
        metadata.setdefault("num_frames", frame_list[-1].frame + 1 if frame_list else 0)
        times = [frame.time for frame in frame_list if frame.time is not None]
        if frame_list and len(times) == metadata["num_frames"]:
            metadata.setdefault("times", np.array(times))
        return cls(tracks=tuple(join_into_tracks(frame_list)), **metadata)

    def of(self, label: int) -> tuple[Track, ...]:
        """Return the tracks of one class."""
        return tuple(track for track in self.tracks if track.label == label)

    def renamed(self, **metadata: Value) -> "VideoTracks":
        """Return a copy with some fields changed (name, fps, size, categories, ...)."""
        return replace(self, **metadata)

    def filled_fields(self) -> tuple[str, ...]:
        """Return the names of optional fields with a value: first fields of any track, then fields of the video.

        ``num_frames`` is among them if the video continues after the last frame with an object.
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
        """Write a file. After an error no partial file remains.

        Args:
            path: the file.
            format: a name of ``tracks_formats.FORMATS``; by default chosen by the file's suffix.

        Returns:
            Names of the fields, of tracks or of the video, that the format does not hold; a warning lists them too.

        Raises:
            ValueError: the format or suffix is unknown, the format can only be read, or a field that it requires is
                missing.
            ImportError: the format requires an extra that is not installed.
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
            format: a name of ``tracks_formats.FORMATS``; by default chosen by the file's suffix and content.
            video: name of the video to read; required if the file holds several.

        Raises:
            FileNotFoundError: the file does not exist.
            ValueError: the format or suffix is unknown, the format can only be written, the file is invalid, or it
                holds no video of this name, or several videos and no name is passed.
            ImportError: the format requires an extra that is not installed.
        """
        path = Path(path)
        return _choose(format_to_read(path, format).read(path), video, path)

    def _without(self, names: Iterable[str]) -> "VideoTracks":
        """Return a copy without those optional fields of tracks, and those times, that are among ``names``."""
        of_tracks = {each.name: None for each in fields(Track) if each.name in names and each.default is None}
        if not of_tracks:
            return self
        tracks = tuple(track.replace(**of_tracks) for track in self.tracks)
        return self.renamed(tracks=tracks, times=None if "times" in of_tracks else self.times)

    def to_mot(self, path: str | Path) -> None:
        """Write MOTChallenge text; see ``formats.mot.write_mot``."""
        FORMATS["mot"].write(self, Path(path))

    @classmethod
    def from_mot(cls, path: str | Path, **metadata: object) -> "VideoTracks":
        """Read MOTChallenge text. ``metadata`` are fields that the text does not hold; see ``formats.mot.read_mot``."""
        return _choose(FORMATS["mot"].read(Path(path), **{"name": Path(path).stem, **metadata}), None, path)

    def to_cocovid(self, path: str | Path) -> None:
        """Write CocoVID JSON. ``formats.write_cocovid`` can write several videos to one file."""
        FORMATS["cocovid"].write(self, Path(path))

    @classmethod
    def from_cocovid(cls, path: str | Path, video: str | None = None) -> "VideoTracks":
        """Read a video of a CocoVID file: the one named ``video``, or by default the only one."""
        return _choose(FORMATS["cocovid"].read(Path(path)), video, path)

    def to_posetrack(self, path: str | Path) -> None:
        """Write PoseTrack18 JSON; see ``formats.posetrack.write_posetrack``."""
        FORMATS["posetrack"].write(self, Path(path))

    @classmethod
    def from_posetrack(cls, path: str | Path) -> "VideoTracks":
        """Read PoseTrack18 JSON; see ``formats.posetrack.read_posetrack``."""
        return _choose(FORMATS["posetrack"].read(Path(path)), None, path)

    def to_table(self) -> "pd.DataFrame":
        """Return a pandas table with one row per object and frame; see ``formats.table``."""
        return resolve(f"{TABLE}:to_table")(self)

    @classmethod
    def from_table(cls, table: "pd.DataFrame", **metadata: object) -> "VideoTracks":
        """Convert a table as ``to_table`` returns it; ``metadata`` are fields that it lacks (name, fps, ...)."""
        tracks: VideoTracks = resolve(f"{TABLE}:from_table")(table, **metadata)
        return tracks


def _choose(videos: Mapping[str, VideoTracks], name: str | None, path: str | Path) -> VideoTracks:
    """Return the video of that name; without a name, the only video."""
    if name is None and len(videos) == 1:
        name = next(iter(videos))
    if name is None or name not in videos:
        problem = "choose one by its name" if name is None else f"there is no {name!r}"
        raise ValueError(f"{path}: holds the videos {', '.join(map(repr, videos))}; {problem}")
    return videos[name]
