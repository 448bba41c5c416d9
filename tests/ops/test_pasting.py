import pytest
import torch
from helpers.tubes import random_tubes
from torchvision.models.detection.roi_heads import heatmaps_to_keypoints as their_keypoints
from torchvision.models.detection.roi_heads import paste_masks_in_image

from res3d.ops import keypoints, masks
from res3d.ops.keypoints import heatmaps_to_keypoints
from res3d.ops.masks import paste_masks


def boxes_in_and_out() -> torch.Tensor:
    """Of all sizes, some beyond the frame's edges, one a fraction of a pixel, one empty."""
    odd = torch.tensor([[5.2, 5.1, 5.9, 5.3], [7.0, 7.0, 7.0, 7.0], [-30.0, -20.0, 90.0, 70.0]], dtype=torch.float64)
    return torch.cat([random_tubes(30, 1, size=60, dtype=torch.float64)[:, 0] - 15, odd])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("at_once", [1, 1 << 24])
def test_masks_are_pasted_as_torchvision_does(dtype, at_once, monkeypatch):
    monkeypatch.setattr(masks, "AT_ONCE", at_once)
    boxes = boxes_in_and_out().to(dtype)
    boxes = boxes[(boxes[:, 2:] > 3).all(dim=1)]  # theirs fails on boxes that lie outside the frame
    probabilities = torch.rand(len(boxes), 28, 28, dtype=dtype)
    ours = paste_masks(probabilities, boxes, (48, 64))
    theirs = paste_masks_in_image(probabilities[:, None], boxes, (48, 64))[:, 0]
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-5 if dtype == torch.float32 else 1e-12)


@pytest.mark.parametrize("at_once", [1, 5000, 1 << 24])
def test_keypoints_are_found_as_torchvision_does(at_once, monkeypatch):
    monkeypatch.setattr(keypoints, "AT_ONCE", at_once)
    boxes = boxes_in_and_out()
    heatmaps = torch.randn(len(boxes), 5, 14, 14, dtype=torch.float64)
    places, scores = heatmaps_to_keypoints(heatmaps, boxes)
    their_places, their_scores = their_keypoints(heatmaps, boxes)
    torch.testing.assert_close(places, their_places.double(), rtol=0, atol=1e-4)  # theirs are float32
    torch.testing.assert_close(scores, their_scores.double(), rtol=0, atol=1e-5)


def test_a_mask_outside_the_frame_is_nowhere():
    outside = torch.tensor([[-50.0, -50, -20, -20], [70, 10, 90, 30], [10, 60, 30, 80]])
    assert not paste_masks(torch.ones(3, 28, 28), outside, (48, 64)).any()


def test_none_from_none():
    assert paste_masks(torch.zeros(0, 28, 28), torch.zeros(0, 4), (10, 12)).shape == (0, 10, 12)
    places, scores = heatmaps_to_keypoints(torch.zeros(0, 5, 14, 14), torch.zeros(0, 4))
    assert (places.shape, scores.shape) == ((0, 5, 3), (0, 5))


def test_box_masks_are_pasted_one_at_a_time_or_whole():
    boxes, probabilities = random_tubes(3, 4, size=60), torch.rand(3, 4, 14, 14)
    held = masks.BoxMasks(probabilities, boxes, (50, 70))
    whole = held.whole()
    assert whole.shape == (3, 4, 1, 50, 70)
    assert len(held) == 3
    for d in range(3):
        for t in range(4):
            torch.testing.assert_close(held[d, t], whole[d, t, 0])
