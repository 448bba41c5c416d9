"""Winograd convolution equals direct convolution, for every kernel, stride, padding and number of frames."""

from fractions import Fraction
from itertools import product

import pytest
import torch
from helpers.norms import random_norm
from torch import nn

from res3d.backbone.convs import ReplicatedTimeConv3d
from res3d.inference import winograd
from res3d.inference.fused_conv import FusedConv, PackedConv, can_pack
from res3d.inference.winograd import PackedWinogradConv, WinogradConv, choose_axis

needs_onednn = pytest.mark.skipif(not can_pack(torch.device("cpu"), torch.float32), reason="no oneDNN here")
CONVS = {  # (kernel, stride, padding), axis without a compiler, axis with a compiler
    "full": (((3, 3, 3), (1, 1, 1), (1, 1, 1)), "time", "time"),
    "full, strided in space": (((3, 3, 3), (1, 2, 2), (1, 1, 1)), "time", "time"),
    "full, not padded": (((3, 3, 3), (1, 1, 1), (0, 0, 0)), "time", "time"),
    "full, dilated in space": (((3, 3, 3), (1, 1, 1), (1, 2, 2)), "time", "time"),
    "full, large in space": (((3, 5, 5), (1, 1, 1), (1, 2, 2)), "time", "time"),
    "temporal": (((3, 1, 1), (1, 1, 1), (1, 0, 0)), None, "time"),
    "temporal, strided in space": (((3, 1, 1), (1, 2, 2), (1, 0, 0)), None, "time"),
    "spatial": (((1, 3, 3), (1, 1, 1), (0, 1, 1)), None, "rows"),
    "spatial, strided in columns": (((1, 3, 3), (1, 1, 2), (0, 1, 1)), None, "rows"),
    "spatial, not padded": (((1, 3, 5), (1, 1, 1), (0, 0, 2)), None, "rows"),
    "strided in time": (((3, 3, 3), (2, 2, 2), (1, 1, 1)), None, None),
    "strided in space": (((1, 3, 3), (1, 2, 2), (0, 1, 1)), None, None),
    "pointwise": (((1, 1, 1), (1, 1, 1), (0, 0, 0)), None, None),
    "long": (((5, 1, 1), (1, 1, 1), (2, 0, 0)), None, None),
    "padded by two": (((3, 1, 1), (1, 1, 1), (2, 0, 0)), None, None),
}
WITH_AXIS = [name for name, (_, _, axis) in CONVS.items() if axis]


@pytest.fixture
def always_winograd(monkeypatch):
    """Use Winograd convolution also without a compiler and in small layers, where it is slower."""
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    monkeypatch.setattr(winograd, "MIN_WORK", 0)


def make_conv(
    name: str, kind: type[nn.Conv3d] = nn.Conv3d, *, channels: tuple[int, int] = (6, 10), **options
) -> nn.Conv3d:
    kernel, stride, padding = CONVS[name][0]
    dilation = (1, 2, 2) if "dilated" in name else 1
    return kind(*channels, kernel, stride=stride, padding=padding, dilation=dilation, **options)


def test_the_three_matrices_give_the_convolution_exactly():
    """The coefficient of weight k times input m in output n is 1 if m = n + k, and 0 otherwise."""
    weights = [[Fraction(factor).limit_denominator(24) for factor in row] for row in winograd.WEIGHT_SUMS]
    assert [[float(factor) for factor in row] for row in weights] == [list(row) for row in winograd.WEIGHT_SUMS]
    for n, k, m in product(range(winograd.OUTPUTS), range(winograd.KERNEL), range(winograd.PRODUCTS)):
        terms = zip(winograd.OUTPUT_SUMS[n], weights, winograd.INPUT_SUMS, strict=True)
        assert sum(out * weight[k] * inputs[m] for out, weight, inputs in terms) == (m == n + k)


@pytest.mark.parametrize("name", CONVS)
def test_choose_axis_with_and_without_a_compiler(name):
    conv = make_conv(name, channels=(64, 64), device="meta")
    _, plain, compiled = CONVS[name]
    assert choose_axis(conv, sums_are_fused=False) == plain
    assert choose_axis(conv, sums_are_fused=True) == compiled


@pytest.mark.parametrize(
    "options", [{"channels": (32, 64)}, {"channels": (512, 512)}, {"channels": (64, 64), "groups": 2}], ids=str
)
def test_no_axis_for_few_or_many_channels_or_groups(options):
    conv = make_conv("full", device="meta", **options)
    assert choose_axis(conv, sums_are_fused=True) is None


