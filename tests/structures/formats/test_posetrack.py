import json
import re

import pytest
from helpers.track_files import cocovid_json, posetrack_json
from helpers.tracks import random_video

from res3d.structures.formats import read_posetrack, write_posetrack


def test_posetrack_ground_truth_is_read(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(posetrack_json()))
    video = read_posetrack(tmp_path / "a.json")
    assert (video.name, video.num_frames, video.annotated.tolist()) == ("000342", 13, [12])
    (track,) = video.tracks
    assert (track.id, track.frames.tolist()) == (0, [12])
    assert track.boxes.tolist() == [[3, 4, 8, 9]]
    assert video.categories[1].skeleton == ((0, 2),)
    (tmp_path / "a.json").write_text(json.dumps(posetrack_json(annotation={"keypoints": [0] * 9})))
    assert read_posetrack(tmp_path / "a.json").tracks[0].boxes.tolist() == [[0, 0, 0, 0]]


def test_posetrack_refuses_tracks_without_keypoints(tmp_path):
    with pytest.raises(ValueError, match="PoseTrack18 JSON needs keypoints for every track; track 7 has none"):
        write_posetrack(random_video(), tmp_path / "a.json")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (cocovid_json(), "has 'videos', so it is CocoVID JSON, not PoseTrack18 JSON"),
        ({"images": []}, "the list 'annotations' is missing"),
        (posetrack_json(annotation={"image_id": 9}), "an annotation has image_id 9, which is not listed"),
        (
            posetrack_json(annotation={"category_id": 77}),
            "an annotation has category_id 77, which is not listed (accepted: 1)",
        ),
        (posetrack_json(annotation={"keypoints": [1, 2]}), "invalid PoseTrack18 JSON"),
        (
            posetrack_json(images=[{"id": 7, "file_name": "a/b.jpg"}]),
            "the frame's number, as in 000012.jpg, not 'a/b.jpg'",
        ),
        (posetrack_json(categories=[{"id": 1}]), "invalid PoseTrack18 JSON (KeyError: 'name')"),
    ],
)
def test_invalid_posetrack_files_are_refused(tmp_path, data, message):
    (tmp_path / "a.json").write_text(json.dumps(data))
    with pytest.raises(ValueError, match=re.escape(message)):
        read_posetrack(tmp_path / "a.json")
