import json
import re

import numpy as np
import pytest
from helpers.track_files import cocovid_json
from helpers.tracks import FLY, assert_same, random_video

from res3d.structures import Category, Rle, VideoTracks
from res3d.structures.formats import read_cocovid, read_cocovid_info, write_cocovid


def test_cocovid_has_its_standard_keys(tmp_path):
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


def test_labels_without_category_are_read_without_category(tmp_path):
    video = random_video().renamed(categories={2: Category(name="bee")})
    video.to_cocovid(tmp_path / "a.json")
    names = [entry["name"] for entry in json.loads((tmp_path / "a.json").read_text())["categories"]]
    assert names == ["1", "bee"]
    assert_same(video, VideoTracks.from_cocovid(tmp_path / "a.json"))


@pytest.mark.filterwarnings("ignore:__array__:DeprecationWarning")  # pycocotools under NumPy 2
def test_pycocotools_reads_written_masks(tmp_path):
    coco = pytest.importorskip("pycocotools.coco")
    video = random_video()
    video.to_cocovid(tmp_path / "a.json")
    loaded = coco.COCO(str(tmp_path / "a.json"))
    first = loaded.loadAnns([1])[0]
    assert np.array_equal(loaded.annToMask(first), video.tracks[0].masks[0].decode())


def test_cocovid_holds_several_videos(tmp_path):
    videos = [random_video(0, name="a"), random_video(1, name="b", poses=False)]
    write_cocovid(videos, tmp_path / "all.json")
    read = read_cocovid(tmp_path / "all.json")
    for video in videos:
        assert_same(video, read[video.name])
        assert_same(video, VideoTracks.from_cocovid(tmp_path / "all.json", video.name))
    with pytest.raises(ValueError, match="holds the videos 'a', 'b'; choose one by its name"):
        VideoTracks.from_cocovid(tmp_path / "all.json")
    with pytest.raises(ValueError, match="holds the videos 'a', 'b'; there is no 'c'"):
        VideoTracks.from_cocovid(tmp_path / "all.json", "c")


def test_cocovid_refuses_conflicting_videos(tmp_path):
    one, other = random_video(0, name="a"), random_video(1, name="a")
    with pytest.raises(ValueError, match="two videos have the name 'a'"):
        write_cocovid([one, other], tmp_path / "a.json")
    other = other.renamed(name="b", categories={1: Category(name="bee")})
    with pytest.raises(ValueError, match="label 1 is 'bee' in video 'b', but differs in another video"):
        write_cocovid([one, other], tmp_path / "a.json")
    with pytest.raises(ValueError, match="track 1 is in frame 1, which is not annotated"):
        write_cocovid([one.renamed(annotated=np.array([30]))], tmp_path / "a.json")
    assert not list(tmp_path.iterdir())


def test_cocovid_ground_truth_is_read(tmp_path):
    runs = {"size": [2, 3], "counts": [2, 3, 1]}
    path = tmp_path / "a.json"
    path.write_text(json.dumps(cocovid_json(annotation={"segmentation": runs})))
    video = VideoTracks.from_cocovid(path)
    assert video.annotated.tolist() == [0, 2]
    assert video.tracks[0].scores.tolist() == [1]
    assert video.tracks[0].masks[0] == Rle.from_runs(np.array([2, 3, 1]), (2, 3))
    path.write_text(json.dumps(cocovid_json(annotation={"iscrowd": 1})))
    assert VideoTracks.from_cocovid(path).tracks[0].scores.tolist() == [0]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ("hello", "not a JSON file"),
        ("[1]", "must be a JSON object with images and annotations, not a list"),
        (cocovid_json(videos=3), "the list 'videos' is missing"),
        (cocovid_json(images=[3]), "entry 0 of 'images' is not a JSON object"),
        (cocovid_json(images=[{"id": 1}]), "entry 0 of 'images' has no 'video_id', 'frame_id'"),
        (cocovid_json(images=[{"id": 1, "video_id": 9, "frame_id": 0}]), "image 1 has video_id 9, which is not listed"),
        (cocovid_json(annotation={"image_id": 9}), "annotation 0 has image_id 9, which is not listed"),
        (
            cocovid_json(annotation={"category_id": 77}),
            "an annotation has category_id 77, which is not listed (accepted: 1)",
        ),
        (
            cocovid_json(annotation={"bbox": [1, 2]}),
            "a.json: invalid annotation 0 (bbox must be x, y, width, height, not [1, 2])",
        ),
        (cocovid_json(annotation={"bbox": None}), "a.json: invalid annotation 0"),
        (cocovid_json(annotation={"segmentation": [[1, 2, 3, 4]]}), "polygons are not supported"),
        (
            cocovid_json(annotation={"segmentation": {"size": [2, 2], "counts": [9]}}),
            "fill (2, 2) (height, width), not 9 pixels",
        ),
        (
            cocovid_json(videos=[{"id": 1, "name": "a", "length": 2}]),
            "annotated must contain only frame numbers from 0 and below 2",
        ),
        (cocovid_json(categories=[{"id": "x", "name": "a"}]), "a.json: invalid CocoVID JSON (invalid literal"),
        (cocovid_json(videos=[{"id": 1, "name": "a"}, {"id": 2, "name": "a"}]), "two videos have the name 'a'"),
        ({"images": [], "annotations": []}, "not a CocoVID file (it may be COCO JSON of images without videos)"),
        ({"annotations": [{"track_id": 1}]}, "not a CocoVID file (it may be PoseTrack18 JSON)"),
    ],
)
def test_invalid_cocovid_files_are_refused(tmp_path, data, message):
    (tmp_path / "a.json").write_text(data if isinstance(data, str) else json.dumps(data))
    with pytest.raises(ValueError, match=re.escape(message)):
        read_cocovid(tmp_path / "a.json")


def test_cocovid_info_is_written_and_read(tmp_path):
    video = random_video()
    write_cocovid([video], tmp_path / "a.json", info={"made by": "hand", "n": [1, 2.5]})
    assert read_cocovid_info(tmp_path / "a.json") == {"made by": "hand", "n": [1, 2.5]}
    assert_same(video, VideoTracks.from_cocovid(tmp_path / "a.json"))
    video.to_cocovid(tmp_path / "b.json")
    assert read_cocovid_info(tmp_path / "b.json") == {}


def test_real_annotations_of_flies_are_read(real_videos):
    video = VideoTracks.from_cocovid(real_videos.parent / "flies" / "flies.json")
    assert (video.num_frames, video.fps, video.size, len(video)) == (2000, 25, (1024, 1024), 2)
    assert [track.keypoints.shape for track in video.tracks] == [(2000, 13, 3)] * 2