@pytest.mark.parametrize("name", WITH_AXIS)
@torch.no_grad()
def test_a_winograd_layer_equals_convolution_norm_sum_and_relu(name, always_winograd):
    axis = CONVS[name][2]
    for bias, length in product((False, True), range(1, 11)):
        conv, norm = make_conv(name, bias=bias).double(), random_norm(10).double()
        size = (length, 6, 5) if axis == "time" else (3, length + 2, 6)
        if any(n + 2 * p < k for n, p, k in zip(size, conv.padding, conv.kernel_size, strict=True)):
            continue
        x = torch.randn(2, 6, *size).double()
        expected = norm(conv(x))
        residual = torch.randn_like(expected)
        layer = WinogradConv(conv, norm, axis=axis, rectified=False, dtype=None)
        torch.testing.assert_close(layer(x), expected, rtol=1e-10, atol=1e-10)
        layer.rectified = True
        before = residual.clone()
        torch.testing.assert_close(layer(x, residual), (expected + residual).relu(), rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(residual, before, rtol=0, atol=0)


@needs_onednn
@pytest.mark.parametrize("name", [name for name in WITH_AXIS if CONVS[name][2] == "time"])
@torch.no_grad()
def test_a_packed_layer_equals_convolution_norm_sum_and_relu(name, always_winograd):
    for clips, length in product((1, 3), range(3, 11)):
        conv, norm, x = make_conv(name), random_norm(10), torch.randn(clips, 6, length, 6, 5)
        expected = norm(conv(x))
        residual = torch.randn_like(expected)
        layer = PackedWinogradConv(conv, norm, rectified=False, dtype=None)
        torch.testing.assert_close(layer(x), expected, rtol=1e-4, atol=2e-5)
        layer.rectified = True
        summed, before = (expected + residual).relu(), residual.clone()
        torch.testing.assert_close(layer(x, residual), summed, rtol=1e-4, atol=2e-5)
        torch.testing.assert_close(residual, before, rtol=0, atol=0)
        innermost = residual.contiguous(memory_format=torch.channels_last_3d)
        y = layer(x, innermost, overwrite=True)
        torch.testing.assert_close(y, summed, rtol=1e-4, atol=2e-5)
        assert y.is_contiguous(memory_format=torch.channels_last_3d)
        if layer._uses_winograd(x, expected.shape[2]):
            assert y.data_ptr() == innermost.data_ptr()


@needs_onednn
@pytest.mark.parametrize("length", [3, 6])
@torch.no_grad()
def test_frames_are_replicated_at_the_borders(length, always_winograd):
    conv, x = make_conv("full", ReplicatedTimeConv3d, bias=True), torch.randn(2, 6, length, 6, 6)
    for layer in (
        WinogradConv(conv, axis="time", rectified=False, dtype=None),
        PackedWinogradConv(conv, rectified=False, dtype=None),
    ):
        torch.testing.assert_close(layer(x), conv(x), rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("name", ["full", "spatial"])
@pytest.mark.parametrize(
    ("length", "saves"), [(1, False), (2, False), (3, False), (4, True), (5, False), (6, True), (9, True)]
)
def test_few_frames_or_rows_are_computed_directly(name, length, saves, always_winograd):
    """Three padded positions need seven direct products, and six products would save too little."""
    layer = WinogradConv(make_conv(name), axis=CONVS[name][2], rectified=False, dtype=None)
    assert layer._uses_winograd(torch.zeros(1, 6, length, length, 8), length) == saves


def test_a_layer_of_plain_operations_uses_winograd_only_if_compiled():
    layer, x = WinogradConv(make_conv("full"), axis="time", rectified=False, dtype=None), torch.zeros(1, 6, 8, 8, 8)
    assert not layer._uses_winograd(x, 8)


@needs_onednn
def test_small_layers_are_computed_directly():
    layer = PackedWinogradConv(make_conv("full", channels=(64, 64)), rectified=False, dtype=None)
    assert layer._uses_winograd(torch.zeros(1, 64, 8, 14, 14), 8)
    assert not layer._uses_winograd(torch.zeros(1, 64, 8, 7, 7), 8)


@needs_onednn
def test_an_empty_batch_gives_an_empty_output(always_winograd):
    conv, empty = make_conv("full"), torch.zeros(0, 6, 8, 6, 5)
    assert PackedWinogradConv(conv, rectified=True, dtype=None)(empty).shape == conv(empty).shape
    layer = WinogradConv(conv, axis="time", rectified=True, dtype=None)
    assert layer(empty).shape == conv(empty).shape


@needs_onednn
@torch.no_grad()
def test_products_in_lower_precision_are_computed_directly(always_winograd):
    """The sums are up to five times as large as their inputs, and would amplify the errors of bfloat16 as much."""
    conv, x = make_conv("full"), torch.randn(1, 6, 8, 6, 6)
    packed = PackedWinogradConv(conv, rectified=False, dtype=None)
    for layer, direct in (
        (packed, PackedConv(conv, rectified=False, dtype=None)),
        (WinogradConv(conv, axis="time", rectified=False, dtype=None), FusedConv(conv, rectified=False, dtype=None)),
    ):
        with torch.autocast("cpu", torch.bfloat16):
            torch.testing.assert_close(layer(x), direct(x), rtol=0, atol=0)
        assert not torch.equal(layer(x), direct(x))
    torch.set_float32_matmul_precision("medium")
    try:
        assert not winograd.products_are_exact()
        torch.testing.assert_close(packed(x), PackedConv(conv, rectified=False, dtype=None)(x), rtol=0, atol=0)
    finally:
        torch.set_float32_matmul_precision("highest")
    assert winograd.products_are_exact()
