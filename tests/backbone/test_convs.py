import pytest
import torch
import torch.nn.functional as F
from torch import nn

from res3d.backbone import BlockSpec, ConvSpec
from res3d.backbone.convs import FACTORINGS, FactoredConv, ReplicatedTimeConv3d, equal_parameters_middle, full_conv


def factored(factor: str, **options) -> FactoredConv:
    """Return a factored 3×5×7 convolution from 4 to 6 channels, with 5 channels between the factors."""
    defaults = {"stride": (2, 1, 3), "padding": (1, 2, 3), "dilation": (1, 1, 1), "bias": True}
    norm, padding = nn.BatchNorm3d, "zeros"
    settings = {**defaults, **options, "norm": norm, "temporal_padding": padding}
    return FactoredConv(FACTORINGS[factor], 4, 5, 6, (3, 5, 7), **settings)


@pytest.mark.parametrize("stride", [(1, 1, 1), (2, 1, 2)])
def test_replicated_padding_equals_a_clip_with_copied_border_frames(stride):
    conv = ReplicatedTimeConv3d(2, 3, (5, 3, 3), stride=stride, padding=(2, 1, 1))
    clip = torch.randn(1, 2, 4, 6, 7)
    padded = torch.cat([clip[:, :, :1]] * 2 + [clip] + [clip[:, :, -1:]] * 2, dim=2)
    expected = F.conv3d(padded, conv.weight, conv.bias, stride, (0, 1, 1))
    torch.testing.assert_close(conv(clip), expected)


def test_replicated_padding_is_used_only_where_time_is_padded():
    assert type(full_conv(1, 1, (3, 1, 1), padding=(1, 0, 0), temporal_padding="replicate")) is ReplicatedTimeConv3d
    assert type(full_conv(1, 1, (1, 3, 3), padding=(0, 1, 1), temporal_padding="replicate")) is nn.Conv3d
    assert type(full_conv(1, 1, (3, 1, 1), padding=(1, 0, 0))) is nn.Conv3d


@pytest.mark.parametrize(
    ("factor", "kernel", "factors"),
    [
        ("2plus1d", (3, 5, 7), [("spatial", (1, 5, 7)), ("temporal", (3, 1, 1))]),
        ("1plus2d", (3, 5, 7), [("temporal", (3, 1, 1)), ("spatial", (1, 5, 7))]),
        ("separable", (3, 5, 7), [("vertical", (1, 5, 1)), ("horizontal", (1, 1, 7)), ("temporal", (3, 1, 1))]),
        ("2plus1d", (1, 3, 3), [("spatial", (1, 3, 3))]),
        ("1plus2d", (1, 3, 3), [("spatial", (1, 3, 3))]),
        ("separable", (3, 1, 3), [("horizontal", (1, 1, 3)), ("temporal", (3, 1, 1))]),
        ("2plus1d", (1, 1, 1), [("spatial", (1, 1, 1))]),
    ],
)
def test_factors_of_a_kernel(factor, kernel, factors):
    assert FACTORINGS[factor].of(kernel) == factors


def test_a_factored_convolution_runs_its_factors_in_order():
    conv = factored("2plus1d").eval()
    assert [name for name, _ in conv.named_children()] == ["spatial", "norm", "act", "temporal"]
    clip = torch.randn(2, 4, 5, 9, 11)
    x = F.conv3d(clip, conv.spatial.weight, None, (1, 1, 3), (0, 2, 3))
    x = F.relu(conv.norm(x))
    expected = F.conv3d(x, conv.temporal.weight, conv.temporal.bias, (2, 1, 1), (1, 0, 0))
    torch.testing.assert_close(conv(clip), expected)
    assert conv(clip).shape == (2, 6, 3, 9, 4)


def test_separable_factors_equal_one_convolution_with_the_product_of_their_kernels():
    conv = factored("separable", bias=False).double()
    assert [name for name, _ in conv.named_children()] == ["vertical", "horizontal", "temporal"]
    vertical, horizontal, temporal = (c.weight.flatten(2) for c in conv)
    kernel = torch.einsum("miy,nmx,ont->oityx", vertical, horizontal, temporal)
    clip = torch.randn(1, 4, 5, 9, 11, dtype=torch.float64)
    torch.testing.assert_close(conv(clip), F.conv3d(clip, kernel, None, (2, 1, 3), (1, 2, 3)))


@pytest.mark.parametrize("factor", FACTORINGS)
def test_only_the_last_factor_has_a_bias(factor):
    biases = [m.bias is not None for m in factored(factor) if isinstance(m, nn.Conv3d)]
    assert biases == [False] * (len(biases) - 1) + [True]


def test_dilation_is_split_along_the_axes_of_the_factors():
    conv = factored("2plus1d", dilation=(2, 3, 1))
    assert conv.spatial.dilation == (1, 3, 1)
    assert conv.temporal.dilation == (2, 1, 1)


def test_2plus1d_has_the_parameter_count_of_the_full_convolution():
    conv = ConvSpec(kernel=(3, 3, 3), factor="2plus1d")
    assert conv.equal_parameters_middle(64, 64) == 144
    assert conv.equal_parameters_middle(64, 128) == 230
    assert conv.equal_parameters_middle(128, 128) == 288
    block = BlockSpec(convs=(ConvSpec(kernel=(3, 3, 3), factor="2plus1d", middle="block"),) * 2)
    assert [plan.middle for plan in block.plan(64, 128, (2, 2, 2))] == [230, 230]
    block = BlockSpec(convs=(conv,) * 2)
    assert [plan.middle for plan in block.plan(64, 128, (2, 2, 2))] == [230, 288]


def test_three_factors_have_the_parameter_count_of_the_full_convolution():
    conv = ConvSpec(kernel=(3, 3, 3), factor="separable")
    middle = conv.equal_parameters_middle(64, 128)

    def parameters(m: int) -> int:
        return 64 * m * 3 + m * m * 3 + m * 128 * 3

    assert parameters(middle) <= 64 * 128 * 27 < parameters(middle + 1)
    assert ConvSpec(kernel=(1, 3, 3), factor="separable").equal_parameters_middle(64, 64) == 96


def test_there_is_at_least_one_channel_between_factors():
    assert equal_parameters_middle([(1, 3, 3), (3, 1, 1)], (1, 1, 1), 1, 1) == 1
