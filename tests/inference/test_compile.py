"""Compiling: how often, and without breaks. Slow by nature, so on the thinnest network only."""

import shutil

import pytest
import torch
from helpers.detectors import tiny_detector
from torch._dynamo.utils import counters

import res3d
from res3d.backbone.block_spec import BlockSpec, ConvSpec
from res3d.backbone.spec import BackboneSpec, StageSpec, StemSpec
from res3d.inference import optimize
from res3d.inference.fused_conv import PackedConv
from res3d.inference.optimize import _FirstSize
from res3d.inference.winograd import WinogradConv

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")


@pytest.fixture(autouse=True)
def _forget_compiled():
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


@pytest.mark.filterwarnings("ignore")  # torch's own, while it compiles
@torch.no_grad()
def test_two_compilations_serve_any_number_of_clips_and_two_more_any_size(thin, one_thread):
    compiled = optimize(thin, compile=True)

    def check(n, t, h, w):
        clip = torch.randn(n, 3, t, h, w)
        torch.testing.assert_close(compiled(clip)["conv5"], thin(clip)["conv5"], rtol=1e-4, atol=1e-4)
        assert not hasattr(clip, "_dynamo_weak_dynamic_indices")  # the caller's clip is as it was

    for n in (2, 1, 5, 17):
        check(n, 4, 64, 64)
    assert counters["stats"]["unique_graphs"] == 2
    for size in [(5, 4, 64, 96), (3, 6, 96, 80), (1, 6, 50, 70), (17, 5, 64, 64), (3, 4, 64, 64)]:
        check(*size)
    assert counters["stats"]["unique_graphs"] == 4  # those of any other size
    assert not counters["graph_break"]


def test_the_first_size_is_one_that_was_computed_and_stays():
    taken = []

    def first(x, frames=4):
        if x.shape[1] == 1:
            raise ValueError("one channel")
        taken.append("first")

    by_size = _FirstSize(first, lambda x, frames=4: taken.append("general"))
    with pytest.raises(ValueError, match="one channel"):
        by_size(torch.zeros(2, 1, 8))
    by_size(torch.zeros(0, 3, 8))
    by_size(torch.zeros(2, 3, 8))
    by_size(torch.zeros(5, 3, 8))
    by_size(torch.zeros(2, 3, 9))
    by_size(torch.zeros(2, 3, 8), frames=5)  # another graph too
    torch.set_float32_matmul_precision("medium")
    try:
        by_size(torch.zeros(2, 3, 8))
    finally:
        torch.set_float32_matmul_precision("highest")
    by_size(torch.zeros(1, 3, 8))
    assert taken == ["general", "first", "first", "general", "general", "general", "first"]


@pytest.mark.parametrize(
    ("shape", "words"), [((2, 3, 0, 8, 8), "resnet10_3d_thin needs clips"), ((2, 1, 4, 64, 64), "a clip must be float")]
)
@pytest.mark.filterwarnings("ignore")
def test_clips_are_refused_in_the_models_words(thin, shape, words):
    for model in (thin, optimize(thin, compile=True)):
        with pytest.raises(ValueError, match=words):
            model(torch.zeros(shape))


def test_what_is_not_compiled_is_packed():
    """A detector's heads, which see what was found."""
    fused = optimize(tiny_detector(mask=True), compile=True).network
    assert any(isinstance(module, PackedConv) for module in fused.get_submodule("mask_head").modules())
    assert not any(isinstance(module, PackedConv) for module in fused.backbone.modules())


@pytest.mark.filterwarnings("ignore")
@torch.no_grad()
def test_large_clips_are_computed_one_by_one(thin, one_thread):
    compiled, clips = optimize(thin, compile=True), torch.randn(3, 3, 16, 112, 112)
    torch.testing.assert_close(compiled(clips)["conv5"], thin(clips)["conv5"], rtol=1e-4, atol=1e-4)
    assert counters["stats"]["unique_graphs"] == 1  # of single clips


@pytest.mark.filterwarnings("ignore")
@torch.no_grad()
def test_layers_by_fewer_products(one_thread):
    """Along time and rows; for clips of the first size, in any number."""
    convs = ConvSpec(kernel=(3, 3, 3)), ConvSpec(kernel=(1, 3, 3)), ConvSpec(kernel=(3, 1, 1))
    stem = StemSpec(conv=ConvSpec(kernel=(1, 3, 3)), width=64)
    stages = (StageSpec(width=64, blocks=(BlockSpec(convs=convs),)),)
    model = res3d.ResNet3d(BackboneSpec(name="made", stem=stem, stages=stages)).eval()
    compiled = optimize(model, compile=True)
    assert [module.axis for module in compiled.modules() if isinstance(module, WinogradConv)] == [
        "time",
        "rows",
        "time",
    ]
    for n, t in [(1, 7), (2, 7), (9, 7), (1, 2), (3, 8)]:
        clip = torch.randn(n, 3, t, 14, 18)
        expected = model(clip)["conv2"]
        assert (compiled(clip)["conv2"] - expected).abs().max() < 1e-5 * expected.abs().max()
    assert counters["stats"]["unique_graphs"] == 4


@pytest.mark.filterwarnings("ignore")
@torch.no_grad()
def test_compiled_bfloat16_is_as_near_as_autocast(thin):
    thin.eval()
    clip = torch.randn(2, 3, 4, 64, 64)
    exact = thin(clip)["conv5"]
    with torch.autocast("cpu", torch.bfloat16):
        autocast = thin(clip)["conv5"].float()
    got = optimize(thin, compile=True, dtype="bfloat16", example=clip)(clip)["conv5"]
    assert counters["stats"]["unique_graphs"] == 1
    assert got.dtype == torch.float32
    error, allowed = ((y - exact).pow(2).mean().sqrt() for y in (got, autocast))
    assert 0 < error <= 1.25 * allowed


@pytest.mark.filterwarnings("ignore")
@torch.no_grad()
def test_of_a_detector_pyramid_and_proposal_layers_are_compiled_too():
    model = tiny_detector(mask=True, keypoints=3).eval()
    compiled = optimize(model, compile=True)
    for clips in [torch.rand(2, 3, 4, 60, 70), torch.rand(3, 3, 6, 64, 96)]:
        expected = model(list(clips))
        assert all(len(result["scores"]) for result in expected)
        for e, g in zip(expected, compiled(list(clips)), strict=True):
            torch.testing.assert_close(g, e, rtol=1e-3, atol=1e-3)
    # Backbone and pyramid for the first size and for others; proposal layers for single pixels too.
    assert counters["stats"]["unique_graphs"] == 7
    assert not counters["graph_break"]
