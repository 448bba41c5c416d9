"""MOTChallenge text: one line per object and frame (motchallenge.net/instructions). Frames and pixels count from 1.

The writer uses the layout of the challenge's ground truth, ``frame, id, x, y, width, height, score, label,
visibility``, with visibility -1 for unknown. The readers accept lines with

- 7 columns, up to the score; the label is 1
- 8 or 9 columns, with a label
- 10 columns, the layout of the challenge's results; the last three are world coordinates, which are ignored; the label
  is 1

In ground truth the score is a flag: 0 for boxes that the evaluation ignores.
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

FIRST = 1  # number of the first frame and of the first pixel


def write_mot(video: VideoTracks, path: str | Path) -> None:
    """Write boxes, scores, ids and labels. Masks, keypoints and embeddings, which the format lacks, are dropped.

    After an error no partial file remains.

    Raises:
        ValueError: the format does not hold another field (see ``TracksFormat.check``).
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
    """Read tracks.

    Args:
        path: the file.
        num_frames: number of frames in the video; by default the last frame with an object.
        name: name of the video; by default the file's name without suffix.
        fps, size, categories: fields of ``VideoTracks`` that the text does not hold.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file is invalid; the message names the file and the problem.
    """
    table, lines = _read_table(path)
    if (table[:, 1] < 0).any():
        line = lines[int(np.flatnonzero(table[:, 1] < 0)[0])]
        raise ValueError(
            f"{path}: line {line} has no id, so the file holds detections, not tracks (use read_mot_detections)"
        )
    boxes = to_xyxy(table[:, 2:6], origin=FIRST)
    rows = (
        Row(id=int(row[1]), frame=int(row[0]) - FIRST, label=int(row[7]), values={"boxes": box, "scores": row[6]})
        for row, box in zip(table, boxes, strict=True)
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
    """Read detections for ``tracking.link_detections``, one entry per frame. Ids, which are usually -1, are ignored.

    Scores outside 0..1, which some of the challenge's detectors produce, are an error because a tracker's thresholds do
    not apply to them.

    Args:
        path: the file.
        num_frames: number of frames in the video; by default the last frame with an object.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file is invalid, or has more frames than ``num_frames``.
    """
    table, _ = _read_table(path)
    last = int(table[:, 0].max(initial=0))
    if num_frames is not None and last > num_frames:
        raise ValueError(f"{path}: has frame {last} (counted from 1), but num_frames is {num_frames}")
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


def _read_table(path: str | Path) -> tuple[NDArray[np.float64], list[int]]:
    """Return rows [R, 8] (frame, id, x, y, width, height, score, label) and the line number of each row, from 1."""
    rows: list[list[float]] = []
    lines: list[int] = []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        values = _parse_line(line, f"{path}: line {number}")
        columns = len(values)
        if columns not in (7, 8, 9, 10):
            raise ValueError(f"{path}: line {number} has {columns} columns, not the 7 to 10 of MOTChallenge text")
        rows.append([*values[:7], values[7] if columns in (8, 9) else 1])
        lines.append(number)
    table = np.array(rows, np.float64).reshape(-1, 8)
    integers = table[:, [0, 1, 7]]
    wrong = (integers != np.round(integers)).any(axis=1) | (table[:, 0] < FIRST) | ~np.isfinite(table).all(axis=1)
    wrong |= (table[:, 4:6] < 0).any(axis=1)
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f"{path}: line {lines[first]}: frame must be an integer ≥ 1, id and label integers, width and height ≥ 0, "
            f"all numbers finite; not {rows[first]}"
        )
    return table, lines


def _parse_line(line: str, prefix: str) -> list[float]:
    """Return the numbers of a line; error messages start with ``prefix``."""
    texts = line.replace(",", " ").split()
    try:
        return [float(text) for text in texts]
    except ValueError:
        hint = "; this looks like JSON" if line.lstrip().startswith(("{", "[")) else ""
        raise ValueError(f"{prefix} must be numbers separated by commas, not {line[:40]!r}{hint}") from None


def _read_by_name(path: Path, **metadata: Value) -> dict[str, VideoTracks]:
    """Read a video by name: the file's name, or NAME in the challenge's folders, NAME/gt/gt.txt."""
    in_challenge = path.stem == "gt" and path.parent.name == "gt"
    video = read_mot(path, **{"name": path.parent.parent.name if in_challenge else path.stem, **metadata})
    return {video.name: video}


MOT = TracksFormat(
    name="mot",
    title="MOTChallenge text",
    suffixes=(".txt",),
    write=write_mot,
    read=_read_by_name,
    holds=frozenset(),
)
