import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from res3d.data import SyntheticVideo, TrackedClips
from res3d.structures import Category, VideoTracks
from res3d.structures.formats import write_cocovid

SCENE = SyntheticVideo(seed=4, num_frames=20, size=(48, 64), num_objects=3)


@pytest.fixture
def scene(tmp_path):
    """A synthetic video and its tracks as files."""
    SCENE.write(tmp_path / "scene.mp4")
    write_cocovid([SCENE.tracks("scene.mp4")], tmp_path / "tracks.json")
    return tmp_path


def clips_of(scene, **fields) -> TrackedClips:
    return TrackedClips(**{"annotations": str(scene / "tracks.json"), "videos": str(scene), "length": 4, **fields})


def test_clips_and_targets_equal_the_scene(scene):
    clips = clips_of(scene, stride=5, step=2)
    starts = [0, 5, 10]  # a fourth clip would end after the last frame
    assert len(clips) == 3
    for number, start in enumerate(starts):
        clip, target = clips[number]
        frames = [SCENE.frame(start + 2 * t) for t in range(4)]
        assert (clip.dtype, tuple(clip.shape)) == (torch.float32, (3, 4, 48, 64))
        truth = np.stack([frame.image for frame in frames]).transpose(3, 0, 1, 2) / 255
        assert np.abs(clip.numpy() - truth).mean() < 0.05
        visible = np.stack([frame.visibility >= 0.1 for frame in frames], axis=1)
        present = visible.any(axis=1)
        visible = visible[present]
        assert np.array_equal(target["visible"].numpy(), visible)
        assert np.array_equal(target["labels"].numpy(), SCENE.labels[present])
        assert np.array_equal(target["track_ids"].numpy(), SCENE.track_ids[present])
        for name in ("boxes", "keypoints", "masks"):
            expected = np.stack([getattr(frame, name) for frame in frames], axis=1)[present]
            values = target[name].numpy()
            assert np.allclose(values[visible], expected[visible], atol=1e-3), name
            assert not values[~visible].any()


def test_annotations_are_scaled_to_resized_frames(scene):
    (_, whole), (clip, half) = clips_of(scene)[0], clips_of(scene, side=24)[0]
    assert clip.shape[2:] == (24, 32)
    assert torch.allclose(half["boxes"], whole["boxes"] / 2)
    assert torch.allclose(half["keypoints"][..., :2], whole["keypoints"][..., :2] / 2)
    assert torch.equal(half["keypoints"][..., 2], whole["keypoints"][..., 2])
    assert half["masks"].shape[2:] == (24, 32)
    stored = clips_of(scene, side=24, store=str(scene / "store"))[0]
    assert torch.equal(stored[0], clip)
    assert all(torch.equal(stored[1][name], half[name]) for name in half)


def test_jittered_clips_stay_in_the_range_of_frames(scene):
    assert len(clips_of(scene, frames=(0, 10), stride=2)) == 4
    assert len(clips_of(scene, frames=(10, 30), stride=2)) == 4, "the video ends at 20"
    settings = {"frames": (5, 15), "stride": 3, "store": str(scene / "store")}
    fixed, jittered = clips_of(scene, **settings), clips_of(scene, **settings, jitter=2)
    assert torch.equal(fixed[1][0], fixed[1][0])
    torch.manual_seed(0)
    drawn = {jittered[0][0].numpy().tobytes() for _ in range(40)}
    possible = {clips_of(scene, frames=(start, 20))[0][0].numpy().tobytes() for start in (5, 6, 7)}
    assert drawn == possible, "a clip never starts before its range"


def test_clips_contain_annotated_frames_only(scene):
    tracks = SCENE.tracks("scene.mp4")
    annotated = np.array([0, 2, 4, 6, 8, 9, 10, 11, 12], np.int64)
    rows = [t.at(np.isin(t.frames, annotated)) for t in tracks.tracks if np.isin(t.frames, annotated).any()]
    write_cocovid([tracks.renamed(tracks=tuple(rows), annotated=annotated)], scene / "tracks.json")
    assert [location.start for location in clips_of(scene, stride=1)._locations] == [8, 9]
    assert [location.start for location in clips_of(scene, stride=1, step=2)._locations] == [0, 2, 4, 6]


