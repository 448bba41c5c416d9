from typing import ClassVar
from weakref import WeakSet

import pytest
import torch
from helpers.tubes import random_tubes

from res3d.evaluation import score_tubes

T = 3


def target(boxes: list[list[float]], labels: list[int], visible: list[list[bool]] | None = None) -> dict:
    return {
        "boxes": torch.tensor(boxes).view(-1, 1, 4).expand(-1, T, -1).clone(),
        "visible": torch.ones(len(boxes), T, dtype=torch.bool) if visible is None else torch.tensor(visible),
        "labels": torch.tensor(labels, dtype=torch.long),
    }


def result(boxes: list[list[float]], labels: list[int], scores: list[float]) -> dict:
    return {**target(boxes, labels), "visible": torch.ones(len(boxes), T), "scores": torch.tensor(scores)}


A, B, C = [0.0, 0, 10, 10], [20.0, 0, 30, 10], [40.0, 0, 60, 20]


def test_perfect_and_wrong_detections():
    truth = [target([A, B], [1, 2])]
    assert score_tubes([result([A, B], [1, 2], [0.9, 0.8])], truth).box_ap == pytest.approx(1)
    assert score_tubes([result([A, B], [2, 1], [0.9, 0.8])], truth).box_ap == 0
    assert score_tubes([result([], [], [])], truth).box_ap == 0
    assert score_tubes([result([A], [1], [0.5])], [target([], [])]).box_ap is None


def test_false_detection_above_a_true_one_halves_the_precision():
    truth = [target([A], [1])]
    scores = score_tubes([result([C, A], [1, 1], [0.9, 0.8])], truth)
    assert scores.box_ap == pytest.approx(0.5)
    assert score_tubes([result([C, A], [1, 1], [0.7, 0.8])], truth).box_ap == pytest.approx(1)


def test_detecting_half_of_the_objects_reaches_half_of_the_recalls():
    """51 of COCO's 101 recalls are at most one half."""
    scores = score_tubes([result([A], [1], [0.9])], [target([A, B], [1, 1])])
    assert scores.box_ap == pytest.approx(51 / 101)
    assert scores.recall == pytest.approx(0.5)


def test_second_detection_of_an_object_is_false():
    scores = score_tubes([result([A, A, B], [1, 1, 1], [0.9, 0.8, 0.7])], [target([A, B], [1, 1])])
    assert scores.box_ap == pytest.approx((51 * 1 + 50 * 2 / 3) / 101)


def test_scores_are_ranked_over_all_clips_and_averaged_over_classes():
    truths = [target([A], [1]), target([A, B], [1, 2])]
    results = [result([C], [1], [0.95]), result([A, B], [1, 2], [0.9, 0.3])]
    scores = score_tubes(results, truths)
    assert scores.by_class == {1: pytest.approx(51 * 0.5 / 101), 2: pytest.approx(1)}
    assert scores.box_ap == pytest.approx((51 * 0.5 / 101 + 1) / 2)


def test_only_visible_frames_count():
    truth = target([A, B], [1, 1], [[True, False, False], [False] * 3])
    truth["boxes"][0, 1:] = 0
    detections = result([A], [1], [0.9])
    detections["boxes"][0, 1:] = torch.tensor(C)
    scores = score_tubes([detections], [truth])
    assert scores.box_ap == pytest.approx(1), "the object that is never visible does not count"
    assert scores.visibility_error == pytest.approx(2 / 3)


def test_threshold_applies_to_the_mean_iou_over_frames():
    truth, detections = target([A], [1]), result([A], [1], [0.9])
    detections["boxes"][0, 2] = torch.tensor(C)  # mean IoU 2/3
    assert score_tubes([detections], [truth]).box_ap == pytest.approx(1)
    assert score_tubes([detections], [truth], threshold=0.7).box_ap == 0


class LazyMasks(dict):
    """Mapping that copies its masks on access, and counts the copies that are alive at the same time."""

    alive: ClassVar[WeakSet] = WeakSet()
    max_alive = 0

    def __getitem__(self, name):
        if name != "masks":
            return super().__getitem__(name)
        masks = super().__getitem__(name).clone()
        self.alive.add(masks)
        LazyMasks.max_alive = max(LazyMasks.max_alive, len(self.alive))
        return masks


