"""CocoVID JSON: COCO's format plus ``videos``, which images and annotations refer to.

Images have ``video_id`` and ``frame_id`` (from 0); annotations have ``video_id`` and ``instance_id``. A file holds any
number of videos with boxes, masks (as COCO's run lengths) and keypoints, either ground truth or predictions.
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from res3d.files import write_whole
from res3d.ops import Rle, box_area
from res3d.settings.types import Json
from res3d.structures.category import Category
from res3d.structures.formats.categories import add_unnamed, category_entry, read_categories
from res3d.structures.formats.files import get_entries, invalid_content_errors, read_json
from res3d.structures.formats.json_fields import JsonField, array_field, read_fields, write_fields
from res3d.structures.formats.numbers import to_short_floats, to_xywh, to_xyxy
from res3d.structures.formats.rows import Row, tracks_from_rows
from res3d.structures.row_fields import declarations
from res3d.structures.row_kinds import ArrayField
from res3d.structures.track import Track
from res3d.structures.tracks_formats import TracksFormat
from res3d.structures.video_tracks import VideoTracks


def write_cocovid(videos: Iterable[VideoTracks], path: str | Path, *, info: Json | None = None) -> None:
    """Write videos to one file. After an error no partial file remains.

    Args:
        videos: videos with different names.
        path: the file.
        info: value of COCO's key ``info``, for other metadata.

    Raises:
        ValueError: two videos have the same name, or different categories for the same label; a track has a frame that
            is not annotated; the format does not hold a field (see ``TracksFormat.check``).
    """
    data: dict[str, list[Json]] = {key: [] for key in ("videos", "categories", "images", "annotations")}
    categories: dict[int, Category] = {}
    for number, video in enumerate(videos, start=1):
        COCOVID.check(video)
        if any(video.name == other["name"] for other in data["videos"]):
            raise ValueError(f"two videos have the name {video.name!r}")
        for label, category in add_unnamed(video.categories, (track.label for track in video.tracks)).items():
            if categories.setdefault(label, category) != category:
                raise ValueError(
                    f"label {label} is {category.name!r} in video {video.name!r}, but differs in another video"
                )
        _add_video(data, video, number)
    data["categories"] = [category_entry(label, category) for label, category in sorted(categories.items())]
    write_whole(path, json.dumps(data if info is None else {"info": info, **data}))


def read_cocovid_info(path: str | Path) -> Json:
    """Return the ``info`` of a file; empty if it has none.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file does not contain a JSON object.
    """
    info = read_json(path).get("info")
    return dict(info) if isinstance(info, Mapping) else {}


def _add_video(data: dict[str, list[Json]], video: VideoTracks, number: int) -> None:
    size = {} if video.size is None else {"width": video.size[1], "height": video.size[0]}
    fps = {} if video.fps is None else {"fps": video.fps}
    entry = {"id": number, "name": video.name, "file_name": video.name, **size, **fps, "length": video.num_frames}
    data["videos"].append(entry)
    annotated = range(video.num_frames) if video.annotated is None else sorted(video.annotated.tolist())
    image_ids: dict[int, int] = {}
    for frame in annotated:
        image_ids[frame] = len(data["images"]) + 1
        image = {"id": image_ids[frame], "video_id": number, "frame_id": frame, "file_name": f"{video.name}#{frame}"}
        data["images"].append({**image, **size})
    for track in video.tracks:
        for row, frame in enumerate(track.frames.tolist()):
            if frame not in image_ids:
                raise ValueError(f"video {video.name!r}: track {track.id} is in frame {frame}, which is not annotated")
            ids = {"id": len(data["annotations"]) + 1, "image_id": image_ids[frame], "video_id": number}
            ids |= {"category_id": track.label, "instance_id": track.id}
            data["annotations"].append({**ids, **write_fields(track, row, FIELDS)})


def _write_box(box: NDArray[np.float32]) -> Json:
    area = round(float(box_area(box.astype(np.float64))), 4)
    return {"bbox": [float(value) for value in to_xywh(box)], "area": area, "iscrowd": 0}


def _read_box(entry: Json) -> NDArray[np.float32]:
    bbox = np.array(entry["bbox"], np.float64)
    if bbox.shape != (4,):
        raise ValueError(f"bbox must be x, y, width, height, not {entry['bbox']!r}")
    return to_xyxy(bbox)


def _write_keypoints(points: NDArray[np.float32]) -> Json:
    return {"keypoints": to_short_floats(points.ravel()), "num_keypoints": int((points[:, 2] > 0).sum())}


def _read_keypoints(entry: Json) -> NDArray[np.float32] | None:
    keypoints = entry.get("keypoints")
    return None if keypoints is None else np.array(keypoints, np.float32).reshape(-1, 3)


def _read_mask(entry: Json) -> Rle | None:
    """Return the mask of run lengths, compressed or not. Polygons lack a size and exact pixels; they are an error."""
    segmentation = entry.get("segmentation")
    if not segmentation:
        return None
    if not isinstance(segmentation, dict) or {"size", "counts"} - set(segmentation):
        raise ValueError("segmentation must be run lengths with size and counts; polygons are not supported")
    height, width = (int(side) for side in segmentation["size"])
    return Rle.read((height, width), segmentation["counts"])


NOT_WRITTEN = ("embeddings", "times")
"""Optional arrays of tracks that are not written: embeddings have hundreds of numbers, and times belong to frames."""

STANDARD_FIELDS: Mapping[str, JsonField] = {  # in the order of an annotation's keys
    "boxes": JsonField(_write_box, _read_box),
    "scores": JsonField(
        lambda score: {"score": to_short_floats([score])[0]},
        lambda entry: 0.0 if entry.get("iscrowd") else float(entry.get("score", 1.0)),
    ),
    "keypoints": JsonField(_write_keypoints, _read_keypoints),
    "keypoints_scores": array_field("keypoints_scores"),
    "masks": JsonField(
        lambda mask: {"segmentation": {"size": list(mask.size), "counts": mask.counts}, "area": mask.area}, _read_mask
    ),
}
FIELDS: Mapping[str, JsonField] = {
    **STANDARD_FIELDS,
    **{
        name: array_field(name)
        for name, field in declarations(Track)
        if isinstance(field, ArrayField) and field.is_optional and name not in (*STANDARD_FIELDS, *NOT_WRITTEN)
    },
}
"""All fields that the format holds. Other optional arrays, such as actions, are stored under the field's name."""


