import pytest
import torch
from helpers.tubes import random_tubes
from torchvision.models.detection import roi_heads

from res3d.ops import keypoints
from res3d.ops.keypoints import heatmaps_to_keypoints


@pytest.mark.parametrize("batch_positions", [1, 5000, 1 << 24])
def test_keypoints_equal_torchvision(batch_positions, monkeypatch):
    monkeypatch.setattr(keypoints, "BATCH_POSITIONS", batch_positions)
    special = [[5.2, 5.1, 5.9, 5.3], [7.0, 7.0, 7.0, 7.0], [-30.0, -20.0, 90.0, 70.0]]  # below a pixel, empty, large
    boxes = random_tubes(30, 1, size=60, dtype=torch.float64)[:, 0] - 15
    boxes = torch.cat([boxes, torch.tensor(special, dtype=torch.float64)])
    heatmaps = torch.randn(len(boxes), 5, 14, 14, dtype=torch.float64)
    points, scores = heatmaps_to_keypoints(heatmaps, boxes)
    expected_points, expected_scores = roi_heads.heatmaps_to_keypoints(heatmaps, boxes)
    torch.testing.assert_close(points, expected_points.double(), rtol=0, atol=1e-4)  # torchvision returns float32
    torch.testing.assert_close(scores, expected_scores.double(), rtol=0, atol=1e-5)


def test_a_keypoint_is_at_the_maximum_of_its_heatmap():
    heatmaps = torch.zeros(1, 2, 8, 8)
    heatmaps[0, 0, 6, 1], heatmaps[0, 1, 2, 5] = 3.0, 2.0
    points, scores = heatmaps_to_keypoints(heatmaps, torch.tensor([[100.0, 200, 180, 360]]))
    expected = torch.tensor(
        [[[100 + 80 * 1.5 / 8, 200 + 160 * 6.5 / 8, 1], [100 + 80 * 5.5 / 8, 200 + 160 * 2.5 / 8, 1]]]
    )
    assert ((points - expected).abs() <= torch.tensor([1.0, 1.0, 0.0])).all()
    torch.testing.assert_close(scores, torch.tensor([[3.0, 2.0]]), rtol=0.02, atol=0)


def test_zero_heatmaps():
    points, scores = heatmaps_to_keypoints(torch.zeros(0, 5, 14, 14), torch.zeros(0, 4))
    assert (points.shape, scores.shape) == ((0, 5, 3), (0, 5))