def test_classes_select_and_order_labels(scene):
    clips = clips_of(scene, classes=("triangle", "disc"))
    assert [c.name for c in clips.info.categories] == ["triangle", "disc"]
    assert clips.info.num_classes == 3
    assert {1, 2} >= set(torch.cat([clips[n][1]["labels"] for n in range(len(clips))]).tolist())
    with pytest.raises(ValueError, match=r"there is no class 'squere'; did you mean 'square'\? \(accepted: disc, sq"):
        clips_of(scene, classes=("squere",))


def test_info_lists_classes_without_clips(scene):
    tracks = SCENE.tracks("scene.mp4")
    more = {**tracks.categories, 9: Category(name="star", keypoints=tracks.categories[1].keypoints)}
    write_cocovid([tracks.renamed(categories=more)], scene / "tracks.json")
    assert clips_of(scene).info.empty == ("star",)
    assert clips_of(scene, classes=("disc",)).info.empty == ()


def test_crowds_are_left_out(scene):
    data = json.loads((scene / "tracks.json").read_text())
    for entry in data["annotations"]:
        entry["iscrowd"] = int(entry["instance_id"] == 2)
    (scene / "tracks.json").write_text(json.dumps(data))
    clips = clips_of(scene)
    assert all(2 not in clips[n][1]["track_ids"] for n in range(len(clips)))


def test_clip_without_objects_has_empty_targets(scene):
    tracks = SCENE.tracks("scene.mp4")
    late = [t.at(t.frames >= 15) for t in tracks.tracks if (t.frames >= 15).any()]
    write_cocovid([tracks.renamed(tracks=tuple(late))], scene / "tracks.json")
    _, target = clips_of(scene)[0]
    assert {name: tuple(value.shape[:1]) for name, value in target.items()} == dict.fromkeys(target, (0,))
    assert tuple(target["boxes"].shape) == (0, 4, 4)
    assert tuple(target["keypoints"].shape) == (0, 4, 5, 3)


@pytest.mark.parametrize(
    "location", ["0342.avi", "0342", "0342/img1", "0342_of_posetrack", "."], ids=lambda path: path.replace("/", "_")
)
def test_videos_are_found_by_name(tmp_path, location):
    """Video file, image folder, the layouts of MOTChallenge and PoseTrack18, and the folder ``videos`` itself."""
    folder = tmp_path / "videos"
    folder.mkdir()
    if location.endswith(".avi"):
        SCENE.write(folder / "scene.mp4")
        (folder / "scene.mp4").rename(folder / location)
    else:
        (folder / location).mkdir(parents=True, exist_ok=True)
        for n, frame in enumerate(SCENE):
            Image.fromarray(frame.image).save(folder / location / f"{n + 1:06}.png")
    SCENE.tracks("0342").to_mot(tmp_path / "0342.txt")
    clips = TrackedClips(annotations=str(tmp_path / "0342.txt"), videos=str(folder), length=3)
    clip, target = clips[0]
    assert np.abs(clip[:, 0].permute(1, 2, 0).numpy() - SCENE.frame(0).image / 255).mean() < 0.05
    assert "keypoints" not in target
    assert "masks" not in target


def test_posetrack_annotations_are_read(scene):
    tracks = SCENE.tracks("scene")
    discs = tuple(track for track in tracks.tracks if track.label == 1)
    tracks.renamed(tracks=discs, categories={1: tracks.categories[1]}).to_posetrack(scene / "pose.json")
    clips = clips_of(scene, annotations=str(scene / "pose.json"))
    assert clips[0][1]["keypoints"].shape[2:] == (5, 3)


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"annotations": "nowhere.json"}, FileNotFoundError, "nowhere.json: no such file"),
        ({"videos": "nowhere"}, FileNotFoundError, r"nowhere: there is no video 'scene.mp4' \(expected a video file"),
        ({"length": 0}, ValueError, "length must be ≥ 1, not 0"),
        ({"jitter": -1}, ValueError, "jitter must be ≥ 0, not -1"),
        ({"frames": (5, 5)}, ValueError, r"frames must be a range \[start, stop\) with .*, not \(5, 5\)"),
        ({"side": 0}, ValueError, "side must be ≥ 1 pixel, not 0"),
        ({"length": 30}, ValueError, r"video 'scene.mp4' has no clip of 30 annotated frames, 1 apart, in \[0, 20\)"),
    ],
)
def test_invalid_fields_are_refused(scene, fields, error, message):
    with pytest.raises(error, match=message):
        clips_of(scene, **fields)


