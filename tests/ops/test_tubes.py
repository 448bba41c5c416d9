import pytest
import torch
from helpers.tubes import random_tubes
from torchvision.ops import box_iou, clip_boxes_to_image

from res3d.ops.tubes import clip_tubes, fill_hidden, large_tubes, mean_boxes, tube_area, tube_iou


def naive_iou(a, b, offset=0):
    width = min(a[2], b[2]) - max(a[0], b[0]) + offset
    height = min(a[3], b[3]) - max(a[1], b[1]) + offset
    shared = max(width, 0) * max(height, 0)
    union = sum((x[2] - x[0] + offset) * (x[3] - x[1] + offset) for x in (a, b)) - shared
    return shared / union if shared else 0.0


@pytest.mark.parametrize("offset", [0, 1])
def test_iou_is_the_mean_over_visible_frames(offset):
    a, b = random_tubes(5, 4).double(), random_tubes(7, 4).double()
    visible = torch.rand(5, 4) > 0.4
    visible[0] = False
    result = tube_iou(a, b, visible=visible, offset=offset)
    unweighted = tube_iou(a, b, offset=offset)
    for n in range(5):
        for m in range(7):
            ious = [naive_iou(a[n, t].tolist(), b[m, t].tolist(), offset) for t in range(4)]
            visible_ious = [iou for iou, v in zip(ious, visible[n].tolist(), strict=True) if v]
            expected = sum(visible_ious) / len(visible_ious) if visible_ious else 0
            assert result[n, m].item() == pytest.approx(expected)
            assert unweighted[n, m].item() == pytest.approx(sum(ious) / 4)


def test_tube_iou_of_one_frame_equals_torchvisions_box_iou():
    a, b = random_tubes(20, 1), random_tubes(30, 1)
    assert torch.equal(tube_iou(a, b), box_iou(a[:, 0], b[:, 0]))


def test_hidden_frames_do_not_count_and_the_iou_of_empty_boxes_is_zero():
    tube = torch.tensor([[[10.0, 10, 30, 30], [0, 0, 0, 0], [0, 0, 0, 0]]])
    prediction = tube[:, :1].expand(-1, 3, -1)
    visible = torch.tensor([[True, False, False]])
    assert tube_iou(tube, prediction, visible=visible).item() == 1
    assert tube_iou(tube, prediction).item() == pytest.approx(1 / 3)
    assert tube_iou(torch.zeros(1, 1, 4), torch.zeros(1, 1, 4)).item() == 0


def test_functions_accept_zero_tubes():
    empty, tubes = torch.zeros(0, 3, 4), random_tubes(2, 3)
    assert tube_iou(empty, tubes).shape == (0, 2)
    assert tube_iou(tubes, empty).shape == (2, 0)
    assert clip_tubes(empty, (5, 5)).shape == (0, 3, 4)
    assert large_tubes(empty, 1).shape == tube_area(empty).shape == (0,)
    assert fill_hidden(empty, torch.zeros(0, 3, dtype=torch.bool)).shape == (0, 3, 4)


def test_clip_tubes_and_large_tubes():
    tubes = random_tubes(30, 3, size=120) - 20
    assert torch.equal(clip_tubes(tubes, (60, 90)).view(-1, 4), clip_boxes_to_image(tubes.view(-1, 4), (60, 90)))
    assert clip_tubes(tubes, (60, 90), offset=1).amax(dim=(0, 1)).tolist()[2:] == [89, 59]
    shrunk = torch.tensor([[[5.0, 5, 5, 9], [0, 0, 2, 2]], [[5, 5, 5, 9], [0, 0, 9, 1]]])
    assert large_tubes(shrunk, 2).tolist() == [True, False]
    assert large_tubes(shrunk, 2, offset=1).tolist() == [True, True]


def test_tube_area_is_the_mean_over_frames_with_a_box():
    tubes = torch.tensor([[[0.0, 0, 2, 3], [0, 0, 0, 0], [1, 1, 3, 5]], [[0, 0, 0, 0], [4, 4, 3, 9], [7, 7, 7, 7]]])
    assert tube_area(tubes).tolist() == [7, 0]
    assert tube_area(tubes, offset=1)[0].item() == pytest.approx((12 + 1 + 15) / 3)


def test_hidden_frames_take_the_nearest_visible_box():
    tubes = torch.arange(5.0)[None, :, None].expand(1, 5, 4)
    visible = torch.tensor([[False, True, False, True, False]])
    assert fill_hidden(tubes, visible)[0, :, 0].tolist() == [1, 1, 1, 3, 3]


def test_mean_boxes_average_over_visible_frames():
    tubes = torch.tensor(
        [[[0.0, 0, 10, 10], [20, 4, 30, 14], [9, 9, 9, 9]], [[1, 1, 2, 2], [3, 3, 4, 4], [5, 5, 6, 6]]]
    )
    visible = torch.tensor([[True, True, False], [False] * 3])
    assert mean_boxes(tubes, visible).tolist() == [[10, 2, 20, 12], [0, 0, 0, 0]]
