import numpy as np
import pytest
import torch
from helpers.tracks import random_video, track_of
from torchvision.ops import box_iou

from res3d.evaluation.similarity import (
    SIMILARITIES,
    areas_of,
    box_similarity,
    kinds_of,
    mask_similarity,
    pose_distance,
    pose_similarity,
    sigmas_of,
)
from res3d.ops import COCO_SIGMAS
from res3d.structures import COCO_PERSON, Category, FrameTracks, Rle, VideoTracks

FLY = Category(name="fly", keypoints=("head", "tail"))
POSES = [[5, 20, 2], [15, 20, 1]], [[8, 10, 2], [0, 0, 0]]


def frame(boxes, **fields) -> FrameTracks:
    count = len(boxes)
    return FrameTracks(
        frame=0,
        boxes=np.asarray(boxes, np.float32).reshape(-1, 4),
        scores=np.ones(count, np.float32),
        ids=np.arange(1, count + 1),
        labels=np.ones(count, np.int64),
        **fields,
    )


def square(x: int, side: int) -> Rle:
    mask = np.zeros((20, 30), bool)
    mask[:side, x : x + side] = True
    return Rle.encode(mask)


def test_box_similarity_equals_torchvision():
    rng = np.random.default_rng(0)
    corners = rng.uniform(0, 50, (9, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(1, 40, (9, 2))], axis=1)
    truth, predictions = frame(boxes[:4]), frame(boxes[4:])
    expected = box_iou(torch.tensor(truth.boxes), torch.tensor(predictions.boxes)).numpy()
    np.testing.assert_allclose(box_similarity(truth, predictions, None), expected, rtol=1e-5)


def test_mask_similarity_is_the_iou_of_pixels():
    truth = frame([[0, 0, 9, 9]] * 2, masks=(square(0, 10), square(5, 8)))
    predictions = frame([[0, 0, 9, 9]] * 3, masks=(square(0, 10), square(5, 10), square(20, 4)))
    expected = [[1, 50 / 150, 0], [40 / 124, 64 / 100, 0]]
    np.testing.assert_allclose(mask_similarity(truth, predictions, None), expected)


@pytest.mark.parametrize("category", [FLY, None])
def test_pose_similarity_equals_a_loop_over_annotated_keypoints(category):
    truth = frame([[0, 0, 20, 20], [0, 0, 10, 10]], keypoints=np.array(POSES, np.float32))
    points = np.array([[[6, 22, 1], [15, 24, 1]], [[5, 20, 1], [15, 20, 0]]], np.float32)
    predictions = frame([[0, 0, 1, 1]] * 2, keypoints=points)
    similarity = pose_similarity(truth, predictions, category)
    for n, area in enumerate((400, 100)):
        for m in range(2):
            terms = []
            for (x, y, v), (x2, y2, v2) in zip(POSES[n], points[m].tolist(), strict=True):
                if v:
                    squared = (x - x2) ** 2 + (y - y2) ** 2
                    terms.append(np.exp(-squared / (2 * area * (2 * 0.05) ** 2)) if v2 else 0)
            assert similarity[n, m] == pytest.approx(np.mean(terms))


def test_poses_of_an_empty_side_have_no_similarities():
    truth = frame([[0, 0, 20, 20]], keypoints=np.array(POSES[:1], np.float32))
    assert pose_similarity(truth, frame([]), FLY).shape == (1, 0)
    assert pose_similarity(frame([]), truth, FLY).shape == (0, 1)


def test_pose_distance_is_nan_if_not_annotated_and_infinite_if_not_predicted():
    truth = np.array(POSES, np.float32)
    predictions = np.array([[[5, 24, 1], [15, 20, 0]]], np.float32)
    expected = np.array([[[4, np.inf]], [[np.hypot(3, 14), np.nan]]])
    np.testing.assert_allclose(pose_distance(truth, predictions), expected, rtol=1e-6)
    with pytest.raises(ValueError, match="the ground truth has 2 keypoints per object, the predictions 3"):
        pose_distance(truth, np.ones((1, 3, 3), np.float32))


def test_areas_are_of_masks_where_there_are_masks():
    boxes = [[0, 0, 20, 10], [0, 0, 5, 5]]
    assert areas_of(frame(boxes)).tolist() == [200, 25]
    assert areas_of(frame(boxes, masks=(square(0, 4), None))).tolist() == [16, 25]


def test_sigmas_of_coco_apply_to_its_keypoints_only():
    assert sigmas_of(COCO_PERSON) == COCO_SIGMAS
    assert sigmas_of(Category(name="human", keypoints=COCO_PERSON.keypoints)) == COCO_SIGMAS
    assert sigmas_of(FLY) == sigmas_of(None) == 0.05


def test_kinds_are_those_that_any_track_has_data_for():
    assert kinds_of(random_video()) == set(SIMILARITIES) == {"box", "mask", "pose"}
    assert kinds_of(random_video(masks=False)) == {"box", "pose"}
    assert kinds_of(VideoTracks(tracks=(track_of(1, [0], [[0, 0, 9, 9]]),), num_frames=1)) == {"box"}
