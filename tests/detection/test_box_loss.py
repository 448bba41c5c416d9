import torch
import torch.nn.functional as F
from helpers.tubes import random_tubes

from res3d.detection.box_loss import BETA, tube_box_loss
from res3d.ops.box_code import BoxCode

CODE = BoxCode(weights=(10.0, 10.0, 5.0, 5.0))


def test_loss_of_a_tube_is_its_mean_over_visible_frames():
    deltas, references, boxes = torch.randn(4, 5, 4), random_tubes(4, 5), random_tubes(4, 5)
    visible = torch.rand(4, 5) > 0.5
    visible[:, 0] = True
    expected = 0.0
    for n in range(4):
        frames = [t for t in range(5) if visible[n, t]]
        targets = CODE.encode(boxes[n, frames], references[n, frames])
        expected += F.smooth_l1_loss(deltas[n, frames], targets, beta=BETA, reduction="sum").item() / len(frames)
    torch.testing.assert_close(tube_box_loss(CODE, deltas, references, boxes, visible).item(), expected)


def test_hidden_frames_and_thin_references_have_zero_gradient():
    deltas = torch.randn(3, 4, 4, requires_grad=True)
    references, boxes = random_tubes(3, 4), random_tubes(3, 4)
    visible = torch.tensor([[True, False, True, False], [False] * 4, [True] * 4])
    boxes[~visible] = 0
    references[2, 1] = torch.tensor([128.0, 3, 128, 9])  # clipped at the frame's edge: width 0
    loss = tube_box_loss(CODE, deltas, references, boxes, visible)
    loss.backward()
    assert torch.isfinite(loss)
    assert torch.isfinite(deltas.grad).all()
    counted = visible.clone()
    counted[2, 1] = False
    assert torch.equal(deltas.grad.any(dim=2), counted)