def write_images(folder, numbers, size=None) -> None:
    """Write frames of the scene as image files, resized to (width, height) ``size``."""
    folder.mkdir(parents=True, exist_ok=True)
    for n in numbers:
        image = Image.fromarray(SCENE.frame(n).image)
        (image if size is None else image.resize(size)).save(folder / f"{n + 1:06}.png")


def tracks_until(last: int) -> VideoTracks:
    """Return the tracks of the scene without the frames after ``last``."""
    tracks = SCENE.tracks("scene")
    return tracks.renamed(tracks=tuple(t.at(t.frames <= last) for t in tracks.tracks if (t.frames <= last).any()))


@pytest.mark.parametrize("num_frames", [16, 19])
def test_video_with_fewer_frames_than_annotated_is_refused(tmp_path, num_frames):
    """Also if the missing frames contain no object."""
    write_images(tmp_path / "scene", range(num_frames))
    write_cocovid([tracks_until(10)], tmp_path / "tracks.json")
    with pytest.raises(ValueError, match=rf"video 'scene' has 20 frames, but .*scene only {num_frames}"):
        clips_of(tmp_path)


def test_folder_with_a_missing_image_is_refused(tmp_path):
    """MOTChallenge files lack the number of frames, so all later frames would get the wrong annotations."""
    write_images(tmp_path / "scene", [n for n in range(20) if n != 7])
    tracks_until(15).to_mot(tmp_path / "scene.txt")
    message = r"000007\.png is followed by 000009\.png, but most numbers are 1 apart: an image is missing"
    with pytest.raises(ValueError, match=message):
        clips_of(tmp_path, annotations=str(tmp_path / "scene.txt"))


def test_annotations_are_scaled_to_the_frame_size_of_the_video(tmp_path):
    write_cocovid([SCENE.tracks("scene")], tmp_path / "tracks.json")
    write_images(tmp_path / "scene", range(20))
    (_, whole) = clips_of(tmp_path)[0]
    write_images(tmp_path / "scene", range(20), size=(32, 24))
    clip, half = clips_of(tmp_path)[0]
    assert clip.shape[2:] == half["masks"].shape[2:] == (24, 32)
    assert torch.allclose(half["boxes"], whole["boxes"] / 2)
    assert torch.allclose(half["keypoints"][..., :2], whole["keypoints"][..., :2] / 2)
    write_images(tmp_path / "scene", range(20), size=(48, 64))
    with pytest.raises(
        ValueError, match=r"annotated in frames of 48×64, but the frames of .*scene are 64×48, which are"
    ):
        clips_of(tmp_path)


@pytest.mark.parametrize(("name", "other"), [("cam1", "cam1_night"), ("/nowhere/cam1", "x"), ("cam[1]", "cam1")])
def test_folder_of_another_video_is_not_used(tmp_path, name, other):
    write_images(tmp_path / "videos" / other, range(20))
    write_cocovid([SCENE.tracks(name)], tmp_path / "tracks.json")
    with pytest.raises(FileNotFoundError, match=rf"there is no video '{re.escape(name)}'"):
        clips_of(tmp_path, videos=str(tmp_path / "videos"))


def test_actions_of_all_objects_become_targets(scene):
    """An action occurs in a clip if its probability is at least 0.5 in a frame that contains the object."""
    video = SCENE.tracks("scene.mp4")
    tracks = [
        track.replace(actions=np.eye(3, dtype=np.float32)[np.where(track.frames < 10, 0, track.id % 2 + 1)] * 0.9)
        for track in video.tracks
    ]
    write_cocovid([replace(video, tracks=tuple(tracks))], scene / "tracks.json")
    clips = clips_of(scene, stride=4)
    assert clips.info.targets["actions"] == "N 3"
    for number, expected in ((0, {(1, 0, 0)}), (2, {(1, 1, 0), (1, 0, 1)}), (3, {(0, 1, 0), (0, 0, 1)})):
        _, target = clips[number]
        assert target["actions"].dtype == torch.bool
        assert {tuple(map(int, row)) for row in target["actions"]} == expected
    write_cocovid([replace(video, tracks=(tracks[0], *video.tracks[1:]))], scene / "tracks.json")
    assert "actions" not in clips_of(scene).info.targets
