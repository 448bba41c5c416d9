"""Fused layers compute what the separate layers compute, for every shape and kernel."""

import pytest
import torch
from helpers.norms import random_norm
from torch import nn

from res3d.backbone.convs import ReplicatedTimeConv3d
from res3d.inference.fused_conv import FusedConv, PackedConv, can_pack, choose_view

CONVS = {  # (kernel, stride, padding, dilation, groups), view
    "full": (((3, 3, 3), (2, 2, 2), (1, 1, 1), (1, 1, 1), 1), "volume"),
    "spatial": (((1, 3, 3), (1, 2, 2), (0, 1, 1), (1, 1, 1), 1), "frames"),
    "dilated spatial": (((1, 3, 3), (1, 1, 1), (0, 2, 2), (1, 2, 2), 1), "frames"),
    "temporal": (((3, 1, 1), (2, 1, 1), (1, 0, 0), (1, 1, 1), 1), "pixels"),
    "dilated temporal": (((3, 1, 1), (1, 1, 1), (2, 0, 0), (2, 1, 1), 1), "pixels"),
    "strided in time": (((1, 1, 1), (2, 2, 2), (0, 0, 0), (1, 1, 1), 1), "volume"),
    "pointwise": (((1, 1, 1), (1, 1, 1), (0, 0, 0), (1, 1, 1), 1), "frames"),
    "pointwise in time": (((1, 1, 1), (2, 1, 1), (0, 0, 0), (1, 1, 1), 1), "pixels"),
    "depthwise": (((3, 3, 3), (1, 1, 1), (1, 1, 1), (1, 1, 1), 4), "volume"),
    "grouped": (((1, 3, 3), (1, 1, 1), (0, 1, 1), (1, 1, 1), 2), "frames"),
}
KINDS = [
    FusedConv,
    pytest.param(
        PackedConv,
        marks=pytest.mark.skipif(not can_pack(torch.device("cpu"), torch.float32), reason="no oneDNN here"),
    ),
]


def make_conv(name: str, kind: type[nn.Conv3d] = nn.Conv3d, bias: bool = False) -> nn.Conv3d:
    kernel, stride, padding, dilation, groups = CONVS[name][0]
    return kind(4, 8, kernel, stride=stride, padding=padding, dilation=dilation, groups=groups, bias=bias)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CONVS)
@torch.no_grad()
def test_a_fused_layer_equals_convolution_norm_sum_and_relu(kind, name):
    conv, norm, x = make_conv(name), random_norm(8), torch.randn(2, 4, 7, 6, 5)
    expected = norm(conv(x))
    residual = torch.randn_like(expected)
    assert choose_view(conv) == CONVS[name][1]
    torch.testing.assert_close(kind(conv, norm, rectified=False, dtype=None)(x), expected, rtol=1e-4, atol=1e-5)
    layer = kind(conv, norm, rectified=True, dtype=None)
    torch.testing.assert_close(layer(x), expected.relu(), rtol=1e-4, atol=1e-5)
    summed = (expected + residual).relu()
    before = residual.clone()
    torch.testing.assert_close(layer(x, residual), summed, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(residual, before, rtol=0, atol=0)
    innermost = residual.contiguous(memory_format=torch.channels_last_3d)
    torch.testing.assert_close(layer(x, innermost, overwrite=True), summed, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["full", "temporal"])
@torch.no_grad()
def test_frames_are_replicated_at_the_borders(kind, name):
    conv, x = make_conv(name, ReplicatedTimeConv3d, bias=True), torch.randn(1, 4, 5, 6, 6)
    torch.testing.assert_close(kind(conv, rectified=False, dtype=None)(x), conv(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["full", "spatial", "temporal"])
def test_channels_of_the_output_lie_innermost_in_memory(kind, name):
    y = kind(make_conv(name), rectified=True, dtype=None)(torch.randn(2, 4, 7, 6, 5))
    assert y.is_contiguous(memory_format=torch.channels_last_3d)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["full", "spatial", "temporal"])
def test_an_empty_batch_gives_an_empty_output(kind, name):
    conv = make_conv(name)
    empty = torch.zeros(0, 4, 7, 6, 5)
    assert kind(conv, rectified=True, dtype=None)(empty).shape == conv(empty).shape


def test_the_output_has_the_type_of_the_layer():
    y = FusedConv(make_conv("full"), rectified=False, dtype=torch.bfloat16)(torch.randn(1, 4, 3, 4, 4))
    assert y.dtype == torch.bfloat16


def test_weights_are_packed_again_for_maps_of_another_size():
    conv = make_conv("full")
    packed = PackedConv(conv, rectified=False, dtype=None)
    for size in [(5, 6, 7), (5, 6, 7), (3, 9, 4), (5, 6, 7)]:
        for clips in (1, 3):
            x = torch.randn(clips, 4, *size)
            torch.testing.assert_close(packed(x), conv(x), rtol=1e-4, atol=1e-5)
