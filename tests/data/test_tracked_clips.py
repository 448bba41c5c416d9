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
    given = {"annotations": str(scene / "tracks.json"), "videos": str(scene), "length": 4, **fields}
    return TrackedClips(**given)


def test_clips_and_targets_are_what_the_scene_shows(scene):
    clips = clips_of(scene, stride=5, step=2)
    starts = [0, 5, 10]  # a fourth would go beyond the last frame
    assert len(clips) == 3
    for number, start in enumerate(starts):
        clip, target = clips[number]
        frames = [SCENE.frame(start + 2 * t) for t in range(4)]
        assert (clip.dtype, tuple(clip.shape)) == (torch.float32, (3, 4, 48, 64))
        truth = np.stack([frame.image for frame in frames]).transpose(3, 0, 1, 2) / 255
        assert np.abs(clip.numpy() - truth).mean() < 0.05
        visible = np.stack([frame.visibility >= 0.1 for frame in frames], axis=1)
        kept = visible.any(axis=1)
        visible = visible[kept]
        assert np.array_equal(target["visible"].numpy(), visible)
        assert np.array_equal(target["labels"].numpy(), SCENE.labels[kept])
        assert np.array_equal(target["track_ids"].numpy(), SCENE.track_ids[kept])
        for name, key in (("boxes", "boxes"), ("keypoints", "keypoints"), ("masks", "masks")):
            true = np.stack([getattr(frame, key) for frame in frames], axis=1)[kept]
            found = target[name].numpy()
            assert np.allclose(found[visible], true[visible], atol=1e-3), name
            assert not found[~visible].any()


def test_boxes_and_masks_follow_frames_that_are_resized(scene):
    (_, whole), (clip, half) = clips_of(scene)[0], clips_of(scene, side=24)[0]
    assert clip.shape[2:] == (24, 32)
    assert torch.allclose(half["boxes"], whole["boxes"] / 2)
    assert torch.allclose(half["keypoints"][..., :2], whole["keypoints"][..., :2] / 2)
    assert torch.equal(half["keypoints"][..., 2], whole["keypoints"][..., 2])
    assert half["masks"].shape[2:] == (24, 32)
    stored = clips_of(scene, side=24, store=str(scene / "store"))[0]
    assert torch.equal(stored[0], clip)
    assert all(torch.equal(stored[1][name], half[name]) for name in half)


def test_clips_lie_in_the_range_of_frames_and_time_may_jitter(scene):
    assert len(clips_of(scene, frames=(0, 10), stride=2)) == 4
    assert len(clips_of(scene, frames=(10, 30), stride=2)) == 4, "the video ends at 20"
    still, moved = clips_of(scene, frames=(5, 15), stride=3), clips_of(scene, frames=(5, 15), stride=3, jitter=2)
    assert torch.equal(still[1][0], still[1][0])
    torch.manual_seed(0)
    seen = {moved[0][0].numpy().tobytes() for _ in range(40)}
    possible = {clips_of(scene, frames=(start, 20))[0][0].numpy().tobytes() for start in (5, 6, 7)}
    assert seen == possible, "a clip never starts before its range"


def test_frames_that_nobody_annotated_are_in_no_clip(scene):
    tracks = SCENE.tracks("scene.mp4")
    labelled = np.array([0, 2, 4, 6, 8, 9, 10, 11, 12], np.int64)
    rows = [t.at(np.isin(t.frames, labelled)) for t in tracks.tracks if np.isin(t.frames, labelled).any()]
    write_cocovid([tracks.renamed(tracks=tuple(rows), annotated=labelled)], scene / "tracks.json")
    assert [place.start for place in clips_of(scene, stride=1)._places] == [8, 9]
    assert [place.start for place in clips_of(scene, stride=1, step=2)._places] == [0, 2, 4, 6]


def test_classes_are_chosen_and_numbered_by_name(scene):
    clips = clips_of(scene, classes=("triangle", "disc"))
    assert [c.name for c in clips.info.categories] == ["triangle", "disc"]
    assert clips.info.num_classes == 3
    assert {1, 2} >= set(torch.cat([clips[n][1]["labels"] for n in range(len(clips))]).tolist())
    with pytest.raises(ValueError, match=r"has no class 'squere'; did you mean 'square'\? \(it has disc, square, tri"):
        clips_of(scene, classes=("squere",))


def test_a_class_that_no_clip_shows_is_known_as_empty(scene):
    tracks = SCENE.tracks("scene.mp4")
    more = {**tracks.categories, 9: Category(name="star", keypoints=tracks.categories[1].keypoints)}
    write_cocovid([tracks.renamed(categories=more)], scene / "tracks.json")
    assert clips_of(scene).info.empty == ("star",)
    assert clips_of(scene, classes=("disc",)).info.empty == ()


def test_crowds_are_not_learned_from(scene):
    data = json.loads((scene / "tracks.json").read_text())
    for entry in data["annotations"]:
        entry["iscrowd"] = int(entry["instance_id"] == 2)
    (scene / "tracks.json").write_text(json.dumps(data))
    clips = clips_of(scene)
    assert all(2 not in clips[n][1]["track_ids"] for n in range(len(clips)))


def test_a_frame_range_without_objects_gives_empty_targets(scene):
    tracks = SCENE.tracks("scene.mp4")
    late = [t.at(t.frames >= 15) for t in tracks.tracks if (t.frames >= 15).any()]
    write_cocovid([tracks.renamed(tracks=tuple(late))], scene / "tracks.json")
    _, target = clips_of(scene)[0]
    assert {name: tuple(value.shape[:1]) for name, value in target.items()} == dict.fromkeys(target, (0,))
    assert tuple(target["boxes"].shape) == (0, 4, 4)
    assert tuple(target["keypoints"].shape) == (0, 4, 5, 3)


