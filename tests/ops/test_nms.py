import pytest
import torch
from helpers.tubes import moving_tubes, random_tubes
from torchvision.ops import batched_nms, nms

from res3d.ops import nms as module
from res3d.ops.nms import batched_tube_nms, tube_nms
from res3d.ops.tubes import tube_iou


def naive_nms(tubes, scores, threshold):
    iou = tube_iou(tubes, tubes)
    survivors: list[int] = []
    for n in sorted(range(len(tubes)), key=lambda i: -scores[i].item()):
        if all(iou[n, k].item() <= threshold for k in survivors):
            survivors.append(n)
    return survivors


@pytest.mark.parametrize("block", [7, 256])
@pytest.mark.parametrize("frames", [1, 4])
def test_nms_is_greedy_by_score(frames, block, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", block)
    tubes = moving_tubes(80, frames)
    scores = torch.rand(80).round(decimals=1)  # many equal scores: the earlier tube wins
    indices = tube_nms(tubes, scores, 0.5)
    assert indices.tolist() == naive_nms(tubes, scores, 0.5)
    assert 10 < len(indices) < 70


def test_nms_of_one_frame_equals_torchvision():
    tubes, scores = moving_tubes(600, 1, size=300), torch.rand(600)
    assert torch.equal(tube_nms(tubes, scores, 0.5), nms(tubes[:, 0], scores, 0.5))


@pytest.mark.parametrize("frames", [1, 3])
def test_groups_do_not_suppress_each_other(frames):
    tubes, scores, groups = moving_tubes(90, frames), torch.rand(90), torch.randint(4, (90,))
    indices = batched_tube_nms(tubes, scores, groups, 0.5)
    by_group = [torch.where(groups == g)[0] for g in range(4)]
    expected = {int(m[k]) for m in by_group for k in naive_nms(tubes[m], scores[m], 0.5)}
    assert set(indices.tolist()) == expected
    assert scores[indices].tolist() == sorted(scores[indices].tolist(), reverse=True)
    if frames == 1:
        assert torch.equal(indices, batched_nms(tubes[:, 0], scores, groups, 0.5))
        assert torch.equal(batched_tube_nms(tubes, scores, groups, 0.5, offset=1)[:1], scores.argmax()[None])


def test_nms_of_equal_frames_equals_nms_of_one_frame():
    tubes, scores, groups = moving_tubes(200, 1).double(), torch.rand(200).double(), torch.randint(3, (200,))
    one = batched_tube_nms(tubes, scores, groups, 0.6)
    assert torch.equal(batched_tube_nms(tubes.expand(-1, 5, -1), scores, groups, 0.6), one)


def test_nms_of_zero_tubes():
    empty = torch.zeros(0, 3, 4)
    assert tube_nms(empty, torch.zeros(0), 0.5).tolist() == []
    assert batched_tube_nms(empty, torch.zeros(0), torch.zeros(0, dtype=torch.long), 0.5).tolist() == []


def test_tubes_that_leave_the_picture_together_suppress_each_other():
    """Frames in which both tubes are empty do not count."""
    tubes = random_tubes(1, 8).repeat(3, 1, 1)
    tubes[:2, 3:] = torch.tensor([64.0, 10, 64, 20])  # clipped at the border of the frame
    tubes[2, :3] += 500
    tubes[2, 3:] = torch.tensor([0.0, 0, 0, 0])  # another object, which leaves at the same time
    scores = torch.tensor([0.9, 0.8, 0.7])
    assert tube_nms(tubes, scores, 0.7).tolist() == [0, 2]
    tubes[1, 3:] = tubes[1, 2] + 1  # one of the two stays: they overlap in three of eight frames
    assert tube_nms(tubes, scores, 0.5).tolist() == [0, 1, 2]
