import re

import numpy as np
import pytest
from helpers.tracks import assert_same, random_video

from res3d.structures import VideoTracks
from res3d.structures.formats import write_table

pd = pytest.importorskip("pandas")
METADATA = ("num_frames", "name", "fps", "size", "categories")


def metadata_of(video: VideoTracks) -> dict:
    return {name: getattr(video, name) for name in METADATA}


@pytest.mark.parametrize("poses", [True, False])
def test_table_and_csv_keep_all_fields(tmp_path, poses):
    video = random_video(poses=poses)
    table = video.to_table()
    assert_same(video, VideoTracks.from_table(table, **metadata_of(video)))
    table.to_csv(tmp_path / "a.csv", index=False)
    from_csv = VideoTracks.from_table(pd.read_csv(tmp_path / "a.csv"), **metadata_of(video))
    assert_same(video, from_csv)


def test_table_has_one_row_per_object_and_frame():
    video = random_video()
    table = video.to_table()
    assert len(table) == sum(len(track) for track in video.tracks)
    assert table["frame"].is_monotonic_increasing
    assert {"head_x", "head_y", "head_v", "head_score", "mask", "score", "x1"} <= set(table.columns)
    row = table[(table["id"] == 3) & (table["frame"] == video.tracks[1].frames[0])].iloc[0]
    assert row["thorax_y"] == video.tracks[1].keypoints[0, 1, 1]


def test_keypoints_without_names_are_numbered():
    video = random_video().renamed(categories={})
    assert "keypoint2_v" in video.to_table().columns
    assert_same(video, VideoTracks.from_table(video.to_table(), **metadata_of(video)))


def test_table_of_a_video_without_tracks():
    table = VideoTracks(tracks=(), num_frames=4).to_table()
    assert list(table.columns[:3]) == ["frame", "id", "label"]
    assert VideoTracks.from_table(table, num_frames=4).num_frames == 4
    assert VideoTracks.from_table(table).num_frames == 0


def test_invalid_tables_are_refused():
    table = random_video(masks=False).to_table()
    with pytest.raises(ValueError, match="the table has no column x1, y2; it has frame"):
        VideoTracks.from_table(table.drop(columns=["x1", "y2"]))
    with pytest.raises(ValueError, match=r"the table: id \d appears twice in frame"):
        VideoTracks.from_table(pd.concat([table, table]))
    with pytest.raises(ValueError, match=re.escape("mask must be 'HEIGHT WIDTH COUNTS', not '3 x'")):
        VideoTracks.from_table(table.assign(mask="3 x"))


def test_missing_pandas_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pandas", None)
    with pytest.raises(ImportError, match=re.escape('tables need pandas: pip install "res3d[tables]"')):
        random_video().to_table()


def test_missing_pose_of_a_row_becomes_zeros():
    video = random_video()
    table = video.to_table()
    first = (table["id"] == 1) & (table["frame"] == video.tracks[0].frames[0])
    table.loc[first, [c for c in table.columns if c.startswith(("head", "thorax", "abdomen"))]] = np.nan
    assert not VideoTracks.from_table(table, num_frames=31).tracks[0].keypoints[0].any()


def test_write_table_writes_the_csv_of_to_table(tmp_path):
    video = random_video()
    write_table(video, tmp_path / "b.csv")
    assert_same(video, VideoTracks.from_table(pd.read_csv(tmp_path / "b.csv"), **metadata_of(video)))
