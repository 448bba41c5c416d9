"""Tracks as a pandas table with one row per object and frame, for statistics and for the files that pandas writes.

Columns: frame (from 0), id, label, score, x1, y1, x2, y2. Optional columns: NAME_x, NAME_y and NAME_v for each
keypoint, and NAME_score for its score; action0, action1, ... for actions; mask for the mask as "HEIGHT WIDTH COUNTS",
with COCO's run lengths. Fields that a row lacks are NaN or None.
"""

import re
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from res3d.files import write_whole
from res3d.ops import Rle
from res3d.settings import missing_extra
from res3d.settings.types import Value
from res3d.structures.formats.files import invalid_content_errors, read_text
from res3d.structures.formats.rows import Row, tracks_from_rows
from res3d.structures.tracks_formats import TracksFormat
from res3d.structures.video_tracks import VideoTracks

if TYPE_CHECKING:
    import pandas as pd

FIXED = ("frame", "id", "label", "score", "x1", "y1", "x2", "y2")
_ACTION = re.compile(r"action(\d+)")


def to_table(video: VideoTracks) -> "pd.DataFrame":
    """Return all tracks as a table, sorted by frame and id.

    Keypoint columns are named after the keypoints of the category, or else keypoint0, keypoint1, ...

    Raises:
        ValueError: a table does not hold some field (see ``TracksFormat.check``).
        ImportError: pandas is not installed.
    """
    pd = _import_pandas()
    TABLE.check(video)
    parts = []
    for track in video.tracks:
        columns: dict[str, object] = {
            "frame": track.frames,
            "id": track.id,
            "label": track.label,
            "score": track.scores,
        }
        columns |= dict(zip(("x1", "y1", "x2", "y2"), track.boxes.T, strict=True))
        count = 0 if track.keypoints is None else track.keypoints.shape[1]
        category = video.categories.get(track.label)
        names = category.keypoints if category and len(category.keypoints) == count else None
        for k in range(count):
            name = names[k] if names else f"keypoint{k}"
            assert track.keypoints is not None  # because count > 0
            columns |= {f"{name}_{axis}": track.keypoints[:, k, i] for i, axis in enumerate("xyv")}
            if track.keypoints_scores is not None:
                columns[f"{name}_score"] = track.keypoints_scores[:, k]
        if track.actions is not None:
            columns |= {f"action{a}": values for a, values in enumerate(track.actions.T)}
        if track.masks is not None:
            columns["mask"] = [None if m is None else f"{m.size[0]} {m.size[1]} {m.counts}" for m in track.masks]
        parts.append(pd.DataFrame(columns))
    if not parts:
        return pd.DataFrame({name: np.zeros(0, np.int64 if name in FIXED[:3] else np.float32) for name in FIXED})
    return pd.concat(parts, ignore_index=True).sort_values(["frame", "id"], ignore_index=True)


def write_table(video: VideoTracks, path: str | Path) -> None:
    """Write the table as CSV text. After an error no partial file remains.

    Raises:
        ValueError: a table does not hold some field (see ``TracksFormat.check``).
        ImportError: pandas is not installed.
    """
    write_whole(path, to_table(video).to_csv(index=False))


def from_table(table: "pd.DataFrame", **metadata: Value) -> VideoTracks:
    """Convert a table as ``to_table`` returns it.

    Args:
        table: the table; its rows may be in any order.
        metadata: fields of ``VideoTracks`` that a table does not hold (name, fps, ...). The default of ``num_frames``
            is the number of the last frame with an object plus 1.

    Raises:
        ValueError: a column is missing, or the rows are not valid tracks.
    """
    if missing := [name for name in FIXED if name not in table.columns]:
        raise ValueError(f"the table has no column {', '.join(missing)}; it has {', '.join(map(str, table.columns))}")
    names = [name[:-2] for name in map(str, table.columns) if name.endswith("_v")]
    points = _columns(table, [f"{name}_{axis}" for name in names for axis in "xyv"])
    scores = _columns(table, [f"{name}_score" for name in names if f"{name}_score" in table.columns])
    boxes = table[["x1", "y1", "x2", "y2"]].to_numpy(np.float32)
    actions = _columns(
        table,
        sorted((name for name in map(str, table.columns) if _ACTION.fullmatch(name)), key=lambda name: int(name[6:])),
    )
    masks = table["mask"].tolist() if "mask" in table.columns else [None] * len(table)
    fixed = zip(*(table[name].tolist() for name in ("id", "frame", "label", "score")), strict=True)
    rows = (
        Row(
            id=int(identity),
            frame=int(frame),
            label=int(label),
            values={
                "boxes": boxes[n],
                "scores": score,
                "keypoints": None if points is None else _drop_absent(points[n].reshape(-1, 3)),
                "keypoints_scores": None if scores is None else _drop_absent(scores[n]),
                "actions": _parse_actions(None if actions is None else actions[n]),
                "masks": _parse_mask(masks[n]),
            },
        )
        for n, (identity, frame, label, score) in enumerate(fixed)
    )
    tracks = tracks_from_rows(rows, "the table")
    metadata.setdefault("num_frames", int(table["frame"].max()) + 1 if len(table) else 0)
    return VideoTracks(tracks=tracks, **metadata)


def read_table(path: Path, **metadata: Value) -> dict[str, VideoTracks]:
    """Read the CSV text of a table; return its video by name, by default the file's name.

    Args:
        path: the file.
        metadata: as for ``from_table``.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file is invalid; the message names the file and the problem.
        ImportError: pandas is not installed.
    """
    pd = _import_pandas()
    text = read_text(path)
    with invalid_content_errors(path, "table of tracks"):
        video = from_table(pd.read_csv(StringIO(text)), **{"name": path.stem, **metadata})
    return {video.name: video}


def _columns(table: "pd.DataFrame", names: list[str]) -> NDArray[np.float32] | None:
    return table[names].to_numpy(np.float32) if names else None


def _drop_absent(values: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """Return the keypoints that a row has. Columns of other categories' keypoints are NaN in the row."""
    present = ~np.isnan(values.reshape(len(values), -1)).any(axis=1)
    return values[present] if present.any() else None


def _parse_mask(text: object) -> Rle | None:
    if not isinstance(text, str):  # None, which pandas may convert to NaN
        return None
    parts = text.split(" ")
    if len(parts) != 3 or not (parts[0].isdecimal() and parts[1].isdecimal()):
        raise ValueError(f"mask must be 'HEIGHT WIDTH COUNTS', not {text[:40]!r}")
    return Rle.read((int(parts[0]), int(parts[1])), parts[2])


def _parse_actions(values: NDArray[np.float32] | None) -> NDArray[np.float32] | None:
    return None if values is None or np.isnan(values).any() else values


def _import_pandas() -> ModuleType:
    try:
        import pandas
    except ImportError:
        raise missing_extra("tables", "tables need pandas") from None
    module: ModuleType = pandas
    return module


TABLE = TracksFormat(
    name="table",
    title="A table",
    suffixes=(".csv",),
    write=write_table,
    read=read_table,
    needs="tables",
    library="pandas",
    holds=frozenset(("keypoints", "keypoints_scores", "masks", "actions")),
)
