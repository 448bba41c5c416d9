"""CocoVID JSON: COCO's keys, with ``videos``, and ``video_id``, ``frame_id`` (from 0) and ``instance_id`` to link them.

Holds any number of videos with boxes, masks (as COCO's run lengths) and keypoints, of ground truth or of results.
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
from res3d.structures.formats.files import read_json, reading, table_of
from res3d.structures.formats.json_fields import JsonField, array_field, read_fields, write_fields
from res3d.structures.formats.numbers import shortest, to_xywh, to_xyxy
from res3d.structures.formats.rows import Row, tracks_from_rows
from res3d.structures.row_fields import declarations
from res3d.structures.row_kinds import ArrayField
from res3d.structures.track import Track
from res3d.structures.tracks_formats import TracksFormat
from res3d.structures.video_tracks import VideoTracks


def write_cocovid(videos: Iterable[VideoTracks], path: str | Path, *, info: Json | None = None) -> None:
    """Write videos to one file; ``info`` is COCO's key of that name, for other metadata.

    Raises:
        ValueError: two videos of one name, or with different categories under one label; fields that the format does
            not hold.
    """
    data: dict[str, list[Json]] = {key: [] for key in ("videos", "categories", "images", "annotations")}
    categories: dict[int, Category] = {}
    for number, video in enumerate(videos, start=1):
        COCOVID.check(video)
        if any(video.name == other["name"] for other in data["videos"]):
            raise ValueError(f"two videos have the name {video.name!r}")
        for label, category in add_unnamed(video.categories, (track.label for track in video.tracks)).items():
            if categories.setdefault(label, category) != category:
                raise ValueError(f"label {label} is {category.name!r} in video {video.name!r}, and another before")
        _add_video(data, video, number)
    data["categories"] = [category_entry(label, category) for label, category in sorted(categories.items())]
    write_whole(path, json.dumps(data if info is None else {"info": info, **data}))


def read_cocovid_info(path: str | Path) -> Json:
    """Return the ``info`` of a file, empty where it has none; errors as for ``read_cocovid``."""
    info = read_json(path).get("info")
    return dict(info) if isinstance(info, Mapping) else {}


def _add_video(data: dict[str, list[Json]], video: VideoTracks, number: int) -> None:
    size = {} if video.size is None else {"width": video.size[1], "height": video.size[0]}
    fps = {} if video.fps is None else {"fps": video.fps}
    facts = {"id": number, "name": video.name, "file_name": video.name, **size, **fps, "length": video.num_frames}
    data["videos"].append(facts)
    shown = range(video.num_frames) if video.annotated is None else sorted(video.annotated.tolist())
    image_of: dict[int, int] = {}
    for frame in shown:
        image_of[frame] = len(data["images"]) + 1
        image = {"id": image_of[frame], "video_id": number, "frame_id": frame, "file_name": f"{video.name}#{frame}"}
        data["images"].append({**image, **size})
    for track in video.tracks:
        for row, frame in enumerate(track.frames.tolist()):
            if frame not in image_of:
                raise ValueError(f"video {video.name!r}: track {track.id} is in frame {frame}, which is not annotated")
            identity = {"id": len(data["annotations"]) + 1, "image_id": image_of[frame], "video_id": number}
            what = {"category_id": track.label, "instance_id": track.id}
            data["annotations"].append({**identity, **what, **write_fields(track, row, FIELDS)})


def _write_box(box: NDArray[np.float32]) -> Json:
    area = round(float(box_area(box.astype(np.float64))), 4)
    return {"bbox": [float(value) for value in to_xywh(box)], "area": area, "iscrowd": 0}


def _read_box(entry: Json) -> NDArray[np.float32]:
    bbox = np.array(entry["bbox"], np.float64)
    if bbox.shape != (4,):
        raise ValueError(f"bbox must be x, y, width, height, not {entry['bbox']!r}")
    return to_xyxy(bbox)


def _write_keypoints(points: NDArray[np.float32]) -> Json:
    return {"keypoints": shortest(points.ravel()), "num_keypoints": int((points[:, 2] > 0).sum())}


def _read_keypoints(entry: Json) -> NDArray[np.float32] | None:
    keypoints = entry.get("keypoints")
    return None if keypoints is None else np.array(keypoints, np.float32).reshape(-1, 3)


def _read_mask(entry: Json) -> Rle | None:
    """Read run lengths, compressed or not. Polygons, which have no size and no exact pixels, are refused."""
    segmentation = entry.get("segmentation")
    if not segmentation:
        return None
    if not isinstance(segmentation, dict) or {"size", "counts"} - set(segmentation):
        raise ValueError("a segmentation must be run lengths with size and counts; polygons are not read")
    height, width = (int(side) for side in segmentation["size"])
    return Rle.read((height, width), segmentation["counts"])


NOT_HELD = ("embeddings", "times")
"""Optional arrays of tracks that are not written: vectors of hundreds of numbers, and what belongs to frames."""

OWN_KEYS: Mapping[str, JsonField] = {  # in the order of an annotation's keys
    "boxes": JsonField(_write_box, _read_box),
    "scores": JsonField(
        lambda score: {"score": shortest([score])[0]},
        lambda entry: 0.0 if entry.get("iscrowd") else float(entry.get("score", 1.0)),
    ),
    "keypoints": JsonField(_write_keypoints, _read_keypoints),
    "keypoints_scores": array_field("keypoints_scores"),
    "masks": JsonField(
        lambda mask: {"segmentation": {"size": list(mask.size), "counts": mask.counts}, "area": mask.area}, _read_mask
    ),
}
FIELDS: Mapping[str, JsonField] = {
    **OWN_KEYS,
    **{
        name: array_field(name)
        for name, declared in declarations(Track)
        if isinstance(declared, ArrayField) and declared.is_optional and name not in (*OWN_KEYS, *NOT_HELD)
    },
}
"""All fields that the format holds: other optional arrays of tracks, such as actions, have keys of their own names."""


def read_cocovid(path: str | Path) -> dict[str, VideoTracks]:
    """Read every video of a file, by name. Frames without an entry in ``images`` count as not annotated.

    An annotation without a score gets 1; with ``iscrowd`` it gets 0, which excludes it from scores.

    Raises:
        FileNotFoundError: no such file.
        ValueError: an invalid file; names what is wrong.
    """
    data = read_json(path)
    if "videos" not in data:
        what = "PoseTrack18 JSON" if _is_posetrack(data) else "COCO JSON of images without videos"
        raise ValueError(f"{path}: has no 'videos', so it is no CocoVID file (it may be {what})")
    with reading(path, "CocoVID JSON"):
        return _read(data, path)


def _read(data: Json, path: str | Path) -> dict[str, VideoTracks]:
    videos = table_of(data, "videos", path, ("id",))
    images = table_of(data, "images", path, ("id", "video_id", "frame_id"))
    annotations = table_of(data, "annotations", path, ("image_id", "bbox", "category_id", "instance_id"))
    image_of = {image["id"]: image for image in images}
    shown: dict[object, list[int]] = {video["id"]: [] for video in videos}
    rows: dict[object, list[Row]] = {video["id"]: [] for video in videos}
    for image in images:
        if image["video_id"] not in shown:
            raise ValueError(f"image {image['id']!r} is of video {image['video_id']!r}, which is not listed")
        shown[image["video_id"]].append(int(image["frame_id"]))
    for number, entry in enumerate(annotations):
        if entry["image_id"] not in image_of:
            raise ValueError(f"annotation {number} is of image {entry['image_id']!r}, which is not listed")
        image = image_of[entry["image_id"]]
        with reading(f"{path}: annotation {number}", "one"):
            rows[image["video_id"]].append(_row(entry, int(image["frame_id"])))
    entries = table_of(data, "categories", path, ("id", "name"))
    categories = read_categories(entries, (row.label for own in rows.values() for row in own))
    made = [_video(facts, rows[facts["id"]], shown[facts["id"]], categories) for facts in videos]
    by_name = {video.name: video for video in made}
    if len(by_name) < len(made):
        raise ValueError("two videos have one name")
    return by_name


def _is_posetrack(data: Json) -> bool:
    annotations = data.get("annotations")
    return isinstance(annotations, list) and any(isinstance(a, dict) and "track_id" in a for a in annotations[:1])


def _video(facts: Json, rows: list[Row], shown: list[int], categories: Mapping[int, Category]) -> VideoTracks:
    frames = np.unique(np.array(shown, np.int64))
    length = int(facts.get("length", frames[-1] + 1 if len(frames) else 0))
    sized = facts.get("width") is not None and facts.get("height") is not None
    name = str(facts.get("name") or facts.get("file_name") or facts["id"])
    return VideoTracks(
        tracks=tracks_from_rows(rows, f"video {name!r}"),
        num_frames=length,
        name=name,
        fps=facts.get("fps"),
        size=(int(facts["height"]), int(facts["width"])) if sized else None,
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