def read_cocovid(path: str | Path) -> dict[str, VideoTracks]:
    """Read every video of a file, by name. Frames without an entry in ``images`` are not annotated.

    An annotation without a score gets 1. An annotation with ``iscrowd`` gets 0, so that the evaluation ignores it.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file is invalid; the message names the file and the problem.
    """
    data = read_json(path)
    if "videos" not in data:
        kind = "PoseTrack18 JSON" if _is_posetrack(data) else "COCO JSON of images without videos"
        raise ValueError(f"{path}: has no 'videos', so it is not a CocoVID file (it may be {kind})")
    with invalid_content_errors(path, "CocoVID JSON"):
        return _read(data, path)


def _read(data: Json, path: str | Path) -> dict[str, VideoTracks]:
    videos = get_entries(data, "videos", path, ("id",))
    images = get_entries(data, "images", path, ("id", "video_id", "frame_id"))
    annotations = get_entries(data, "annotations", path, ("image_id", "bbox", "category_id", "instance_id"))
    images_by_id = {image["id"]: image for image in images}
    annotated: dict[object, list[int]] = {video["id"]: [] for video in videos}
    rows: dict[object, list[Row]] = {video["id"]: [] for video in videos}
    for image in images:
        if image["video_id"] not in annotated:
            raise ValueError(f"image {image['id']!r} has video_id {image['video_id']!r}, which is not listed")
        annotated[image["video_id"]].append(int(image["frame_id"]))
    for number, entry in enumerate(annotations):
        if entry["image_id"] not in images_by_id:
            raise ValueError(f"annotation {number} has image_id {entry['image_id']!r}, which is not listed")
        image = images_by_id[entry["image_id"]]
        with invalid_content_errors(path, f"annotation {number}"):
            rows[image["video_id"]].append(_row(entry, int(image["frame_id"])))
    entries = get_entries(data, "categories", path, ("id", "name"))
    categories = read_categories(entries, (row.label for group in rows.values() for row in group))
    by_name: dict[str, VideoTracks] = {}
    for entry in videos:
        video = _video(entry, rows[entry["id"]], annotated[entry["id"]], categories)
        if video.name in by_name:
            raise ValueError(f"two videos have the name {video.name!r}")
        by_name[video.name] = video
    return by_name


def _is_posetrack(data: Json) -> bool:
    annotations = data.get("annotations")
    return isinstance(annotations, list) and any(isinstance(a, dict) and "track_id" in a for a in annotations[:1])


def _video(entry: Json, rows: list[Row], annotated: list[int], categories: Mapping[int, Category]) -> VideoTracks:
    frames = np.unique(np.array(annotated, np.int64))
    length = int(entry.get("length", frames[-1] + 1 if len(frames) else 0))
    has_size = entry.get("width") is not None and entry.get("height") is not None
    name = str(entry.get("name") or entry.get("file_name") or entry["id"])
    return VideoTracks(
        tracks=tracks_from_rows(rows, f"video {name!r}"),
        num_frames=length,
        name=name,
        fps=entry.get("fps"),
        size=(int(entry["height"]), int(entry["width"])) if has_size else None,
        categories=categories,
        annotated=None if np.array_equal(frames, np.arange(length)) else frames,
    )


def _row(entry: Json, frame: int) -> Row:
    return Row(
        id=int(entry["instance_id"]),
        frame=frame,
        label=int(entry["category_id"]),
        values=read_fields(entry, FIELDS),
    )


def _is_cocovid(path: Path) -> bool:
    return "videos" in read_json(path)


COCOVID = TracksFormat(
    name="cocovid",
    title="CocoVID JSON",
    suffixes=(".json",),
    write=lambda video, path: write_cocovid([video], path),
    read=read_cocovid,
    detect=_is_cocovid,
    holds=frozenset((*FIELDS, "name", "num_frames", "fps", "size", "categories", "annotated")),
)
