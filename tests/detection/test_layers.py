import pytest
import torch
import torch.nn.functional as F
from torch import nn

from res3d.backbone import NormSpec
from res3d.detection.layers import WindowConv3d, conv_norm_act, full_precision, idle_loss


@pytest.mark.parametrize("length", [1, 2, 5])
@pytest.mark.parametrize("frames", [1, 3, 5])
@pytest.mark.parametrize("size", [1, 4])
def test_window_conv_equals_conv3d(length, frames, size):
    layer = WindowConv3d(3, 6, frames, size).double()
    x = torch.randn(2, 3, length, size, size, dtype=torch.float64)
    expected = F.conv3d(x, layer.weight, layer.bias, padding=(frames // 2, 0, 0))
    torch.testing.assert_close(layer(x), expected)


def test_window_conv_of_one_frame_is_a_linear_layer():
    layer, linear = WindowConv3d(3, 6, 1, 4), nn.Linear(48, 6)
    layer.load_state_dict({"weight": linear.weight.view(6, 3, 1, 4, 4), "bias": linear.bias})
    x = torch.randn(5, 3, 2, 4, 4)
    for t in range(2):
        torch.testing.assert_close(layer(x)[:, :, t, 0, 0], linear(x[:, :, t].flatten(1)))


def test_conv_has_a_bias_or_a_norm():
    with_bias, with_norm = conv_norm_act(2, 4, 3, 3, None), conv_norm_act(2, 4, 1, 3, NormSpec(), act=False)
    assert [name for name, _ in with_bias.named_children()] == ["conv", "act"]
    assert with_bias.conv.bias is not None
    assert [name for name, _ in with_norm.named_children()] == ["conv", "norm"]
    assert with_norm.conv.bias is None
    for layer in (with_bias, with_norm):
        assert layer(torch.rand(1, 2, 4, 5, 6)).shape == (1, 4, 4, 5, 6)


def test_full_precision_converts_half_types_only():
    assert full_precision(torch.zeros(1, dtype=torch.bfloat16)).dtype == torch.float32
    assert full_precision(torch.zeros(1, dtype=torch.float64)).dtype == torch.float64


def test_idle_loss_is_zero_and_reaches_every_parameter():
    module = nn.Linear(2, 3)
    loss = idle_loss(module)
    loss.backward()
    assert loss.item() == 0
    assert all(p.grad is not None and not p.grad.any() for p in module.parameters())
