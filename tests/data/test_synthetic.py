import numpy as np
import pytest

from res3d.data import CLASSES, SyntheticVideo
from res3d.video import VideoReader


def small_video() -> SyntheticVideo:
    return SyntheticVideo(seed=3, num_frames=60, size=(120, 160))


@pytest.fixture(scope="module")
def frames():
    return list(small_video())


def test_video_depends_on_the_seed_only():
    a, b, c = (SyntheticVideo(seed=s).frame(40) for s in (1, 1, 2))
    assert np.array_equal(a.image, b.image)
    assert np.array_equal(a.boxes, b.boxes)
    assert not np.array_equal(a.image, c.image)


def test_single_frame_equals_the_frame_of_the_iteration(frames):
    assert np.array_equal(small_video().frame(17).image, frames[17].image)
    with pytest.raises(IndexError, match=r"frame must be in \[0, 60\), not 60"):
        small_video().frame(60)


def test_masks_cover_the_pixels_that_differ_from_the_background(frames):
    video = small_video()
    for frame in frames[::10]:
        drawn = (frame.image != video._background).any(axis=2)
        union = frame.masks.any(axis=0)
        assert not (drawn & ~union).any()
        assert (drawn & union).sum() > 0.95 * union.sum()  # a sprite can have the color of the background by chance
        assert frame.masks.sum(axis=0).max() <= 1, "a pixel belongs to one sprite at most"


def test_boxes_tightly_enclose_masks(frames):
    for frame in frames[::7]:
        for box, mask, visible in zip(frame.boxes, frame.masks, frame.visible, strict=True):
            assert visible == mask.any()
            if not visible:
                assert not box.any()
                continue
            x1, y1, x2, y2 = box.astype(int)
            assert mask[y1:y2, x1:x2].sum() == mask.sum()
            assert all(edge.any() for edge in (mask[y1], mask[y2 - 1], mask[:, x1], mask[:, x2 - 1]))


def test_objects_occlude_each_other_and_leave_the_frame():
    frames = [frame for seed in range(4) for frame in SyntheticVideo(seed=seed, size=(60, 80))]
    visibility = np.array([f.visibility for f in frames])
    assert ((visibility > 0) & (visibility < 0.6)).any()
    assert (visibility == 0).any()
    assert (visibility <= 1).all()
    assert (visibility[:, 0] < 0.9).any(), "the first sprite passes behind the second"


def test_objects_move_smoothly(frames):
    boxes = np.stack([f.boxes for f in frames])
    fully_visible = np.stack([f.visibility for f in frames]) > 0.99
    centers = (boxes[..., :2] + boxes[..., 2:]) / 2
    steps = np.linalg.norm(np.diff(centers, axis=0), axis=2)[fully_visible[1:] & fully_visible[:-1]]
    assert steps.max() < 4
    assert steps.mean() > 0.5


def test_keypoint_visibility_agrees_with_masks(frames):
    visible = hidden = outside = 0
    for frame in frames:
        height, width = frame.image.shape[:2]
        for points, mask in zip(frame.keypoints, frame.masks, strict=True):
            for x, y, v in points:
                if v == 0:
                    assert x == y == 0
                    outside += 1
                    continue
                assert 0 <= x < width
                assert 0 <= y < height
                assert mask[int(y), int(x)] == (v == 2)
                visible, hidden = visible + (v == 2), hidden + (v == 1)
    assert visible > hidden > 0
    assert outside > 0


def test_labels_and_track_ids():
    video = SyntheticVideo(num_objects=4)
    assert video.labels.tolist() == [1, 2, 3, 1]
    assert video.track_ids.tolist() == [1, 2, 3, 4]
    assert max(video.labels) <= len(CLASSES)


def test_kinds_change_only_the_shapes():
    cycled, chosen = SyntheticVideo(num_objects=3), SyntheticVideo(num_objects=3, kinds=("disc", "disc", "disc"))
    assert chosen.labels.tolist() == [1, 1, 1]
    assert np.array_equal(cycled.frame(50).boxes[0], chosen.frame(50).boxes[0])
    assert np.array_equal(cycled.frame(0).keypoints[:, 0], chosen.frame(0).keypoints[:, 0])


def test_single_object_and_frame():
    assert SyntheticVideo(num_objects=1, num_frames=1).frame(0).boxes.shape == (1, 4)


def test_written_file_contains_the_frames(tmp_path):
    video = SyntheticVideo(num_frames=10, size=(97, 131))
    video.write(tmp_path / "sample.mp4")
    read = list(VideoReader(tmp_path / "sample.mp4"))
    assert [seconds for _, seconds in read] == pytest.approx([n / 25 for n in range(10)], abs=1e-4)
    for (image, _), frame in zip(read, video, strict=True):
        assert image.shape == (97, 131, 3)
        assert np.abs(image.astype(int) - frame.image).mean() < 6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": (16, 100)}, r"size must be ≥ 32 pixels \(height, width\), not \(16, 100\)"),
        ({"num_frames": 0}, "num_frames, num_objects and fps must be > 0, not 0, 5, 25.0"),
        ({"num_objects": 0}, "not 100, 0, 25.0"),
        ({"fps": 0}, "not 100, 5, 0"),
        ({"kinds": ("disc",)}, r"kinds must be 5 of disc, square, triangle, not \('disc',\)"),
        ({"kinds": ("cat",), "num_objects": 1}, "kinds must be 1 of"),
    ],
)
def test_invalid_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        SyntheticVideo(**arguments)


def test_tracks_equal_the_frames_with_enough_visible_pixels():
    video = SyntheticVideo(num_frames=30, size=(96, 128), num_objects=4, seed=3)
    tracks = video.tracks("scene", min_visible=0.3)
    assert (tracks.name, tracks.num_frames, tracks.fps, tracks.size) == ("scene", 30, 25.0, (96, 128))
    assert {label: c.name for label, c in tracks.categories.items()} == dict(enumerate(CLASSES, 1))
    by_id = {track.id: track for track in tracks.tracks}
    hidden = 0
    for number, frame in enumerate(video):
        for n, identity in enumerate(video.track_ids.tolist()):
            rows = np.flatnonzero(by_id[identity].frames == number)
            assert len(rows) == (frame.visibility[n] >= 0.3)
            hidden += not len(rows)
            for row in rows:
                track = by_id[identity]
                assert track.label == video.labels[n]
                assert np.array_equal(track.boxes[row], frame.boxes[n])
                assert np.array_equal(track.keypoints[row], frame.keypoints[n])
                assert np.array_equal(track.masks[row].decode(), frame.masks[n])
    assert hidden > 0
