"""Conversion between the tracks of a video and its frames, through one table of all objects in all frames."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from res3d.ops import Rle
from res3d.structures.frame_tracks import FrameTracks
from res3d.structures.object_fields import ObjectFields
from res3d.structures.row_fields import declarations
from res3d.structures.row_kinds import ArrayField
from res3d.structures.rows import Doubles, Integers, object_rows, rows
from res3d.structures.track import Track


@object_rows
class Observations(ObjectFields[Rle | None]):
    """R observations, each of one object in one frame: boxes [R, 4], scores [R], and the fields of ``ObjectFields``."""

    axes = {"N": "R", "T": None}  # noqa: RUF012 (a ClassVar of the base)
    is_checked = False

    frames: Integers = rows("N", np.int64)
    """[R] frame numbers from 0."""
    times: Doubles | None = rows("N", np.float64, default=None)
    """[R] seconds from the start of the video."""
    ids: Integers = rows("N", np.int64)
    """[R] track ids."""
    labels: Integers = rows("N", np.int64)
    """[R] labels."""


def split_into_frames(tracks: Sequence[Track], num_frames: int) -> Iterator[FrameTracks]:
    """Yield the objects of every frame, sorted by id; also frames without objects.

    If poses in a frame have different numbers of keypoints, K is the largest number and the missing ones are zeros.

    Args:
        tracks: tracks sorted by id.
        num_frames: number of frames in the video.
    """
    blocks = [_observations(group) for group in _group_by_layout(tracks)]
    bounds = [np.searchsorted(block.frames, np.arange(num_frames + 1)).tolist() for block in blocks]
    for number in range(num_frames):
        parts = [block[b[number] : b[number + 1]] for block, b in zip(blocks, bounds, strict=True)]
        parts = [part for part in parts if len(part)]
        if not parts:
            yield FrameTracks.empty(frame=number)
            continue
        objects = parts[0]
        if len(parts) > 1:
            objects = Observations.concatenate(parts, pad=True)
            objects = objects[np.argsort(objects.ids)]
        time = None if objects.times is None else float(objects.times[0])
        yield objects.convert(FrameTracks, frame=number, time=time)


def _group_by_layout(tracks: Sequence[Track]) -> list[list[Track]]:
    """Group tracks that have the same optional fields with the same shapes, so that joining them needs no padding."""
    groups: dict[object, list[Track]] = {}
    for track in tracks:
        arrays = {name: getattr(track, name) for name, field in declarations(Track) if isinstance(field, ArrayField)}
        layout = tuple((name, values.shape[1:]) for name, values in arrays.items() if values is not None)
        groups.setdefault(layout, []).append(track)
    return list(groups.values())


def _observations(tracks: Sequence[Track]) -> Observations:
    """Return the observations of tracks, sorted by frame."""
    parts = [
        track.convert(Observations, ids=np.full(len(track), track.id), labels=np.full(len(track), track.label))
        for track in tracks
    ]
    joined = Observations.concatenate(parts)
    return joined[np.argsort(joined.frames, kind="stable")]


def join_into_tracks(frames: Iterable[FrameTracks]) -> Iterator[Track]:
    """Yield the tracks of consecutive frames. The label of a track is that of its last frame.

    Raises:
        ValueError: poses of different frames have different numbers of keypoints.
    """
    parts = [
        frame.convert(
            Observations,
            frames=np.full(len(frame), frame.frame),
            times=None if frame.time is None else np.full(len(frame), frame.time),
        )
        for frame in frames
        if len(frame)
    ]
    if not parts:
        return
    joined = Observations.concatenate(parts)
    joined = joined[np.argsort(joined.ids, kind="stable")]
    starts = np.flatnonzero(np.diff(joined.ids, prepend=-1)).tolist()
    for start, stop in zip(starts, [*starts[1:], len(joined)], strict=True):
        track = joined[start:stop]
        yield track.convert(Track, id=int(track.ids[0]), label=int(track.labels[-1]))
