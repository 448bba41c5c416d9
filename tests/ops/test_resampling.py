import pytest
import torch
import torch.nn.functional as F

from res3d.ops.resampling import cubic_weights, linear_weights

LENGTHS = torch.tensor([1, 3, 6, 7, 20, 41])


@pytest.mark.parametrize("size", [2, 6, 16])
def test_linear_weights_resize_and_paste_as_torch_interpolate(size):
    starts, count = torch.tensor([0, 5, -4, 30, -3, -50]), 25
    maps = torch.randn(len(LENGTHS), size, dtype=torch.float64)
    pasted = (linear_weights(size, LENGTHS, starts, count) @ maps[:, :, None])[..., 0]
    expected = torch.zeros(len(LENGTHS), count, dtype=torch.float64)
    for r, (length, start) in enumerate(zip(LENGTHS.tolist(), starts.tolist(), strict=True)):
        resized = F.interpolate(maps[r][None, None], size=length, mode="linear", align_corners=False)[0, 0]
        for position in range(max(start, 0), min(start + length, count)):
            expected[r, position] = resized[position - start]
    torch.testing.assert_close(pasted, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("size", [2, 6, 16])
def test_cubic_weights_resize_as_torch_interpolate(size):
    maps = torch.randn(len(LENGTHS), size, dtype=torch.float64)
    resized = (cubic_weights(size, LENGTHS, 41) @ maps[:, :, None])[..., 0]
    for r, length in enumerate(LENGTHS.tolist()):
        # A map that is constant along the other axis makes the bicubic interpolation one-dimensional.
        plane = maps[r][None, None, :, None].expand(1, 1, size, 4)
        expected = F.interpolate(plane, size=(length, 4), mode="bicubic", align_corners=False)[0, 0, :, 0]
        torch.testing.assert_close(resized[r, :length], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("weights", [linear_weights(5, LENGTHS, 0 * LENGTHS, 60), cubic_weights(5, LENGTHS, 60)])
def test_weights_of_a_position_in_a_map_sum_to_one(weights):
    inside = torch.arange(60) < LENGTHS[:, None]
    assert weights.shape == (len(LENGTHS), 60, 5)
    torch.testing.assert_close(weights.sum(dim=2)[inside], torch.ones(int(inside.sum()), dtype=torch.float64))
