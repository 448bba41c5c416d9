"""PoseTrack18 JSON: the poses of one video, COCO's format plus ``track_id`` (posetrack.net; poseval's format).

A frame's number is read from its file name, ``images/NAME/000012.jpg``, because a file may omit frames.
"""

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from res3d.files import write_whole
from res3d.settings.types import Json
from res3d.structures.formats.categories import add_unnamed, category_entry, read_categories
from res3d.structures.formats.files import get_entries, invalid_content_errors, read_json
from res3d.structures.formats.json_fields import JsonField, read_fields, write_fields
from res3d.structures.formats.numbers import to_short_floats, to_xywh, to_xyxy
from res3d.structures.formats.rows import Row, tracks_from_rows
from res3d.structures.tracks_formats import TracksFormat
from res3d.structures.video_tracks import VideoTracks

FIRST_IMAGE = 10_000_000_000  # image ids with as many digits as the benchmark's


def write_posetrack(video: VideoTracks, path: str | Path) -> None:
    """Write keypoints, boxes, scores and ids of every frame. Masks and embeddings, which the format lacks, are dropped.

    After an error no partial file remains.

    Raises:
        ValueError: a track has no keypoints, or the format does not hold another field (see ``TracksFormat.check``).
    """
    POSETRACK.check(video)
    if without_keypoints := [track.id for track in video.tracks if track.keypoints is None]:
        raise ValueError(f"PoseTrack18 JSON needs keypoints for every track; track {without_keypoints[0]} has none")
    size = {} if video.size is None else {"width": video.size[1], "height": video.size[0]}
    labeled = set(range(video.num_frames) if video.annotated is None else video.annotated.tolist())
    images = [
        {
            "id": FIRST_IMAGE + frame,
            "frame_id": FIRST_IMAGE + frame,
            "vid_id": video.name,
            "file_name": f"images/{video.name}/{frame:06d}.jpg",
            "nframes": video.num_frames,
            "is_labeled": frame in labeled,
            **size,
        }
        for frame in range(video.num_frames)
    ]
    rows = sorted(
        (int(frame), n, row) for n, track in enumerate(video.tracks) for row, frame in enumerate(track.frames)
    )
    annotations = [
        {
            "id": number,
            "image_id": FIRST_IMAGE + frame,
            "track_id": video.tracks[n].id,
            "category_id": video.tracks[n].label,
            **write_fields(video.tracks[n], row, FIELDS),
        }
        for number, (frame, n, row) in enumerate(rows)
    ]
    by_label = add_unnamed(video.categories, (track.label for track in video.tracks)) if video.categories else {}
    categories = [category_entry(label, category) for label, category in sorted(by_label.items())]
    fps = {} if video.fps is None else {"info": {"fps": video.fps}}
    write_whole(path, json.dumps({**fps, "images": images, "annotations": annotations, "categories": categories}))


def _read_box(entry: Json) -> NDArray[np.float32]:
    if entry.get("bbox"):
        return to_xyxy(np.array(entry["bbox"], np.float64).reshape(4))
    return keypoint_extent(_read_keypoints(entry))


def _read_keypoints(entry: Json) -> NDArray[np.float32]:
    return np.array(entry["keypoints"], np.float32).reshape(-1, 3)


FIELDS: Mapping[str, JsonField] = {  # in the order of an annotation's keys
    "boxes": JsonField(lambda box: {"bbox": [float(value) for value in to_xywh(box)]}, _read_box),
    "scores": JsonField(
        lambda score: {"score": to_short_floats([score])[0]},
        lambda entry: float(entry.get("score", 1.0)),
    ),
    "keypoints": JsonField(lambda points: {"keypoints": to_short_floats(points.ravel())}, _read_keypoints),
    "keypoints_scores": JsonField(
        lambda scores: {"scores": to_short_floats(scores)},
        lambda entry: np.array(entry["scores"], np.float32) if entry.get("scores") else None,
    ),
}


def read_posetrack(path: str | Path) -> VideoTracks:
    """Read the video of a file.

    A pose without a box gets the bounding box of its keypoints with v > 0. A pose without a score gets 1.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file is invalid; the message names the file and the problem.
    """
    data = read_json(path)
    if "videos" in data:
        raise ValueError(f"{path}: has 'videos', so it is CocoVID JSON, not PoseTrack18 JSON")
    with invalid_content_errors(path, "PoseTrack18 JSON"):
        return _read(data, path)


def _read(data: Json, path: str | Path) -> VideoTracks:
    images = get_entries(data, "images", path, ("id", "file_name"))
    annotations = get_entries(data, "annotations", path, ("image_id", "track_id", "keypoints"))
    frame_numbers = {image["id"]: _frame_number(str(image["file_name"])) for image in images}
    frames = list(frame_numbers.values())
    length = max([int(image.get("nframes", 0)) for image in images] + [frame + 1 for frame in frames], default=0)
    rows = [_row(entry, frame_numbers) for entry in annotations]
    labeled = [frame_numbers[image["id"]] for image in images if image.get("is_labeled", True)]
    annotated = np.unique(labeled).astype(np.int64)
    first = images[0] if images else {}
    has_size = "width" in first and "height" in first
    return VideoTracks(
        tracks=tracks_from_rows(rows, path),
        num_frames=length,
        name=str(first.get("vid_id") or Path(path).stem),
        fps=(data.get("info") or {}).get("fps"),
        size=(int(first["height"]), int(first["width"])) if has_size else None,
        categories=read_categories(data.get("categories") or [], (row.label for row in rows)),
        annotated=None if np.array_equal(annotated, np.arange(length)) else annotated,
    )


def _frame_number(file_name: str) -> int:
    stem = Path(file_name).stem
    if not stem.isdecimal():
        raise ValueError(f"file_name must end in the frame's number, as in 000012.jpg, not {file_name!r}")
    return int(stem)


def _row(entry: Json, frame_numbers: Mapping[object, int]) -> Row:
    if entry["image_id"] not in frame_numbers:
        raise ValueError(f"an annotation has image_id {entry['image_id']!r}, which is not listed")
    return Row(
        id=int(entry["track_id"]),
        frame=frame_numbers[entry["image_id"]],
        label=int(entry.get("category_id", 1)),
        values=read_fields(entry, FIELDS),
    )


def keypoint_extent(keypoints: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the bounding box [4] xyxy of keypoints [K, 3] x, y, v with v > 0; zeros without such keypoints."""
    points = keypoints[keypoints[:, 2] > 0, :2]
    if not len(points):
        return np.zeros(4, np.float32)
    return np.concatenate([points.min(axis=0), points.max(axis=0)]).astype(np.float32)


def _read_by_name(path: Path) -> dict[str, VideoTracks]:
    video = read_posetrack(path)
    return {video.name: video}


POSETRACK = TracksFormat(
    name="posetrack",
    title="PoseTrack18 JSON",
    suffixes=(".posetrack.json", ".json"),
    write=write_posetrack,
    read=_read_by_name,
    requires=frozenset(("keypoints",)),
    holds=frozenset((*FIELDS, "name", "num_frames", "fps", "size", "categories", "annotated")),
)
