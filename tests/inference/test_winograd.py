"""Filtering by fewer products gives what the convolution gives, whatever its shape and wherever tiles end."""

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
WIDE = {  # kernel, stride, padding: the axis without a compiler, the axis with one
    "full": (((3, 3, 3), (1, 1, 1), (1, 1, 1)), "time", "time"),
    "full, strided in space": (((3, 3, 3), (1, 2, 2), (1, 1, 1)), "time", "time"),
    "full, not padded": (((3, 3, 3), (1, 1, 1), (0, 0, 0)), "time", "time"),
    "full, dilated in space": (((3, 3, 3), (1, 1, 1), (1, 2, 2)), "time", "time"),
    "full, of large windows": (((3, 5, 5), (1, 1, 1), (1, 2, 2)), "time", "time"),
    "temporal": (((3, 1, 1), (1, 1, 1), (1, 0, 0)), None, "time"),
    "temporal, strided in space": (((3, 1, 1), (1, 2, 2), (1, 0, 0)), None, "time"),
    "spatial": (((1, 3, 3), (1, 1, 1), (0, 1, 1)), None, "rows"),
    "spatial, strided in columns": (((1, 3, 3), (1, 1, 2), (0, 1, 1)), None, "rows"),
    "spatial, not padded": (((1, 3, 5), (1, 1, 1), (0, 0, 2)), None, "rows"),
    "strided in time": (((3, 3, 3), (2, 2, 2), (1, 1, 1)), None, None),
    "strided in space": (((1, 3, 3), (1, 2, 2), (0, 1, 1)), None, None),
    "pointwise": (((1, 1, 1), (1, 1, 1), (0, 0, 0)), None, None),
    "long": (((5, 1, 1), (1, 1, 1), (2, 0, 0)), None, None),
    "padded far": (((3, 1, 1), (1, 1, 1), (2, 0, 0)), None, None),
}
FILTERED = [name for name, (_, _, axis) in WIDE.items() if axis]


@pytest.fixture
def always(monkeypatch):
    """Layers are filtered also where a compiler or longer products would be needed for that to pay."""
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    monkeypatch.setattr(winograd, "SHORTEST", 0)


def made(name: str, kind: type[nn.Conv3d] = nn.Conv3d, *, channels: tuple[int, int] = (6, 10), **options) -> nn.Conv3d:
    kernel, stride, padding = WIDE[name][0]
    dilation = (1, 2, 2) if "dilated" in name else 1
    return kind(*channels, kernel, stride=stride, padding=padding, dilation=dilation, **options)


def test_sums_of_products_are_those_of_the_kernel():
    """Exactly: what output n gets of weight k and input m is 1 where m = n + k, and 0 elsewhere."""
    weights = [[Fraction(share).limit_denominator(24) for share in row] for row in winograd.WEIGHT_SUMS]
    assert all(
        float(share) == given
        for row, rows in zip(weights, winograd.WEIGHT_SUMS, strict=True)
        for share, given in zip(row, rows, strict=True)
    )
    for n, k, m in product(range(winograd.OUTPUTS), range(winograd.KERNEL), range(winograd.PRODUCTS)):
        terms = zip(winograd.OUTPUT_SUMS[n], weights, winograd.INPUT_SUMS, strict=True)
        assert sum(out * weight[k] * inputs[m] for out, weight, inputs in terms) == (m == n + k)


@pytest.mark.parametrize("name", WIDE)
def test_the_axis_along_which_it_pays(name):
    conv = made(name, channels=(64, 64), device="meta")
    _, packed, fused = WIDE[name]
    assert choose_axis(conv, sums_are_fused=False) == packed
    assert choose_axis(conv, sums_are_fused=True) == fused


@pytest.mark.parametrize(
    "options", [{"channels": (32, 64)}, {"channels": (512, 512)}, {"channels": (64, 64), "groups": 2}], ids=str
)
def test_layers_for_which_it_never_pays(options):
    conv = made("full", device="meta", **options)
    assert choose_axis(conv, sums_are_fused=True) is None


