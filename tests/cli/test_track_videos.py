import json

from helpers.tracks import random_video

from res3d.cli.track_videos import is_annotated_video, read_metadata, suffix_of
from res3d.structures.formats import FORMATS, write_cocovid


def write(path, **info):
    write_cocovid([random_video(masks=False, poses=False)], path, info=info)


def test_suffix_of_each_format():
    suffixes = {name: suffix_of(name) for name in FORMATS}
    assert suffixes == {"cocovid": ".json", "mot": ".txt", "posetrack": ".posetrack.json", "table": ".csv"}


def test_metadata_is_read_from_files_of_the_command_only(tmp_path):
    write(tmp_path / "a.json", description="tracks by res3d 0.1", files=["a.json"])
    assert read_metadata(tmp_path / "a.json")["files"] == ["a.json"]
    write(tmp_path / "b.json", description="tracks by another program")
    assert read_metadata(tmp_path / "b.json") is None
    (tmp_path / "c.json").write_text("{")
    assert read_metadata(tmp_path / "c.json") is None
    (tmp_path / "d.json").write_text(json.dumps({"videos": []}))
    assert read_metadata(tmp_path / "d.json") is None


def test_annotated_videos_are_recognized_by_the_file_beside_them(tmp_path):
    write(tmp_path / "a.json", description="tracks by res3d 0.1", files=["a.json", "a_tracked.mp4"])
    write(tmp_path / "b.json", description="tracks by another program", files=["b.json", "b_tracked.mp4"])
    for name in ("a", "a_tracked", "b_tracked", "c_tracked"):
        (tmp_path / f"{name}.mp4").touch()
    annotated = [path.name for path in sorted(tmp_path.glob("*.mp4")) if is_annotated_video(path)]
    assert annotated == ["a_tracked.mp4"]
