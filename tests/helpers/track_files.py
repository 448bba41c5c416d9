"""Content of small track files, and the paths of all values in it."""


def cocovid_json(**changes) -> dict:
    """Return the content of a CocoVID file with one annotation; ``annotation`` changes its keys."""
    annotation = {"id": 1, "image_id": 1, "video_id": 1, "category_id": 1, "instance_id": 1, "bbox": [0, 0, 4, 4]}
    data = {
        "videos": [{"id": 1, "name": "a", "length": 3}],
        "images": [{"id": 1, "video_id": 1, "frame_id": 0}, {"id": 2, "video_id": 1, "frame_id": 2}],
        "annotations": [annotation | changes.pop("annotation", {})],
        "categories": [{"id": 1, "name": "fly"}],
    }
    return data | changes


def posetrack_json(**changes) -> dict:
    """Return the content of a PoseTrack18 file with one annotation; ``annotation`` changes its keys."""
    annotation = {"image_id": 7, "track_id": 0, "keypoints": [3, 4, 1, 8, 9, 1, 0, 0, 0]}
    data = {
        "images": [{"id": 7, "file_name": "images/val/000342_mpii/000012.jpg", "vid_id": "000342", "is_labeled": True}],
        "annotations": [annotation | changes.pop("annotation", {})],
        "categories": [{"id": 1, "name": "person", "keypoints": ["a", "b", "c"], "skeleton": [[1, 3]]}],
    }
    return data | changes


def key_paths(data, path=()):
    """Yield the path (keys and indices) of every value in nested lists and dictionaries."""
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from key_paths(value, (*path, key))
