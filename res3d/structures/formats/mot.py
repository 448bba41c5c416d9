"""MOTChallenge text: one line per object and frame, counted from 1 as pixels are (motchallenge.net/instructions).

The writer uses the layout of its ground truth, ``frame, id, x, y, width, height, score, label, visibility``, with
visibility -1 for unknown. The readers take lines of

- 7 columns, up to the score; the label is 1
- 8 or 9 columns, with a label
- 10 columns, the layout of its results: the last three are world coordinates, which are not read; the label is 1

Ground truth has a flag where results have a score: 0 for boxes that are not to be counted.
"""

from collections.abc import Mapping
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from res3d.files import write_whole
from res3d.settings.types import Value
from res3d.structures.category import Category
from res3d.structures.formats.files import read_text
from res3d.structures.formats.numbers import to_xywh, to_xyxy
from res3d.structures.formats.rows import Row, tracks_from_rows
from res3d.structures.frame_detections import FrameDetections
from res3d.structures.tracks_formats import TracksFormat
from res3d.structures.video_tracks import VideoTracks

FIRST = 1  # frames and pixels


def write_mot(video: VideoTracks, path: str | Path) -> None:
    """Write boxes, scores, ids and labels; masks and keypoints are left out, which the format does not hold.

    Raises:
        ValueError: other fields that the format does not hold.
    """
    MOT.check(video)
    lines = []
    for track in video.tracks:
        for frame, box, score in zip(track.frames, track.boxes, track.scores, strict=True):
            numbers = (*to_xywh(box, origin=FIRST), Decimal(str(score)))
            texts = [format(number.normalize(), "f") for number in numbers]
            lines.append((int(frame), track.id, f"{frame + FIRST},{track.id},{','.join(texts)},{track.label},-1"))
    write_whole(path, "".join(f"{line}\n" for _, _, line in sorted(lines)))


def read_mot(
    path: str | Path,
    *,
    num_frames: int | None = None,
    name: str | None = None,
    fps: float | None = None,
    size: tuple[int, int] | None = None,
    categories: Mapping[int, Category] | None = None,
) -> VideoTracks:
    """Read tracks. The arguments are what the text does not hold; by default the video ends with its last object.

    Raises:
        FileNotFoundError: no such file.
        ValueError: an invalid file; names the line.
    """
    table = _read_table(path)
    if (table[:, 1] < 0).any():
        line = int(np.flatnonzero(table[:, 1] < 0)[0])
        raise ValueError(f"{path}: line {line + 1} has no id: these are detections, not tracks (read_mot_detections)")
    boxes = to_xyxy(table[:, 2:6], origin=FIRST)
    rows = (
        Row(id=int(line[1]), frame=int(line[0]) - FIRST, label=int(line[7]), values={"boxes": box, "scores": line[6]})
        for line, box in zip(table, boxes, strict=True)
    )
    tracks = tracks_from_rows(rows, path)
    last = int(table[:, 0].max(initial=0))
    try:
        return VideoTracks(
            tracks=tracks,
            num_frames=last if num_frames is None else num_frames,
            name=Path(path).stem if name is None else name,
            fps=fps,
            size=size,
            categories=categories or {},
        )
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def read_mot_detections(path: str | Path, *, num_frames: int | None = None) -> list[FrameDetections]:
    """Read detections, one entry per frame, for ``tracking.link_detections``. Ids, which are usually -1, are ignored.

    Scores beyond 0..1, as some of the challenge's detectors give, are refused: a tracker's thresholds do not apply to
    them.

    Raises:
        FileNotFoundError: no such file.
        ValueError: an invalid file, or more frames than ``num_frames``.
    """
    table = _read_table(path)
    last = int(table[:, 0].max(initial=0))
    if num_frames is not None and last > num_frames:
        raise ValueError(f"{path}: has a frame {last} (counted from 1) in a video of {num_frames}")
    order = np.argsort(table[:, 0], kind="stable")
    table = table[order]
    bounds = np.searchsorted(table[:, 0], np.arange(FIRST, (num_frames or last) + FIRST + 1))
    try:
        return [
            FrameDetections(
                boxes=to_xyxy(table[start:stop, 2:6], origin=FIRST),
                scores=table[start:stop, 6].astype(np.float32),
                labels=table[start:stop, 7].astype(np.int64),
            )
            for start, stop in pairwise(bounds)
        ]
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _read_table(path: str | Path) -> NDArray[np.float64]:
    """Return [lines, 8]: frame, id, x, y, width, height, score, label."""
    rows: list[list[float]] = []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        values = _parse_line(line, f"{path}: line {number}")
        columns = len(values)
        if columns not in (7, 8, 9, 10):
            raise ValueError(f"{path}: line {number} has {columns} columns, not the 7 to 10 of MOTChallenge text")
        rows.append([*values[:7], values[7] if columns in (8, 9) else 1])
    table = np.array(rows, np.float64).reshape(-1, 8)
    whole = table[:, [0, 1, 7]]
    wrong = (whole != np.round(whole)).any(axis=1) | (table[:, 0] < FIRST) | ~np.isfinite(table).all(axis=1)
    wrong |= (table[:, 4:6] < 0).any(axis=1)
    if wrong.any():
        first = rows[int(np.flatnonzero(wrong)[0])]
        raise ValueError(f"{path}: frames must be whole numbers from 1, ids and labels whole, sizes ≥ 0; not {first}")
    return table


def _parse_line(line: str, where: str) -> list[float]:
    texts = line.replace(",", " ").split()
    try:
        return [float(text) for text in texts]
    except ValueError:
        hint = "; this looks like JSON" if line.lstrip().startswith(("{", "[")) else ""
        raise ValueError(f"{where} is no MOTChallenge text, numbers between commas: {line[:40]!r}{hint}") from None


def _read_by_name(path: Path, **facts: Value) -> dict[str, VideoTracks]:
    """Read a file whose video has the file's name, or NAME in the challenge's own folders, NAME/gt/gt.txt."""
    in_challenge = path.stem == "gt" and path.parent.name == "gt"
    video = read_mot(path, **{"name": path.parent.parent.name if in_challenge else path.stem, **facts})
    return {video.name: video}


MOT = TracksFormat(
    name="mot",
    title="MOTChallenge text",
    suffixes=(".txt",),
    write=write_mot,
    read=_read_by_name,
    holds=frozenset(),
)
