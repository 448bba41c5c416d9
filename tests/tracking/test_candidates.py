import numpy as np
import pytest
from helpers.detections import box_at, frame_of

from res3d.structures import ClipDetections
from res3d.tracking import CostTerm, LinkSettings
from res3d.tracking.candidates import Candidates


def tubes(visible: list[list[float]], frames: list[int], **fields) -> ClipDetections:
    """Tube n is at (100 n + 10 t, 50) at the t-th frame."""
    count = len(visible)
    return ClipDetections(
        frames=np.array(frames),
        boxes=np.array([[box_at(100 * n + 10 * t, 50) for t in range(len(frames))] for n in range(count)], np.float32),
        visible=np.array(visible, np.float32),
        scores=fields.pop("scores", np.full(count, 0.9, np.float32)),
        labels=np.ones(count, np.int64),
        **fields,
    )


def test_all_detections_of_a_single_frame_are_visible():
    frame = frame_of(box_at(50, 50), box_at(90, 50))
    candidates = Candidates(frame, np.array([7]), LinkSettings())
    assert candidates.is_visible.tolist() == [[True], [True]]
    assert candidates.last_frames.tolist() == [7, 7]
    assert candidates.first_boxes.tolist() == candidates.last_boxes.tolist() == frame.boxes.tolist()
    assert candidates.objects.visible.tolist() == [[1], [1]]


def test_tubes_have_the_boxes_of_their_first_and_last_visible_frames():
    clip = tubes([[0.2, 0.9, 0.5, 0.1], [1, 0, 0, 1], [0.4, 0, 0, 0]], frames=[3, 5, 7, 9])
    candidates = Candidates(clip, clip.frames, LinkSettings())
    assert candidates.is_visible.tolist() == [[False, True, True, False], [True, False, False, True], [False] * 4]
    assert candidates.objects.visible == pytest.approx(np.array([[0, 0.9, 0.5, 0], [1, 0, 0, 1], [0, 0, 0, 0]]))
    assert candidates.last_frames[:2].tolist() == [7, 9]
    assert candidates.first_boxes[:2].tolist() == [box_at(10, 50), box_at(100, 50)]
    assert candidates.last_boxes[:2].tolist() == [box_at(20, 50), box_at(130, 50)]
    assert candidates.velocity(np.array([1, 0]))[:, 0] == pytest.approx([30 / 6, 10 / 2])
    assert candidates.high.tolist() == candidates.can_start.tolist() == [True, True, False]


def test_detections_are_split_by_score_and_area():
    boxes = [box_at(50, 50, side) for side in (20, 20, 20, 20, 2)]
    frame = frame_of(*boxes, scores=[0.9, 0.55, 0.2, 0.05, 0.9])
    candidates = Candidates(frame, np.array([0]), LinkSettings(min_area=5.0, class_overlap=None))
    assert candidates.can_start.tolist() == [True, False, False, False, False]
    assert candidates.high.tolist() == [True, True, False, False, False]
    assert candidates.low.tolist() == [False, False, True, False, False]


def test_visible_frames_are_counted_after_a_frame():
    clip = tubes([[1, 0, 1, 1], [1, 1, 1, 1]], frames=[4, 5, 6, 7])
    candidates = Candidates(clip, clip.frames, LinkSettings())
    assert candidates.count_visible(np.array([0, 1, 0]), after=np.array([3, 5, 7])).tolist() == [3, 2, 0]


def test_a_clip_of_one_frame_does_not_count_a_frame_twice():
    clip = tubes([[1], [1]], frames=[6])
    candidates = Candidates(clip, clip.frames, LinkSettings())
    assert candidates.count_visible(np.array([0, 1]), after=np.array([5, 6])).tolist() == [1, 0]


def test_at_first_visible_frame_all_other_frames_have_weight_0():
    clip = tubes([[0, 0.7, 1, 1], [1, 1, 1, 1]], frames=[0, 1, 2, 3])
    candidates = Candidates(clip, clip.frames, LinkSettings())
    objects = candidates.at_first_visible_frame(np.array([1, 0]))
    assert objects.visible.tolist() == [[1, 0, 0, 0], [0, 1, 0, 0]]
    assert np.array_equal(objects.boxes, clip.boxes[[1, 0]])


def test_fields_at_the_ends_of_tubes():
    keypoints = np.arange(2 * 3 * 1 * 3, dtype=np.float32).reshape(2, 3, 1, 3)
    embeddings = np.array([[1, 2], [3, 4]], np.float32)
    clip = tubes([[0, 1, 1], [1, 1, 0]], frames=[0, 1, 2], keypoints=keypoints, embeddings=embeddings)
    settings = LinkSettings(costs=(CostTerm("appearance"),))
    candidates = Candidates(clip, clip.frames, settings)
    first = candidates.first_fields(0)
    assert first["boxes"].tolist() == box_at(10, 50)
    assert np.array_equal(first["keypoints"], keypoints[0, 1])
    last = candidates.last_fields(np.array([0, 1]))
    assert np.array_equal(last["keypoints"], np.stack([keypoints[0, 2], keypoints[1, 1]]))
    assert np.array_equal(last["embeddings"], embeddings)
    assert set(candidates.objects.fields) == {"embeddings"}  # no cost compares keypoints


def test_rows_have_every_frame_whether_objects_are_visible_or_not():
    clip = tubes([[0, 1, 1], [1, 1, 0]], frames=[2, 4, 6])
    candidates = Candidates(clip, clip.frames, LinkSettings())
    rows = dict(candidates.rows(np.array([1])))
    assert list(rows) == [2, 4, 6]
    for t, frame_rows in enumerate(rows.values()):
        assert np.array_equal(frame_rows.boxes, clip.boxes[[1], t])
        assert np.array_equal(frame_rows.visible, clip.visible[[1], t])
