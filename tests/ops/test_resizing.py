import pytest
import torch
from helpers.tubes import random_tubes
from torchvision.models.detection.transform import resize_boxes as torchvision_resize_boxes

from res3d.ops.resizing import resize_boxes, size_ratios


@pytest.mark.parametrize(("old", "new"), [((480, 640), (800, 1066)), ((97, 131), (64, 86)), ((50, 50), (50, 50))])
def test_resized_boxes_equal_torchvision(old, new):
    tubes = random_tubes(6, 3)
    resized = resize_boxes(tubes, old, new)
    for t in range(3):
        assert torch.equal(resized[:, t], torchvision_resize_boxes(tubes[:, t], list(old), list(new)))


def test_size_ratios_are_float32_on_the_device_of_the_tensor():
    height, width = size_ratios((3, 10), (1, 25), torch.empty(0, 4, dtype=torch.float64, device="meta"))
    assert height.dtype == width.dtype == torch.float32
    assert height.device.type == width.device.type == "meta"
    height, width = size_ratios((3, 10), (1, 25), torch.empty(0))
    assert height.item() == (torch.tensor(1.0) / 3).item()
    assert width.item() == 2.5


def test_resizing_there_and_back_restores_boxes():
    boxes = random_tubes(5, 1)[:, 0]
    torch.testing.assert_close(resize_boxes(resize_boxes(boxes, (40, 30), (17, 99)), (17, 99), (40, 30)), boxes)
