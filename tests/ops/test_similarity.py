import numpy as np
import pytest
import torch
from torchvision.ops import box_iou as torchvision_iou

from res3d.ops.rle import Rle
from res3d.ops.similarity import COCO_SIGMAS, box_area, box_cover, box_iou, keypoint_distance, mask_iou, oks, pck


def boxes(rng, *shape: int) -> np.ndarray:
    corners = rng.uniform(0, 80, (*shape, 2))
    return np.concatenate([corners, corners + rng.uniform(0, 40, (*shape, 2))], axis=-1)


def test_box_iou_equals_torchvision():
    rng = np.random.default_rng(0)
    a, b = boxes(rng, 7), boxes(rng, 4)
    assert box_iou(a, b) == pytest.approx(torchvision_iou(torch.tensor(a), torch.tensor(b)).numpy())
    assert box_iou(a, a).diagonal() == pytest.approx(1)
    stacked = box_iou(np.stack([a, a + 3]), np.stack([b, b]))
    assert stacked[1] == pytest.approx(box_iou(a + 3, b))


def test_the_iou_of_empty_boxes_is_zero():
    a = np.array([[5.0, 5, 5, 9], [0, 0, 10, 10]])
    assert box_iou(a, a).tolist() == [[0, 0], [0, 1]]
    assert box_iou(np.zeros((0, 4)), a).shape == (0, 2)
    assert box_area(np.array([[4.0, 4, 2, 9]])).tolist() == [0]


def test_box_cover_is_relative_to_the_area_of_the_first_box():
    a = np.array([[0.0, 0, 10, 10], [0, 0, 40, 40], [5, 5, 5, 5]])
    b = np.array([[5.0, 5, 25, 25], [90, 90, 99, 99]])
    assert box_cover(a, b).tolist() == [[0.25, 0], [0.25, 0], [0, 0]]


def test_mask_iou_equals_the_iou_of_the_pixels():
    rng = np.random.default_rng(1)
    noise = [rng.random((30, 20)) < density for density in (0, 0.1, 0.5, 0.9, 1)]
    block = np.zeros((30, 20), bool)
    block[3:9, 4:7] = True
    masks = [*noise, block]
    rles = [Rle.encode(mask) for mask in masks]
    iou = mask_iou([*rles, None], rles)
    for n, one in enumerate(masks):
        for m, other in enumerate(masks):
            union = (one | other).sum()
            assert iou[n, m] == pytest.approx((one & other).sum() / union if union else 0)
    assert iou[-1].tolist() == [0] * len(rles)
    assert mask_iou([], rles).shape == (0, 6)


def test_mask_iou_refuses_masks_of_different_sizes():
    with pytest.raises(ValueError, match="masks of one frame must have one size"):
        mask_iou([Rle.encode(np.ones((3, 4), bool))], [Rle.encode(np.ones((4, 3), bool))])


def test_oks_and_pck_equal_a_loop_over_keypoints():
    rng = np.random.default_rng(2)
    a, b = rng.uniform(0, 50, (3, 17, 3)), rng.uniform(0, 50, (2, 17, 3))
    a[..., 2], b[..., 2] = rng.random((3, 17)) < 0.7, 1
    a[2, :, 2] = 0
    distance, area = keypoint_distance(a, b), np.array([400.0, 900.0])
    oks_matrix, pck_matrix = oks(distance, area, COCO_SIGMAS), pck(distance, 0.5 * np.sqrt(area))
    for n in range(2):
        for m in range(2):
            terms, is_correct = [], []
            for k in range(17):
                if a[n, k, 2] > 0:
                    d2 = (a[n, k, 0] - b[m, k, 0]) ** 2 + (a[n, k, 1] - b[m, k, 1]) ** 2
                    terms.append(np.exp(-d2 / (2 * area[m] * (2 * COCO_SIGMAS[k]) ** 2)))
                    is_correct.append(d2 <= 0.25 * area[m])
            assert oks_matrix[n, m] == pytest.approx(np.mean(terms))
            assert pck_matrix[n, m] == pytest.approx(np.mean(is_correct))
    assert oks_matrix[2].tolist() == pck_matrix[2].tolist() == [0, 0]


def test_oks_of_objects_without_area_is_one_for_equal_poses_and_zero_for_others():
    pose = np.array([[[3.0, 4, 2], [5, 6, 1]]])
    assert oks(keypoint_distance(pose, pose), np.array([[0.0]])) == pytest.approx(1)
    assert oks(keypoint_distance(pose, pose + np.array([1, 0, 0])), np.array([[0.0]])) == pytest.approx(0)


def test_coco_sigmas_equal_pycocotools():
    cocoeval = pytest.importorskip("pycocotools.cocoeval")
    assert pytest.approx(cocoeval.Params(iouType="keypoints").kpt_oks_sigmas) == COCO_SIGMAS
