"""Objects of any frames in one table of rows: the step between the frames of a video and its tracks."""

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
    """R objects, each in one frame, in any order: boxes [R, 4], scores [R], and the fields of ``ObjectFields``."""

    axes = {"N": "R", "T": None}  # noqa: RUF012 (a ClassVar of the base)
    is_checked = False

    frames: Integers = rows("N", np.int64)
    """[R] from 0."""
    times: Doubles | None = rows("N", np.float64, default=None)
    """[R] seconds from the start of the video."""
    ids: Integers = rows("N", np.int64)
    """[R]"""
    labels: Integers = rows("N", np.int64)
    """[R]"""


def frames_of(tracks: Sequence[Track], num_frames: int) -> Iterator[FrameTracks]:
    """Yield the objects of every frame in the order of their ids, of frames without objects too.

    Where poses in a frame have different numbers of keypoints, K is the largest there, and the rest are zeros.
    """
    blocks = [_by_frame(block) for block in _alike(tracks)]
    bounds = [np.searchsorted(block.frames, np.arange(num_frames + 1)).tolist() for block in blocks]
    for number in range(num_frames):
        parts = [block[b[number] : b[number + 1]] for block, b in zip(blocks, bounds, strict=True)]
        parts = [part for part in parts if len(part)]
        if not parts:
            yield FrameTracks.empty(frame=number)
            continue
        found = parts[0]
        if len(parts) > 1:
            found = Observations.concatenate(parts, pad=True)
            found = found[np.argsort(found.ids)]
        time = None if found.times is None else float(found.times[0])
        yield found.convert(FrameTracks, frame=number, time=time)


def _alike(tracks: Sequence[Track]) -> list[list[Track]]:
    """Group tracks by their optional fields and the shapes of these, so that their rows can be joined as they are."""
    blocks: dict[object, list[Track]] = {}
    for track in tracks:
        held = {
            name: getattr(track, name) for name, declared in declarations(Track) if isinstance(declared, ArrayField)
        }
        layout = tuple((name, values.shape[1:]) for name, values in held.items() if values is not None)
        blocks.setdefault(layout, []).append(track)
    return list(blocks.values())


def _by_frame(tracks: Sequence[Track]) -> Observations:
    """The rows of tracks in the order of their frames."""
    parts = [
        track.convert(Observations, ids=np.full(len(track), track.id), labels=np.full(len(track), track.label))
        for track in tracks
    ]
    joined = Observations.concatenate(parts)
    return joined[np.argsort(joined.frames, kind="stable")]


def tracks_of(frames: Iterable[FrameTracks]) -> Iterator[Track]:
    """Yield tracks put together from frames in order. A track's label is that of its last frame.

    Raises:
        ValueError: poses with different numbers of keypoints.
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
        own = joined[start:stop]
        yield own.convert(Track, id=int(own.ids[0]), label=int(own.labels[-1]))
