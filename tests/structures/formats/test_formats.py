"""What all formats have in common: nothing is lost, nothing half-written, nothing mixed up in silence."""

import json
import re

import numpy as np
import pytest
from helpers.tracks import FLY, assert_same, random_video, track_of

from res3d.structures import Category, Rle, VideoTracks
from res3d.structures.formats import (
    read_cocovid,
    read_cocovid_info,
    read_mot,
    read_mot_detections,
    read_posetrack,
    read_tracks,
    write_cocovid,
    write_mot,
    write_posetrack,
)

POSES = ("keypoints", "keypoints_scores")


def posed() -> VideoTracks:
    """A video whose every track has keypoints."""
    video = random_video(masks=False)
    return video.renamed(tracks=video.tracks[:2])


# writer, reader, a video, and the fields that the format cannot hold
FORMATS = {
    "mot": ("to_mot", "from_mot", random_video, ("masks", *POSES, "fps", "size", "categories", "num_frames", "name")),
    "cocovid": ("to_cocovid", "from_cocovid", random_video, ()),
    "posetrack": ("to_posetrack", "from_posetrack", posed, ()),
}


@pytest.mark.parametrize("name", FORMATS)
def test_nothing_is_lost_of_what_a_format_holds(tmp_path, name):
    writer, reader, make, lost = FORMATS[name]
    video, path = make(), tmp_path / "flies.json"
    getattr(video, writer)(path)
    back = getattr(VideoTracks, reader)(path)
    assert_same(video, back, without=lost)
    assert back.name == "flies"
    assert [p.name for p in tmp_path.iterdir()] == ["flies.json"]


@pytest.mark.parametrize("name", FORMATS)
def test_a_video_without_objects_is_kept(tmp_path, name):
    writer, reader, _, _ = FORMATS[name]
    getattr(VideoTracks(tracks=(), num_frames=5, name="a"), writer)(tmp_path / "a.json")
    assert len(getattr(VideoTracks, reader)(tmp_path / "a.json")) == 0


@pytest.mark.parametrize("name", ["cocovid", "posetrack"])
def test_frames_that_nobody_annotated_are_kept_apart(tmp_path, name):
    writer, reader, make, _ = FORMATS[name]
    video = make()
    seen = np.unique(np.concatenate([track.frames for track in video.tracks]))
    video = video.renamed(annotated=seen)
    assert len(seen) < video.num_frames
    getattr(video, writer)(tmp_path / "a.json")
    assert_same(video, getattr(VideoTracks, reader)(tmp_path / "a.json"))


@pytest.mark.parametrize("name", FORMATS)
def test_a_failed_write_leaves_the_old_file(tmp_path, name, monkeypatch):
    writer, _, make, _ = FORMATS[name]
    path = tmp_path / "a.json"
    path.write_text("old")
    from pathlib import Path

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        getattr(make(), writer)(path)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]


def test_mot_counts_frames_and_pixels_from_one(tmp_path):
    video = VideoTracks(
        tracks=(track_of(3, [0, 7], [[0, 0, 10.5, 20], [661.09, 188.12, 784.21, 272.22]]),), num_frames=9
    )
    video.to_mot(tmp_path / "a.txt")
    assert (tmp_path / "a.txt").read_text() == "1,3,1,1,10.5,20,1,1,-1\n8,3,662.09,189.12,123.12,84.1,1,1,-1\n"


@pytest.mark.parametrize(
    ("line", "label", "score"),
    [
        ("2,5,1,1,4,4,0.5", 1, 0.5),
        ("2,5,1,1,4,4,1,3", 3, 1),
        ("2,5,1,1,4,4,0,7,0.25", 7, 0),
        ("2,5,1,1,4,4,0.9,-1,-1,-1", 1, 0.9),
        ("2 5 1 1 4 4 0.9 -1 -1 -1", 1, 0.9),
        ("2.0, 5, 1, 1, 4, 4, 0.9, 33.5, 8.2, 0", 1, 0.9),
    ],
)
def test_mot_of_every_layout_is_read(tmp_path, line, label, score):
    (tmp_path / "a.txt").write_text(f"\n{line}\n")
    (track,) = VideoTracks.from_mot(tmp_path / "a.txt", num_frames=10, size=(9, 9), fps=5.0).tracks
    assert (track.id, track.label, track.frames.tolist()) == (5, label, [1])
    assert track.boxes.tolist() == [[0, 0, 4, 4]]
    assert track.scores[0] == np.float32(score)


