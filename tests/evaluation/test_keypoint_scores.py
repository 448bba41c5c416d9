import numpy as np

from res3d.evaluation.keypoint_scores import JointCounts, count_joints
from res3d.evaluation.sequence import FramePair
from res3d.evaluation.similarity import pose_similarity
from res3d.structures import FrameTracks


def frame(poses: list) -> FrameTracks:
    """Return objects with boxes of 20×10 pixels: a keypoint is correct within 4 pixels."""
    count = len(poses)
    return FrameTracks(
        frame=0,
        boxes=np.tile(np.float32([0, 0, 20, 10]), (count, 1)),
        scores=np.ones(count, np.float32),
        ids=np.arange(1, count + 1),
        labels=np.ones(count, np.int64),
        keypoints=np.array(poses, np.float32) if poses else None,
    )


def pair(truth: list, predictions: list) -> FramePair:
    one, other = frame(truth), frame(predictions)
    return FramePair(truth=one, predictions=other, similarity=pose_similarity(one, other, None))


HEAD, TAIL = [2, 5, 2], [18, 5, 2]


def test_keypoints_within_a_fifth_of_the_longer_side_are_correct():
    counts = count_joints([pair([[HEAD, TAIL]], [[[6, 5, 1], [18, 9.1, 1]]])])
    assert (counts.annotated.tolist(), counts.correct.tolist()) == ([1, 1], [1, 0])


def test_keypoints_that_are_not_annotated_do_not_count():
    counts = count_joints([pair([[HEAD, [0, 0, 0]]], [[HEAD, TAIL]])])
    assert (counts.annotated.tolist(), counts.correct.tolist()) == ([1, 0], [1, 0])


def test_objects_without_a_prediction_count_as_wrong():
    """Two objects and one prediction, then a frame without predictions."""
    far = [[102, 5, 2], [118, 5, 2]]
    counts = count_joints([pair([far, [HEAD, TAIL]], [[HEAD, TAIL]]), pair([far], [])])
    assert (counts.annotated.tolist(), counts.correct.tolist()) == ([3, 3], [1, 1])


def test_objects_are_matched_by_oks_and_not_by_order():
    other = [[12, 5, 2], [28, 5, 2]]
    counts = count_joints([pair([[HEAD, TAIL], other], [other, [HEAD, TAIL]])])
    assert counts.correct.tolist() == [2, 2]


def test_counts_without_poses_are_none_and_counts_add_up():
    assert count_joints([pair([], [[HEAD, TAIL]])]) is None
    one = JointCounts(annotated=np.array([3, 2]), correct=np.array([1, 0]))
    total = one + one
    assert (total.annotated.tolist(), total.correct.tolist()) == ([6, 4], [2, 0])
