from typing import ClassVar
from weakref import WeakSet

import pytest
import torch
from helpers.tubes import random_tubes

from res3d.evaluation import score_tubes

T = 3


def target(boxes: list[list[float]], labels: list[int], visible: list[list[bool]] | None = None) -> dict:
    seen = torch.ones(len(boxes), T, dtype=torch.bool) if visible is None else torch.tensor(visible)
    return {
        "boxes": torch.tensor(boxes).view(-1, 1, 4).expand(-1, T, -1).clone(),
        "visible": seen,
        "labels": torch.tensor(labels, dtype=torch.long),
    }


def result(boxes: list[list[float]], labels: list[int], scores: list[float]) -> dict:
    made = target(boxes, labels)
    return {**made, "visible": torch.ones(len(boxes), T), "scores": torch.tensor(scores)}


A, B, C = [0.0, 0, 10, 10], [20.0, 0, 30, 10], [40.0, 0, 60, 20]


def test_perfect_and_useless_detections():
    truth = [target([A, B], [1, 2])]
    assert score_tubes([result([A, B], [1, 2], [0.9, 0.8])], truth).box_ap == pytest.approx(1)
    assert score_tubes([result([A, B], [2, 1], [0.9, 0.8])], truth).box_ap == 0
    assert score_tubes([result([], [], [])], truth).box_ap == 0
    assert score_tubes([result([A], [1], [0.5])], [target([], [])]).box_ap is None


def test_a_false_detection_above_a_true_one_halves_the_precision():
    truth = [target([A], [1])]
    scores = score_tubes([result([C, A], [1, 1], [0.9, 0.8])], truth)
    assert scores.box_ap == pytest.approx(0.5)
    assert score_tubes([result([C, A], [1, 1], [0.7, 0.8])], truth).box_ap == pytest.approx(1)


def test_half_the_objects_give_the_precision_up_to_half_the_recall():
    """51 of COCO's 101 recalls are at most one half."""
    scores = score_tubes([result([A], [1], [0.9])], [target([A, B], [1, 1])])
    assert scores.box_ap == pytest.approx(51 / 101)
    assert scores.recall == pytest.approx(0.5)


def test_a_second_detection_of_one_object_is_false():
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
    found = result([A], [1], [0.9])
    found["boxes"][0, 1:] = torch.tensor(C)
    scores = score_tubes([found], [truth])
    assert scores.box_ap == pytest.approx(1), "the object never seen does not count"
    assert scores.visibility_error == pytest.approx(2 / 3)


def test_the_threshold_is_on_the_mean_over_frames():
    truth, found = target([A], [1]), result([A], [1], [0.9])
    found["boxes"][0, 2] = torch.tensor(C)  # mean IoU 2/3
    assert score_tubes([found], [truth]).box_ap == pytest.approx(1)
    assert score_tubes([found], [truth], threshold=0.7).box_ap == 0


class MadeMasks(dict):
    """Makes its masks when they are asked for, and knows how many there are at a time."""

    alive: ClassVar[WeakSet] = WeakSet()
    most = 0

    def __getitem__(self, name):
        if name != "masks":
            return super().__getitem__(name)
        masks = super().__getitem__(name).clone()
        self.alive.add(masks)
        MadeMasks.most = max(MadeMasks.most, len(self.alive))
        return masks


def test_masks_of_one_clip_at_a_time_are_in_memory():
    truth, found = target([A, B], [1, 1]), result([A, B], [1, 1], [0.9, 0.8])
    truth["masks"] = torch.ones(2, T, 12, 40, dtype=torch.bool)
    found["masks"] = truth["masks"][:, :, None]
    clips = 5
    scores = score_tubes([MadeMasks(found)] * clips, [MadeMasks(truth)] * clips)
    assert scores == score_tubes([found] * clips, [truth] * clips)
    assert 1 <= MadeMasks.most <= 2, "the true ones and those found"


def test_masks_and_keypoints():
    truth, found = target([A, B], [1, 1]), result([A, B], [1, 1], [0.9, 0.8])
    truth["masks"] = torch.zeros(2, T, 12, 40, dtype=torch.bool)
    truth["masks"][0, :, :10, :10] = truth["masks"][1, :, :10, 20:30] = True
    found["masks"] = truth["masks"][:, :, None].float() * 0.9
    found["masks"][1, :, :, :, 23:] = 0.1  # 3 of 10 columns are left
    truth["keypoints"] = torch.rand(2, T, 4, 3) * 5
    truth["keypoints"][..., 2] = 2
    truth["keypoints"][0, 0, 0, 2] = 0
    found["keypoints"] = truth["keypoints"] + torch.tensor([3.0, 4.0, 0.0])
    found["keypoints"][0, 0, 0] = 1000
    scores = score_tubes([found], [truth])
    assert scores.mask_ap == pytest.approx(51 / 101)
    assert scores.keypoint_error == pytest.approx(5 / 10)
    assert scores.pck == 0, "5 pixels are more than a fifth of 10"
    assert score_tubes([found], [target([A, B], [1, 1])]).keypoint_error is None


def test_keypoints_of_objects_that_are_not_found_are_wrong():
    truth, found = target([A, B], [1, 1]), result([A], [1], [0.9])
    truth["visible"][1, 1:] = False  # B shows in one frame
    truth["keypoints"] = torch.rand(2, T, 4, 3) * 5
    truth["keypoints"][..., 2] = 2
    truth["keypoints"][0, 0, 0, 2] = 0  # not known, wherever it is found
    found["keypoints"] = truth["keypoints"][:1].clone()
    found["keypoints"][0, :, :, 0] += 1.9  # of a box of 10 pixels
    found["keypoints"][0, 1, 2, 1] += 1.0
    known = 4 * T - 1 + 4
    assert score_tubes([found], [truth]).pck == pytest.approx((4 * T - 2) / known)
    assert score_tubes([found], [target([A, B], [1, 1])]).pck is None


def test_average_precision_is_the_definition():
    """Against the definition with loops: the best precision at each of 101 recalls or beyond."""
    boxes = random_tubes(40, T, size=400)
    truth = [{"boxes": boxes, "visible": torch.ones(40, T, dtype=torch.bool), "labels": torch.ones(40).long()}]
    order = torch.randperm(40)[:30]
    found = torch.cat([boxes[order], random_tubes(30, T) + 1000])
    scores = torch.rand(60)
    results = [{"boxes": found, "visible": torch.ones(60, T), "labels": torch.ones(60).long(), "scores": scores}]
    true = [n < 30 for n in scores.argsort(descending=True).tolist()]
    points = []
    for k in range(101):
        precisions = [sum(true[: n + 1]) / (n + 1) for n in range(60) if sum(true[: n + 1]) / 40 >= k / 100]
        points.append(max(precisions, default=0))
    assert score_tubes(results, truth).box_ap == pytest.approx(sum(points) / 101)


def test_clips_must_come_in_pairs():
    with pytest.raises(ValueError, match="results of 1 clips and targets of 0"):
        score_tubes([result([], [], [])], [])


def test_nothing_to_score_scores_nothing():
    scores = score_tubes([], [])
    assert (scores.box_ap, scores.recall, scores.by_class) == (None, None, {})


def test_frames_must_match():
    result = {"boxes": torch.zeros(0, 4, 4), "scores": torch.zeros(0), "labels": torch.zeros(0, dtype=torch.int64)}
    target = {"boxes": torch.zeros(0, 5, 4), "visible": torch.zeros(0, 5).bool(), "labels": torch.zeros(0).long()}
    with pytest.raises(ValueError, match="clip 0: results of 4 frames, and its targets of 5"):
        score_tubes([result], [target])