def test_mot_detections_are_read_frame_by_frame(tmp_path):
    (tmp_path / "det.txt").write_text(
        "3,-1,1,1,4,4,0.5,-1,-1,-1\n1,-1,2,2,4,4,0.25,-1,-1,-1\n3,-1,9,9,1,1,1,-1,-1,-1\n"
    )
    frames = read_mot_detections(tmp_path / "det.txt", num_frames=4)
    assert [len(frame) for frame in frames] == [1, 0, 2, 0]
    assert frames[2].boxes.tolist() == [[0, 0, 4, 4], [8, 8, 9, 9]]
    assert frames[0].scores.tolist() == [0.25]
    with pytest.raises(ValueError, match=r"a frame 3 \(counted from 1\) in a video of 2"):
        read_mot_detections(tmp_path / "det.txt", num_frames=2)
    (tmp_path / "det.txt").write_text("1,-1,1,1,4,4,17.5,-1,-1,-1\n")
    with pytest.raises(ValueError, match=r"det.txt: scores must be in 0..1"):
        read_mot_detections(tmp_path / "det.txt")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2,3\n", "a.txt: line 1 has 3 columns, not the 7 to 10 of MOTChallenge text"),
        ("\n1,2,x,4,5,6,7\n", "a.txt: line 2 is no MOTChallenge text, numbers between commas: '1,2,x,4,5,6,7'"),
        ('{"videos": []}', "looks like JSON"),
        ("0,1,1,1,4,4,1\n", "frames must be whole numbers from 1"),
        ("1.5,1,1,1,4,4,1\n", "frames must be whole numbers from 1"),
        ("1,1,1,1,-4,4,1\n", "sizes ≥ 0; not [1.0, 1.0, 1.0, 1.0, -4.0"),
        ("1,1,1,1,nan,4,1\n", "sizes ≥ 0"),
        ("1,-1,1,1,4,4,1\n", "line 1 has no id: these are detections, not tracks (read_mot_detections)"),
        ("1,1,1,1,4,4,1\n1,1,2,2,4,4,1\n", "a.txt: id 1 is twice in frame 0 (counted from 0)"),
        ("1,1,1,1,4,4,1,1\n2,1,2,2,4,4,1,2\n", "a.txt: id 1 has the labels 1 and 2"),
        ("7,1,1,1,4,4,1\n", "a.txt: a video of 5 frames has no frame 6"),
    ],
)
def test_what_is_no_mot_file_is_refused(tmp_path, text, message):
    (tmp_path / "a.txt").write_text(text)
    with pytest.raises(ValueError, match=re.escape(message)):
        read_mot(tmp_path / "a.txt", num_frames=5)


def test_cocovid_has_the_keys_of_its_kind(tmp_path):
    video = random_video()
    video.to_cocovid(tmp_path / "a.json")
    data = json.loads((tmp_path / "a.json").read_text())
    assert data["videos"] == [
        {"id": 1, "name": "flies", "file_name": "flies", "width": 17, "height": 12, "fps": 29.97, "length": 31}
    ]
    assert data["images"][3] == {
        "id": 4,
        "video_id": 1,
        "frame_id": 3,
        "file_name": "flies#3",
        "width": 17,
        "height": 12,
    }
    fly = {"id": 1, "name": "fly", "keypoints": list(FLY.keypoints), "skeleton": [[1, 2], [2, 3]]}
    assert data["categories"][0] == fly
    annotation = data["annotations"][0]
    assert {"id", "image_id", "video_id", "category_id", "instance_id", "bbox", "area", "iscrowd"} <= set(annotation)
    assert {"keypoints", "num_keypoints", "segmentation"} <= set(annotation)
    assert annotation["area"] == video.tracks[0].masks[0].area