def test_masks_of_only_one_clip_are_in_memory():
    truth, detections = target([A, B], [1, 1]), result([A, B], [1, 1], [0.9, 0.8])
    truth["masks"] = torch.ones(2, T, 12, 40, dtype=torch.bool)
    detections["masks"] = truth["masks"][:, :, None]
    clips = 5
    scores = score_tubes([LazyMasks(detections)] * clips, [LazyMasks(truth)] * clips)
    assert scores == score_tubes([detections] * clips, [truth] * clips)
    assert 1 <= LazyMasks.max_alive <= 2, "one of the target and one of the result"


def test_scores_of_masks_and_keypoints():
    truth, detections = target([A, B], [1, 1]), result([A, B], [1, 1], [0.9, 0.8])
    truth["masks"] = torch.zeros(2, T, 12, 40, dtype=torch.bool)
    truth["masks"][0, :, :10, :10] = truth["masks"][1, :, :10, 20:30] = True
    detections["masks"] = truth["masks"][:, :, None].float() * 0.9
    detections["masks"][1, :, :, :, 23:] = 0.1  # 3 of 10 columns remain
    truth["keypoints"] = torch.rand(2, T, 4, 3) * 5
    truth["keypoints"][..., 2] = 2
    truth["keypoints"][0, 0, 0, 2] = 0
    detections["keypoints"] = truth["keypoints"] + torch.tensor([3.0, 4.0, 0.0])
    detections["keypoints"][0, 0, 0] = 1000
    scores = score_tubes([detections], [truth])
    assert scores.mask_ap == pytest.approx(51 / 101)
    assert scores.keypoint_error == pytest.approx(5 / 10)
    assert scores.pck == 0, "5 pixels are more than a fifth of 10"
    assert score_tubes([detections], [target([A, B], [1, 1])]).keypoint_error is None


def test_keypoints_of_missed_objects_are_wrong():
    truth, detections = target([A, B], [1, 1]), result([A], [1], [0.9])
    truth["visible"][1, 1:] = False  # B is visible in one frame only
    truth["keypoints"] = torch.rand(2, T, 4, 3) * 5
    truth["keypoints"][..., 2] = 2
    truth["keypoints"][0, 0, 0, 2] = 0  # not annotated: does not count
    detections["keypoints"] = truth["keypoints"][:1].clone()
    detections["keypoints"][0, :, :, 0] += 1.9  # the threshold is 2, a fifth of the box side of 10
    detections["keypoints"][0, 1, 2, 1] += 1.0
    annotated = 4 * T - 1 + 4
    assert score_tubes([detections], [truth]).pck == pytest.approx((4 * T - 2) / annotated)
    assert score_tubes([detections], [target([A, B], [1, 1])]).pck is None


def test_average_precision_equals_a_loop_over_recalls():
    """COCO's definition: the best precision at each of 101 recalls or above."""
    boxes = random_tubes(40, T, size=400)
    truth = [{"boxes": boxes, "visible": torch.ones(40, T, dtype=torch.bool), "labels": torch.ones(40).long()}]
    order = torch.randperm(40)[:30]
    detections = torch.cat([boxes[order], random_tubes(30, T) + 1000])
    scores = torch.rand(60)
    results = [{"boxes": detections, "visible": torch.ones(60, T), "labels": torch.ones(60).long(), "scores": scores}]
    is_true = [n < 30 for n in scores.argsort(descending=True).tolist()]
    points = []
    for k in range(101):
        precisions = [sum(is_true[: n + 1]) / (n + 1) for n in range(60) if sum(is_true[: n + 1]) / 40 >= k / 100]
        points.append(max(precisions, default=0))
    assert score_tubes(results, truth).box_ap == pytest.approx(sum(points) / 101)


def test_numbers_of_clips_must_be_equal():
    with pytest.raises(ValueError, match="results and targets must have equally many clips, not 1 and 0"):
        score_tubes([result([], [], [])], [])


def test_scores_of_no_clips_are_undefined():
    scores = score_tubes([], [])
    assert (scores.box_ap, scores.recall, scores.by_class) == (None, None, {})


def test_numbers_of_frames_must_be_equal():
    result = {"boxes": torch.zeros(0, 4, 4), "scores": torch.zeros(0), "labels": torch.zeros(0, dtype=torch.int64)}
    target = {"boxes": torch.zeros(0, 5, 4), "visible": torch.zeros(0, 5).bool(), "labels": torch.zeros(0).long()}
    with pytest.raises(ValueError, match="clip 0: results and targets must have equally many frames, not 4 and 5"):
        score_tubes([result], [target])