@pytest.mark.parametrize(
    "place", ["0342.avi", "0342", "0342/img1", "0342_of_posetrack", "."], ids=lambda place: place.replace("/", "_")
)
def test_videos_are_found_by_name(tmp_path, place):
    """As files, as folders of pictures, as MOTChallenge and PoseTrack18 lay them out, and as the folder itself."""
    folder = tmp_path / "videos"
    folder.mkdir()
    if place.endswith(".avi"):
        SCENE.write(folder / "made.mp4")
        (folder / "made.mp4").rename(folder / place)
    else:
        (folder / place).mkdir(parents=True, exist_ok=True)
        for n, frame in enumerate(SCENE):
            Image.fromarray(frame.image).save(folder / place / f"{n + 1:06}.png")
    SCENE.tracks("0342").to_mot(tmp_path / "0342.txt")
    clips = TrackedClips(annotations=str(tmp_path / "0342.txt"), videos=str(folder), length=3)
    clip, target = clips[0]
    assert np.abs(clip[:, 0].permute(1, 2, 0).numpy() - SCENE.frame(0).image / 255).mean() < 0.05
    assert "keypoints" not in target
    assert "masks" not in target


def test_posetrack_annotations_are_read(scene):
    tracks = SCENE.tracks("scene")
    one = tuple(track for track in tracks.tracks if track.label == 1)
    tracks.renamed(tracks=one, categories={1: tracks.categories[1]}).to_posetrack(scene / "pose.json")
    clips = clips_of(scene, annotations=str(scene / "pose.json"))
    assert clips[0][1]["keypoints"].shape[2:] == (5, 3)


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"annotations": "nowhere.json"}, FileNotFoundError, "nowhere.json: no such file"),
        ({"videos": "nowhere"}, FileNotFoundError, r"nowhere: has no video 'scene.mp4' \(a file, or a folder"),
        ({"length": 0}, ValueError, "length must be ≥ 1, not 0"),
        ({"jitter": -1}, ValueError, "jitter must be ≥ 0, not -1"),
        ({"frames": (5, 5)}, ValueError, r"frames must be a range \[first, one after the last\), not \(5, 5\)"),
        ({"side": 0}, ValueError, "side must be ≥ 1 pixel, not 0"),
        ({"length": 30}, ValueError, r"video 'scene.mp4' has no clip: 30 annotated frames, 1 apart, in \[0, 20\)"),
    ],
)
def test_wrong_settings_are_named(scene, fields, error, message):
    with pytest.raises(error, match=message):
        clips_of(scene, **fields)


def write_pictures(folder, frames, size=None) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for n in frames:
        picture = Image.fromarray(SCENE.frame(n).image)
        (picture if size is None else picture.resize(size)).save(folder / f"{n + 1:06}.png")


def tracks_until(last: int) -> VideoTracks:
    tracks = SCENE.tracks("scene")
    return tracks.renamed(tracks=tuple(t.at(t.frames <= last) for t in tracks.tracks if (t.frames <= last).any()))


@pytest.mark.parametrize("held", [16, 19])
def test_annotations_of_frames_that_the_video_does_not_have_are_refused(tmp_path, held):
    """Though no object is in them."""
    write_pictures(tmp_path / "scene", range(held))
    write_cocovid([tracks_until(10)], tmp_path / "tracks.json")
    with pytest.raises(ValueError, match=rf"video 'scene' has 20 frames, and .*scene only {held}"):
        clips_of(tmp_path)


def test_a_folder_that_lacks_a_picture_is_refused(tmp_path):
    """MOTChallenge files do not say how many frames there are: those after it would be taken for others."""
    write_pictures(tmp_path / "scene", [n for n in range(20) if n != 7])
    tracks_until(15).to_mot(tmp_path / "scene.txt")
    message = r"000007\.png is followed by 000009\.png, where most numbers are 1 apart: a picture is missing"
    with pytest.raises(ValueError, match=message):
        clips_of(tmp_path, annotations=str(tmp_path / "scene.txt"))


def test_annotations_of_frames_of_another_size_are_scaled(tmp_path):
    write_cocovid([SCENE.tracks("scene")], tmp_path / "tracks.json")
    write_pictures(tmp_path / "scene", range(20))
    (_, whole) = clips_of(tmp_path)[0]
    write_pictures(tmp_path / "scene", range(20), size=(32, 24))
    clip, half = clips_of(tmp_path)[0]
    assert clip.shape[2:] == half["masks"].shape[2:] == (24, 32)
    assert torch.allclose(half["boxes"], whole["boxes"] / 2)
    assert torch.allclose(half["keypoints"][..., :2], whole["keypoints"][..., :2] / 2)
    write_pictures(tmp_path / "scene", range(20), size=(48, 64))
    with pytest.raises(ValueError, match=r"annotated in frames of 48×64, and those of .*scene, of 64×48, have other"):
        clips_of(tmp_path)


@pytest.mark.parametrize(("name", "there"), [("cam1", "cam1_night"), ("/nowhere/cam1", "x"), ("cam[1]", "cam1")])
def test_a_video_is_not_taken_for_another(tmp_path, name, there):
    write_pictures(tmp_path / "videos" / there, range(20))
    write_cocovid([SCENE.tracks(name)], tmp_path / "tracks.json")
    with pytest.raises(FileNotFoundError, match=rf"has no video '{re.escape(name)}'"):
        clips_of(tmp_path, videos=str(tmp_path / "videos"))


def test_actions_that_every_object_has_are_targets(scene):
    """An action is a target of a clip if its probability is at least 0.5 in a frame where the object is."""
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