def test_labels_without_a_name_stay_without_one(tmp_path):
    video = random_video().renamed(categories={2: Category(name="bee")})
    video.to_cocovid(tmp_path / "a.json")
    names = [entry["name"] for entry in json.loads((tmp_path / "a.json").read_text())["categories"]]
    assert names == ["1", "bee"]
    assert_same(video, VideoTracks.from_cocovid(tmp_path / "a.json"))


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # pycocotools under NumPy 2
def test_pycocotools_reads_what_is_written(tmp_path):
    coco = pytest.importorskip("pycocotools.coco")
    video = random_video()
    video.to_cocovid(tmp_path / "a.json")
    loaded = coco.COCO(str(tmp_path / "a.json"))
    first = loaded.loadAnns([1])[0]
    assert np.array_equal(loaded.annToMask(first), video.tracks[0].masks[0].decode())


def test_several_videos_share_a_file(tmp_path):
    videos = [random_video(0, name="a"), random_video(1, name="b", poses=False)]
    write_cocovid(videos, tmp_path / "all.json")
    read = read_cocovid(tmp_path / "all.json")
    for video in videos:
        assert_same(video, read[video.name])
        assert_same(video, VideoTracks.from_cocovid(tmp_path / "all.json", video.name))
    with pytest.raises(ValueError, match="holds the videos 'a', 'b'; name one of them"):
        VideoTracks.from_cocovid(tmp_path / "all.json")
    with pytest.raises(ValueError, match="holds the videos 'a', 'b'; 'c' is none of them"):
        VideoTracks.from_cocovid(tmp_path / "all.json", "c")


def test_videos_that_do_not_go_together_are_refused(tmp_path):
    one, other = random_video(0, name="a"), random_video(1, name="a")
    with pytest.raises(ValueError, match="two videos have the name 'a'"):
        write_cocovid([one, other], tmp_path / "a.json")
    other = other.renamed(name="b", categories={1: Category(name="bee")})
    with pytest.raises(ValueError, match="label 1 is 'bee' in video 'b', and another before"):
        write_cocovid([one, other], tmp_path / "a.json")
    with pytest.raises(ValueError, match="track 1 is in frame 1, which is not annotated"):
        write_cocovid([one.renamed(annotated=np.array([30]))], tmp_path / "a.json")
    assert not list(tmp_path.iterdir())


def cocovid(**changes) -> dict:
    annotation = {"id": 1, "image_id": 1, "video_id": 1, "category_id": 1, "instance_id": 1, "bbox": [0, 0, 4, 4]}
    data = {
        "videos": [{"id": 1, "name": "a", "length": 3}],
        "images": [{"id": 1, "video_id": 1, "frame_id": 0}, {"id": 2, "video_id": 1, "frame_id": 2}],
        "annotations": [annotation | changes.pop("annotation", {})],
        "categories": [{"id": 1, "name": "fly"}],
    }
    return data | changes