@pytest.mark.parametrize("name", FILTERED)
@torch.no_grad()
def test_equals_convolution_norm_sum_and_relu(name, always):
    axis = WIDE[name][2]
    for bias, length in product((False, True), range(1, 11)):
        conv, norm = made(name, bias=bias).double(), random_norm(10).double()
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
@pytest.mark.parametrize("name", [name for name in FILTERED if WIDE[name][2] == "time"])
@torch.no_grad()
def test_packed_equals_convolution_norm_sum_and_relu(name, always):
    for clips, length in product((1, 3), range(3, 11)):
        conv, norm, x = made(name), random_norm(10), torch.randn(clips, 6, length, 6, 5)
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
        if layer._saves(x, expected.shape[2]):
            assert y.data_ptr() == innermost.data_ptr()


@needs_onednn
@pytest.mark.parametrize("length", [3, 6])
@torch.no_grad()
def test_frames_are_replicated_at_the_borders(length, always):
    conv, x = made("full", ReplicatedTimeConv3d, bias=True), torch.randn(2, 6, length, 6, 6)
    for layer in (
        WinogradConv(conv, axis="time", rectified=False, dtype=None),
        PackedWinogradConv(conv, rectified=False, dtype=None),
    ):
        torch.testing.assert_close(layer(x), conv(x), rtol=1e-4, atol=2e-5)


@pytest.mark.parametrize("name", ["full", "spatial"])
@pytest.mark.parametrize(
    ("length", "saves"), [(1, False), (2, False), (3, False), (4, True), (5, False), (6, True), (9, True)]
)
def test_few_frames_or_rows_are_computed_one_by_one(name, length, saves, always):
    """Of three, padded, seven products are not zero: six would be hardly less."""
    layer = WinogradConv(made(name), axis=WIDE[name][2], rectified=False, dtype=None)
    assert layer._saves(torch.zeros(1, 6, length, length, 8), length) == saves


def test_only_what_is_compiled_is_filtered_without_packing():
    layer, x = WinogradConv(made("full"), axis="time", rectified=False, dtype=None), torch.zeros(1, 6, 8, 8, 8)
    assert not layer._saves(x, 8)


@needs_onednn
def test_short_products_are_not_worth_their_calls():
    layer = PackedWinogradConv(made("full", channels=(64, 64)), rectified=False, dtype=None)
    assert layer._saves(torch.zeros(1, 64, 8, 14, 14), 8)
    assert not layer._saves(torch.zeros(1, 64, 8, 7, 7), 8)


@needs_onednn
def test_no_clips_give_no_maps(always):
    conv, nothing = made("full"), torch.zeros(0, 6, 8, 6, 5)
    assert PackedWinogradConv(conv, rectified=True, dtype=None)(nothing).shape == conv(nothing).shape
    layer = WinogradConv(conv, axis="time", rectified=True, dtype=None)
    assert layer(nothing).shape == conv(nothing).shape


@needs_onednn
@torch.no_grad()
def test_imprecise_products_are_never_summed(always):
    """Sums that are five times as large as what they are of would make bfloat16's errors as much larger."""
    conv, x = made("full"), torch.randn(1, 6, 8, 6, 6)
    packed = PackedWinogradConv(conv, rectified=False, dtype=None)
    for layer, alone in (
        (packed, PackedConv(conv, rectified=False, dtype=None)),
        (WinogradConv(conv, axis="time", rectified=False, dtype=None), FusedConv(conv, rectified=False, dtype=None)),
    ):
        with torch.autocast("cpu", torch.bfloat16):
            torch.testing.assert_close(layer(x), alone(x), rtol=0, atol=0)
        assert not torch.equal(layer(x), alone(x))
    torch.set_float32_matmul_precision("medium")
    try:
        assert not winograd.products_are_exact()
        torch.testing.assert_close(packed(x), PackedConv(conv, rectified=False, dtype=None)(x), rtol=0, atol=0)
    finally:
        torch.set_float32_matmul_precision("highest")
    assert winograd.products_are_exact()
