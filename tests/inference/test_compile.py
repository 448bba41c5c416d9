"""Compiled models: their results, the number of graphs, and no graph breaks. On small networks, since it is slow."""

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


@pytest.fixture
def shallow(thin) -> res3d.ResNet3d:
    """The thin backbone up to conv3, its first stage with temporal kernels: each further stage adds seconds."""
    body = res3d.ResNet3d(thin.spec.split("conv3")[0]).eval()
    body.load_state_dict(thin.state_dict(), strict=False)
    return body


@pytest.fixture(autouse=True)
def _reset_compiler():
    torch._dynamo.reset()
    counters.clear()
    yield
    torch._dynamo.reset()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # warnings of torch.compile
@torch.no_grad()
def test_two_graphs_serve_any_number_of_clips_and_two_more_any_size(shallow, one_thread):
    compiled = optimize(shallow, compile=True)

    def check(n, t, h, w):
        clip = torch.randn(n, 3, t, h, w)
        torch.testing.assert_close(compiled(clip)["conv3"], shallow(clip)["conv3"], rtol=1e-4, atol=1e-4)
        assert not hasattr(clip, "_dynamo_weak_dynamic_indices")  # the caller's clip is not marked

    for n in (2, 1, 5, 17):
        check(n, 4, 64, 64)
    assert counters["stats"]["unique_graphs"] == 2
    for size in [(5, 4, 64, 96), (3, 6, 96, 80), (1, 6, 50, 70), (17, 5, 64, 64), (3, 4, 64, 64)]:
        check(*size)
    assert counters["stats"]["unique_graphs"] == 4  # two more for all other sizes
    assert not counters["graph_break"]


def test_the_first_size_is_set_by_the_first_successful_call_and_does_not_change():
    calls = []

    def first(x, frames=4):
        if x.shape[1] == 1:
            raise ValueError("one channel")
        calls.append("first")

    by_size = _FirstSize(first, lambda x, frames=4: calls.append("general"))
    with pytest.raises(ValueError, match="one channel"):
        by_size(torch.zeros(2, 1, 8))
    by_size(torch.zeros(0, 3, 8))
    by_size(torch.zeros(2, 3, 8))
    by_size(torch.zeros(5, 3, 8))
    by_size(torch.zeros(2, 3, 9))
    by_size(torch.zeros(2, 3, 8), frames=5)  # another argument needs another graph
    torch.set_float32_matmul_precision("medium")
    try:
        by_size(torch.zeros(2, 3, 8))
    finally:
        torch.set_float32_matmul_precision("highest")
    by_size(torch.zeros(1, 3, 8))
    assert calls == ["general", "first", "first", "general", "general", "general", "first"]


@pytest.mark.parametrize(
    ("shape", "message"),
    [((2, 3, 0, 8, 8), "resnet10_3d_thin needs clips"), ((2, 1, 4, 64, 64), "a clip must be float")],
)
@pytest.mark.filterwarnings("ignore")
def test_a_compiled_model_raises_the_errors_of_its_model(thin, shape, message):
    for model in (thin, optimize(thin, compile=True)):
        with pytest.raises(ValueError, match=message):
            model(torch.zeros(shape))


def test_layers_that_are_not_compiled_are_packed():
    """The heads of a detector are not compiled, because they run once per object."""
    fused = optimize(tiny_detector(mask=True), compile=True).network
    assert any(isinstance(module, PackedConv) for module in fused.get_submodule("mask_head").modules())
    assert not any(isinstance(module, PackedConv) for module in fused.backbone.modules())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@torch.no_grad()
def test_large_clips_are_computed_one_at_a_time(shallow, one_thread):
    compiled, clips = optimize(shallow, compile=True), torch.randn(3, 3, 16, 112, 112)
    torch.testing.assert_close(compiled(clips)["conv3"], shallow(clips)["conv3"], rtol=1e-4, atol=1e-4)
    assert counters["stats"]["unique_graphs"] == 1  # for single clips


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@torch.no_grad()
def test_winograd_layers_are_accurate_along_time_and_rows(one_thread):
    convs = ConvSpec(kernel=(3, 3, 3)), ConvSpec(kernel=(1, 3, 3)), ConvSpec(kernel=(3, 1, 1))
    stem = StemSpec(conv=ConvSpec(kernel=(1, 3, 3)), width=64)
    stages = (StageSpec(width=64, blocks=(BlockSpec(convs=convs),)),)
    model = res3d.ResNet3d(BackboneSpec(name="winograd", stem=stem, stages=stages)).eval()
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


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@torch.no_grad()
def test_the_pyramid_and_proposal_layers_of_a_detector_are_compiled():
    model = tiny_detector(mask=True, keypoints=3).eval()
    compiled = optimize(model, compile=True)
    for clips in [torch.rand(2, 3, 4, 60, 70), torch.rand(3, 3, 6, 64, 96)]:
        expected = model(list(clips))
        assert all(len(result["scores"]) for result in expected)
        for e, g in zip(expected, compiled(list(clips)), strict=True):
            torch.testing.assert_close(g, e, rtol=1e-3, atol=1e-3)
    # Backbone and pyramid: for the first size, and for others. Proposal layers: for levels of a single pixel too.
    assert counters["stats"]["unique_graphs"] == 7
    assert not counters["graph_break"]