def test_cocovid_of_ground_truth_is_read(tmp_path):
    runs = {"size": [2, 3], "counts": [2, 3, 1]}
    path = tmp_path / "a.json"
    path.write_text(json.dumps(cocovid(annotation={"segmentation": runs})))
    video = VideoTracks.from_cocovid(path)
    assert video.annotated.tolist() == [0, 2]
    assert video.tracks[0].scores.tolist() == [1]
    assert video.tracks[0].masks[0] == Rle.from_runs(np.array([2, 3, 1]), (2, 3))
    path.write_text(json.dumps(cocovid(annotation={"iscrowd": 1})))
    assert VideoTracks.from_cocovid(path).tracks[0].scores.tolist() == [0]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("hello", "not a JSON file"),
        ("[1]", "holds a JSON list, not an object"),
        (cocovid(videos=3), "has no list of 'videos'"),
        (cocovid(images=[3]), "entry 0 of 'images' is no object"),
        (cocovid(images=[{"id": 1}]), "entry 0 of 'images' has no 'video_id', 'frame_id'"),
        (cocovid(images=[{"id": 1, "video_id": 9, "frame_id": 0}]), "image 1 is of video 9, which is not listed"),
        (cocovid(annotation={"image_id": 9}), "annotation 0 is of image 9, which is not listed"),
        (cocovid(annotation={"category_id": 77}), "is of category 77, which is not listed (accepted: 1)"),
        (
            cocovid(annotation={"bbox": [1, 2]}),
            "a.json: annotation 0: not one as it should be (bbox must be x, y, width, height, not [1, 2])",
        ),
        (cocovid(annotation={"bbox": None}), "annotation 0: not one as it should be"),
        (cocovid(annotation={"segmentation": [[1, 2, 3, 4]]}), "polygons are not read"),
        (cocovid(annotation={"segmentation": {"size": [2, 2], "counts": [9]}}), "fill (2, 2), not 9 pixels"),
        (cocovid(videos=[{"id": 1, "name": "a", "length": 2}]), "annotated frames must be frames of a video of 2"),
        (cocovid(categories=[{"id": "x", "name": "a"}]), "a.json: not CocoVID JSON as it should be (invalid literal"),
        (cocovid(videos=[{"id": 1, "name": "a"}, {"id": 2, "name": "a"}]), "two videos have one name"),
        ({"images": [], "annotations": []}, "no CocoVID file (it may be COCO JSON of images without videos)"),
        ({"annotations": [{"track_id": 1}]}, "no CocoVID file (it may be PoseTrack18 JSON)"),
    ],
)
def test_what_is_no_cocovid_file_is_refused(tmp_path, data, message):
    (tmp_path / "a.json").write_text(data if isinstance(data, str) else json.dumps(data))
    with pytest.raises(ValueError, match=re.escape(message)):
        read_cocovid(tmp_path / "a.json")


def posetrack(**changes) -> dict:
    annotation = {"image_id": 7, "track_id": 0, "keypoints": [3, 4, 1, 8, 9, 1, 0, 0, 0]}
    data = {
        "images": [{"id": 7, "file_name": "images/val/000342_mpii/000012.jpg", "vid_id": "000342", "is_labeled": True}],
        "annotations": [annotation | changes.pop("annotation", {})],
        "categories": [{"id": 1, "name": "person", "keypoints": ["a", "b", "c"], "skeleton": [[1, 3]]}],
    }
    return data | changes


def test_posetrack_of_ground_truth_is_read(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(posetrack()))
    video = read_posetrack(tmp_path / "a.json")
    assert (video.name, video.num_frames, video.annotated.tolist()) == ("000342", 13, [12])
    (track,) = video.tracks
    assert (track.id, track.frames.tolist()) == (0, [12])
    assert track.boxes.tolist() == [[3, 4, 8, 9]]
    assert video.categories[1].skeleton == ((0, 2),)
    (tmp_path / "a.json").write_text(json.dumps(posetrack(annotation={"keypoints": [0] * 9})))
    assert read_posetrack(tmp_path / "a.json").tracks[0].boxes.tolist() == [[0, 0, 0, 0]]


def test_posetrack_holds_poses_only(tmp_path):
    with pytest.raises(ValueError, match="PoseTrack holds poses, and track 7 has no keypoints"):
        write_posetrack(random_video(), tmp_path / "a.json")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (cocovid(), "has 'videos', so it is CocoVID JSON, not PoseTrack18's"),
        ({"images": []}, "has no list of 'annotations'"),
        (posetrack(annotation={"image_id": 9}), "an annotation is of image 9, which is not listed"),
        (posetrack(annotation={"category_id": 77}), "is of category 77, which is not listed (accepted: 1)"),
        (posetrack(annotation={"keypoints": [1, 2]}), "not PoseTrack18 JSON as it should be"),
        (posetrack(images=[{"id": 7, "file_name": "a/b.jpg"}]), "the frame's number, as in 000012.jpg, not 'a/b.jpg'"),
        (posetrack(categories=[{"id": 1}]), "not PoseTrack18 JSON as it should be (KeyError: 'name')"),
    ],
)
def test_what_is_no_posetrack_file_is_refused(tmp_path, data, message):
    (tmp_path / "a.json").write_text(json.dumps(data))
    with pytest.raises(ValueError, match=re.escape(message)):
        read_posetrack(tmp_path / "a.json")


