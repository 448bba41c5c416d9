import pytest
import torch
from helpers.tubes import random_tubes
from torchvision.models.detection import roi_heads

from res3d.ops import masks
from res3d.ops.masks import BoxMasks, paste_masks


def boxes_in_and_out() -> torch.Tensor:
    """Return boxes of many sizes: some exceed the frame, one is smaller than a pixel, one is empty."""
    special = [[5.2, 5.1, 5.9, 5.3], [7.0, 7.0, 7.0, 7.0], [-30.0, -20.0, 90.0, 70.0]]
    ordinary = random_tubes(30, 1, size=60, dtype=torch.float64)[:, 0] - 15
    return torch.cat([ordinary, torch.tensor(special, dtype=torch.float64)])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("batch_pixels", [1, 1 << 24])
def test_pasted_masks_equal_torchvision(dtype, batch_pixels, monkeypatch):
    monkeypatch.setattr(masks, "BATCH_PIXELS", batch_pixels)
    boxes = boxes_in_and_out().to(dtype)
    boxes = boxes[(boxes[:, 2:] > 3).all(dim=1)]  # torchvision fails on boxes outside the frame
    probabilities = torch.rand(len(boxes), 28, 28, dtype=dtype)
    pasted = paste_masks(probabilities, boxes, (48, 64))
    expected = roi_heads.paste_masks_in_image(probabilities[:, None], boxes, (48, 64))[:, 0]
    torch.testing.assert_close(pasted, expected, rtol=0, atol=1e-5 if dtype == torch.float32 else 1e-12)


def test_a_mask_of_a_box_outside_the_frame_is_empty():
    outside = torch.tensor([[-50.0, -50, -20, -20], [70, 10, 90, 30], [10, 60, 30, 80]])
    assert not paste_masks(torch.ones(3, 28, 28), outside, (48, 64)).any()


def test_zero_masks():
    assert paste_masks(torch.zeros(0, 28, 28), torch.zeros(0, 4), (10, 12)).shape == (0, 10, 12)


def test_box_masks_are_pasted_one_by_one_or_all_together():
    boxes, probabilities = random_tubes(3, 4, size=60), torch.rand(3, 4, 14, 14)
    box_masks = BoxMasks(probabilities, boxes, (50, 70))
    whole = box_masks.whole()
    assert whole.shape == (3, 4, 1, 50, 70)
    assert len(box_masks) == 3
    for d in range(3):
        for t in range(4):
            torch.testing.assert_close(box_masks[d, t], whole[d, t, 0])


@pytest.mark.parametrize(("index", "message"), [(0, r"not \[0\]"), ((0, 1, 2), r"not \[\(0, 1, 2\)\]")])
def test_the_index_of_a_box_mask_must_be_a_pair(index, message):
    box_masks = BoxMasks(torch.rand(3, 4, 14, 14), random_tubes(3, 4), (50, 70))
    with pytest.raises(IndexError, match=r"the index of a mask must be a pair \[d, t\], " + message):
        box_masks[index]
