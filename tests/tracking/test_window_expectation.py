import numpy as np
import pytest
from helpers.detections import box_at

from res3d.structures import ClipDetections
from res3d.tracking import CostTerm, LinkSettings
from res3d.tracking.candidates import Candidates
from res3d.tracking.pool import TrackPool
from res3d.tracking.window_expectation import WindowExpectation

SETTINGS = LinkSettings(costs=(CostTerm("overlap"), CostTerm("oks"), CostTerm("appearance")))
FRAMES = np.arange(4)
VISIBLE = np.array([[1, 1, 1, 1], [0.8, 0.9, 0, 0]], np.float32)


@pytest.fixture
def expectation() -> WindowExpectation:
    """Two tracks with one clip of frames 0 to 3; track n moves 5 (n + 1) pixels per frame from x = 100 n + 50 on."""
    xs = np.array([[100 * n + 50 + 5 * (n + 1) * t for t in range(4)] for n in range(2)])
    clip = ClipDetections(
        frames=FRAMES,
        boxes=np.array([[box_at(x, 50) for x in row] for row in xs], np.float32),
        visible=VISIBLE,
        scores=np.array([0.9, 0.9], np.float32),
        labels=np.array([1, 1]),
        keypoints=np.stack([xs, np.full_like(xs, 45), np.ones_like(xs)], axis=-1)[:, :, None].astype(np.float32),
        embeddings=np.eye(2, dtype=np.float32),
    )
    pool = TrackPool(SETTINGS)
    expectation = WindowExpectation(SETTINGS, pool)
    candidates = Candidates(clip, clip.frames, SETTINGS)
    expectation.advance(clip.frames)
    pool.begin(candidates, np.arange(2), np.zeros(0, bool))
    expectation.begin(candidates, np.arange(2))
    return expectation


def test_tracks_are_predicted_by_their_latest_tubes_in_shared_frames(expectation):
    expectation.advance(np.array([2, 3, 4, 5]))
    objects = expectation.predicted(np.array([1, 0]))
    assert objects.visible.tolist() == [[0, 0, 0, 0], [1, 1, 0, 0]]
    assert objects.boxes[1].tolist() == [box_at(60, 50), box_at(65, 50), [0] * 4, [0] * 4]
    assert objects.fields["keypoints"][1, :, 0].tolist() == [[60, 45, 1], [65, 45, 1], [0] * 3, [0] * 3]
    assert objects.fields["embeddings"].tolist() == [[0, 1], [1, 0]]


def test_tracks_overlap_a_clip_if_they_are_visible_in_its_frames(expectation):
    assert expectation.overlapping().tolist() == [True, True]
    expectation.advance(np.array([1, 2, 3, 4]))
    assert expectation.overlapping().tolist() == [True, True]
    expectation.advance(np.array([2, 3, 4, 5]))
    assert expectation.overlapping().tolist() == [True, False]
    expectation.advance(np.array([8, 9, 10, 11]))
    assert expectation.overlapping().tolist() == [False, False]


def test_frames_need_not_be_consecutive(expectation):
    expectation.advance(np.array([1, 3, 5, 7]))
    assert expectation.predicted(np.array([0])).visible.tolist() == [[1, 1, 0, 0]]


def test_tracks_are_extrapolated_from_their_last_visible_box_at_constant_velocity(expectation):
    """Track 0 was last visible in frame 3 at x = 65, track 1 in frame 1 at x = 160."""
    expectation.advance(np.array([4, 5]))
    objects = expectation.extrapolated(np.array([0, 1]))
    assert objects.boxes.tolist() == [[box_at(70, 50), box_at(75, 50)], [box_at(190, 50), box_at(200, 50)]]
    assert objects.visible.tolist() == [[1, 1], [1, 1]]
    assert objects.fields["keypoints"][:, :, 0, 0].tolist() == [[70, 75], [190, 200]]


def test_extrapolated_sides_are_never_negative(expectation):
    expectation.velocity[0] = [5, 0, -5, 0]  # the box shrinks 10 pixels per frame
    expectation.advance(np.array([4, 8]))
    boxes = expectation.extrapolated(np.array([0])).boxes
    assert (boxes[..., 2:] >= boxes[..., :2]).all()


def test_an_update_replaces_the_latest_tube(expectation):
    clip = ClipDetections(
        frames=FRAMES + 2,
        boxes=np.array([[box_at(300 + t, 50) for t in range(4)]], np.float32),
        visible=np.ones((1, 4), np.float32),
        scores=np.array([0.9], np.float32),
        labels=np.array([1]),
        keypoints=np.full((1, 4, 1, 3), 7, np.float32),
        embeddings=np.ones((1, 2), np.float32),
    )
    expectation.advance(clip.frames)
    expectation.update(np.array([1]), Candidates(clip, clip.frames, SETTINGS), np.array([0]))
    objects = expectation.predicted(np.array([1]))
    assert objects.boxes.tolist() == clip.boxes.tolist()
    assert objects.visible.tolist() == [[1, 1, 1, 1]]
    assert (objects.fields["keypoints"] == 7).all()
    assert expectation.velocity[1].tolist() == [1, 0, 1, 0]