def leaves(data, path=()):
    """The places of all values in nested lists and dictionaries."""
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from leaves(value, (*path, key))


@pytest.mark.parametrize("junk", [None, "x", -1, 1e99, [], {}, [[]], {"a": 1}])
@pytest.mark.parametrize(("make", "reader"), [(cocovid, read_cocovid), (posetrack, read_posetrack)])
def test_junk_anywhere_in_a_file_is_read_or_refused_by_its_name(tmp_path, make, reader, junk):
    path = tmp_path / "a.json"
    for place in leaves(make()):
        data = make()
        holder = data
        for key in place[:-1]:
            holder = holder[key]
        holder[place[-1]] = junk
        path.write_text(json.dumps(data))
        try:
            reader(path)
        except ValueError as error:
            assert str(error).startswith(f"{path}: ")  # noqa: PT017 (many of these are fine)


def test_any_format_is_told_from_what_is_in_the_file(tmp_path):
    write_cocovid([random_video(name="a"), random_video(name="b")], tmp_path / "both.json")
    write_posetrack(posed().renamed(name="c"), tmp_path / "pose.json")
    write_mot(random_video(), tmp_path / "d.txt")
    (tmp_path / "e" / "gt").mkdir(parents=True)
    write_mot(random_video(), tmp_path / "e" / "gt" / "gt.txt")
    (tmp_path / "notes.md").write_text("not a track")
    assert list(read_tracks(tmp_path / "both.json")) == ["a", "b"]
    assert list(read_tracks(tmp_path / "pose.json")) == ["c"]
    assert list(read_tracks(tmp_path / "d.txt")) == ["d"]
    assert sorted(read_tracks(tmp_path)) == ["a", "b", "c", "d", "e"]


def test_files_and_folders_without_tracks_are_refused(tmp_path):
    with pytest.raises(ValueError, match=re.escape("a folder without tracks (.json or .txt)")):
        read_tracks(tmp_path)
    (tmp_path / "a.csv").write_text("1,2")
    with pytest.raises(
        ValueError, match=r"a\.csv: not a table of tracks as it should be \(the table has no column frame"
    ):
        read_tracks(tmp_path / "a.csv")
    (tmp_path / "a.xyz").write_text("1,2")
    with pytest.raises(
        ValueError, match=r"tracks are read from cocovid \(\.json\), mot \(\.txt\), .*, not '\.xyz' files"
    ):
        read_tracks(tmp_path / "a.xyz")
    (tmp_path / "a.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match="holds no text"):
        read_tracks(tmp_path / "a.txt")
    write_mot(random_video(), tmp_path / "a.txt")
    (tmp_path / "sub").mkdir()
    write_mot(random_video(), tmp_path / "sub" / "a.txt")
    (tmp_path / "a.csv").unlink()
    with pytest.raises(ValueError, match="two files hold a video 'a'"):
        read_tracks(tmp_path)
    for reader in (read_tracks, read_mot, read_cocovid, read_posetrack, read_mot_detections):
        with pytest.raises(FileNotFoundError, match=r"none.txt: no such file"):
            reader(tmp_path / "none.txt")


def test_a_folder_is_no_file(tmp_path):
    with pytest.raises(ValueError, match="cannot be read"):
        read_mot(tmp_path)


def test_the_flies_are_read(real_videos):
    video = VideoTracks.from_cocovid(real_videos.parent / "flies" / "flies.json")
    assert (video.num_frames, video.fps, video.size, len(video)) == (2000, 25, (1024, 1024), 2)
    assert [track.keypoints.shape for track in video.tracks] == [(2000, 13, 3)] * 2


def test_info_is_kept_beside_the_tracks(tmp_path):
    video = random_video()
    write_cocovid([video], tmp_path / "a.json", info={"made by": "hand", "n": [1, 2.5]})
    assert read_cocovid_info(tmp_path / "a.json") == {"made by": "hand", "n": [1, 2.5]}
    assert_same(video, VideoTracks.from_cocovid(tmp_path / "a.json"))
    video.to_cocovid(tmp_path / "b.json")
    assert read_cocovid_info(tmp_path / "b.json") == {}
