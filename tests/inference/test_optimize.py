"""An optimized model computes what the original model computes, and leaves it unchanged."""

import copy

import pytest
import torch
from helpers.detectors import tiny_detector
from torch import Tensor, nn

import res3d
from res3d.backbone.block_spec import BlockSpec, ConvSpec
from res3d.backbone.norms import FrozenBatchNorm3d
from res3d.backbone.spec import BackboneSpec, StageSpec, StemSpec
from res3d.inference import optimize
from res3d.inference.fused_conv import FusedConv, can_pack
from res3d.inference.winograd import WinogradConv

NORMS = (nn.BatchNorm3d, FrozenBatchNorm3d)
VARIED = [  # every kind of block, norm, shortcut, order and factoring
    *("resnet18_3d", "resnet18v2_3d", "r2plus1d_18", "csn_r101", "r2plus1d_r50", "i3d_r50", "mmaction2_i3d_r50"),
    *("hara_resnet10", "resnet14_cifar", "resnext50_32x4d_3d"),
]


def randomize_norms(model: nn.Module) -> nn.Module:
    """Set random statistics and biases in norms such that activations have similar sizes in all layers; eval mode."""
    for module in model.modules():
        if isinstance(module, NORMS):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
            module.bias.data.normal_(0, 0.1)
    return model.eval()


def make_backbone(name: str, **overrides) -> res3d.ResNet3d:
    return randomize_norms(res3d.create_backbone(name, width=0.125, **overrides))


def make_clips(model: res3d.ResNet3d, clips: int = 2) -> Tensor:
    t, h, w = model.spec.min_clip
    return torch.randn(clips, model.spec.in_channels, max(8, t), max(32, h), max(32, w))


def relative_error(got: Tensor, expected: Tensor) -> float:
    return float((got - expected).abs().max() / expected.abs().max())


@pytest.mark.parametrize("name", VARIED)
@torch.no_grad()
def test_every_feature_map_equals_the_models(name):
    model = make_backbone(name)
    clip, stages = make_clips(model), model.spec.stage_names
    expected, got = (m.compute_maps(clip, stages, stages) for m in (model, optimize(model)))
    assert list(got) == list(stages)
    for stage in stages:
        assert relative_error(got[stage], expected[stage]) < 1e-4, stage


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "overrides", "count"),
    [
        (
            "r3d_18",
            {},
            10,
        ),  # convolutions without stride: 4 in conv2, 3 in conv3, 3 in conv4; conv5 has too many weights
        ("resnet18v2_3d", {"body": "conv4"}, 8),
        ("r3d_18", {"temporal_padding": "replicate", "body": "conv4"}, 10),
        ("r2plus1d_18", {"body": "conv4"}, 0),  # 3×1×1 and 1×3×3 kernels need a compiler
    ],
    ids=str,
)
@pytest.mark.skipif(not can_pack(torch.device("cpu"), torch.float32), reason="no oneDNN here")
@torch.no_grad()
def test_wide_networks_use_winograd_convolution(name, overrides, count):
    model = randomize_norms(res3d.create_backbone(name, **overrides))
    clip, stages = torch.randn(2, 3, 16, 48, 32), model.spec.stage_names
    optimized = optimize(model)
    assert sum(isinstance(module, WinogradConv) for module in optimized.modules()) == count
    expected, got = (m.compute_maps(clip, stages, stages) for m in (model, optimized))
    for stage in stages:
        assert relative_error(got[stage], expected[stage]) < 1e-5, stage


@pytest.mark.parametrize(
    "overrides",
    [
        {"norm": "frozen_batch"},
        {"norm": "group"},
        {"temporal_padding": "replicate"},
        {"attention": "squeeze_excite"},
        {"shortcut": "pool_pad"},
        {"output_stride": 8},
    ],
    ids=str,
)
@torch.no_grad()
def test_every_override_can_be_optimized(overrides):
    model = make_backbone("resnet18_3d", **overrides)
    clip = make_clips(model)
    assert relative_error(optimize(model)(clip)["conv5"], model(clip)["conv5"]) < 1e-4


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("order", ["post", "pre"])
@torch.no_grad()
def test_blocks_of_any_number_of_convolutions(order, count):
    """A block of one convolution adds its own input, which must not be overwritten while the convolution reads it."""
    block = BlockSpec(convs=(ConvSpec(kernel=(1, 3, 3)),) * count, order=order)
    stages = StageSpec(width=16, blocks=(block,) * 3), StageSpec(width=32, blocks=(block,) * 3, stride=(1, 2, 2))
    stem = StemSpec(conv=ConvSpec(kernel=(1, 3, 3)), width=16)
    model = randomize_norms(res3d.ResNet3d(BackboneSpec(name="few_convs", stem=stem, stages=stages)))
    clip, wanted = torch.randn(2, 3, 4, 32, 32), ["conv2", "conv3"]
    expected, got = (m.compute_maps(clip, ["stem", *wanted], wanted) for m in (model, optimize(model)))
    assert max(relative_error(got[stage], expected[stage]) for stage in expected) < 1e-4


@pytest.mark.parametrize(("name", "count"), [("r3d_18", 0), ("r2plus1d_18", 0), ("resnet18v2_3d", 9)])
def test_norms_directly_after_a_convolution_are_folded(name, count):
    """In pre-activation networks the first norm of each of the 8 blocks remains, and the final norm."""
    modules = list(optimize(make_backbone(name)).modules())
    assert sum(isinstance(module, NORMS) for module in modules) == count
    assert any(isinstance(module, FusedConv) for module in modules)


@torch.no_grad()
def test_the_original_model_is_unchanged():
    model = make_backbone("resnet18_3d").train()
    model.stage("conv3").freeze(True)
    before = copy.deepcopy(model)
    optimized = optimize(model, dtype="bfloat16")
    optimized(make_clips(model))
    assert [m.training for m in model.modules()] == [m.training for m in before.modules()]
    assert [p.requires_grad for p in model.parameters()] == [p.requires_grad for p in before.parameters()]
    assert list(model.state_dict()) == list(before.state_dict())
    for name, value in model.state_dict().items():
        assert torch.equal(value, before.state_dict()[name])


@pytest.mark.parametrize("name", ["resnet18_3d", "r2plus1d_18", "resnet18v2_3d", "slow_r50"])
@torch.no_grad()
def test_bfloat16_is_as_accurate_as_autocast(name):
    model = make_backbone(name)
    clip = make_clips(model)
    expected = model(clip)["conv5"]
    with torch.autocast("cpu", torch.bfloat16):
        autocast = model(clip)["conv5"].float()
    got = optimize(model, dtype="bfloat16")(clip)["conv5"]
    assert got.dtype == torch.float32
    error, allowed = ((y - expected).pow(2).mean().sqrt() for y in (got, autocast))
    assert 0 < error <= 1.25 * allowed


@torch.no_grad()
def test_float16_is_accurate_to_a_hundredth():
    model = make_backbone("resnet18_3d")
    clip = make_clips(model)
    got = optimize(model, dtype="float16")(clip)["conv5"]
    assert got.dtype == torch.float32
    assert 0 < relative_error(got, model(clip)["conv5"]) < 1e-2


@torch.no_grad()
def test_a_classifier_computes_in_the_type_of_its_parameters():
    classifier = res3d.ClipClassifier(make_backbone("resnet18_3d"), 7).eval()
    nn.init.normal_(classifier.fc.weight)
    clip = make_clips(classifier.backbone)
    assert relative_error(optimize(classifier)(clip), classifier(clip)) < 1e-4
    double = classifier.double()
    got = optimize(double)(clip.double())
    assert got.dtype == torch.float64
    assert relative_error(got, double(clip.double())) < 1e-12


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("model_dtype", [torch.float64, torch.float16, torch.bfloat16])
@torch.no_grad()
def test_models_of_any_type_compute_in_lower_precision(model_dtype, dtype):
    """Group norm is not fused: it runs under autocast, which expects float32 weights."""
    classifier = res3d.ClipClassifier(
        randomize_norms(res3d.create_backbone("resnet18_3d", width=0.125, norm="group")), 7
    ).eval()
    nn.init.normal_(classifier.fc.weight)
    clip = make_clips(classifier.backbone)
    expected = classifier(clip)
    got = optimize(classifier.to(model_dtype), dtype=dtype)(clip.to(model_dtype))
    assert got.dtype == torch.float32
    assert relative_error(got, expected) < 0.1


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_an_empty_batch_gives_empty_maps(dtype):
    maps = optimize(make_backbone("resnet18_3d", out_features=["conv3", "conv5"]), dtype=dtype)(
        torch.zeros(0, 3, 4, 32, 32)
    )
    assert [len(value) for value in maps.values()] == [0, 0]


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@torch.no_grad()
def test_an_optimized_detector_returns_the_models_results(dtype):
    model = randomize_norms(tiny_detector(mask=True, keypoints=3))
    clips = [torch.rand(3, 4, 60, 70), torch.rand(3, 4, 64, 64)]
    optimized = optimize(model, dtype=dtype)
    expected, got = model(clips), optimized(clips)
    assert [m["masks"].whole().dtype for m in optimized.detect(clips)] == [torch.float32] * 2
    assert all(e["boxes"].numel() for e in expected)
    for e, g in zip(expected, got, strict=True):
        assert {k: v.dtype for k, v in e.items()} == {k: v.dtype for k, v in g.items()}
        if dtype == "float32":
            for key, value in e.items():
                torch.testing.assert_close(g[key], value, rtol=1e-3, atol=1e-3, msg=key)


@torch.no_grad()
def test_a_detectors_pyramid_in_bfloat16_is_as_accurate_as_autocast():
    model = randomize_norms(tiny_detector(mask=False))
    optimized = optimize(model, dtype="bfloat16")
    pyramids = []
    for network in (model, optimized.network):
        network.neck.register_forward_hook(lambda module, inputs, maps: pyramids.append([m.float() for m in maps]))
    clips = [torch.rand(3, 4, 64, 64)]
    model(clips)
    with torch.autocast("cpu", torch.bfloat16):
        model(clips)
    optimized(clips)
    exact, autocast, got = pyramids
    assert len(exact) > 1
    for level in zip(exact, autocast, got, strict=True):
        error, allowed = ((y - level[0]).pow(2).mean().sqrt() for y in (level[2], level[1]))
        assert 0 < error <= 1.25 * allowed


@pytest.mark.parametrize("name", ["resnet18_3d", "r3d_18"])  # with and without a pool between stem and conv2
@torch.no_grad()
def test_a_returned_feature_map_is_not_overwritten(name):
    """A block writes its output over its input, except if the caller supplied or receives that feature map."""
    model = make_backbone(name)
    optimized, clip = optimize(model), make_clips(model)
    original = clip.clone()
    stages, last = model.spec.stage_names, model.spec.stage_names[-1]
    alone = {stage: optimized.compute_maps(clip, stages, [stage])[stage] for stage in stages}
    for stage, value in optimized.compute_maps(clip, stages, stages).items():
        assert torch.equal(value, alone[stage]), stage
    stem = optimized.run_stages(clip, ["stem"])
    before = stem.clone()
    rest = optimized.resume({"stem": stem})[last]
    torch.testing.assert_close(rest, alone[last], rtol=1e-5, atol=1e-5)
    assert torch.equal(stem, before), "the map that the caller supplied"
    assert torch.equal(clip, original)


def test_an_optimized_model_has_no_gradients_and_cannot_be_trained():
    model = make_backbone("resnet18_3d")
    optimized = optimize(model)
    assert not optimized(make_clips(model).requires_grad_())["conv5"].requires_grad
    assert not optimized.eval().training
    with pytest.raises(ValueError, match="an optimized model cannot be trained"):
        optimized.train()


def test_attributes_and_methods_are_those_of_the_model():
    model = make_backbone("resnet18_3d", out_features=["conv4"])
    optimized = optimize(model, dtype="bfloat16")
    assert (optimized.spec, optimized.out_features) == (model.spec, ("conv4",))
    assert optimized.run_stages(make_clips(model), ["stem"]).dtype == torch.float32
    with pytest.raises(AttributeError, match="has no attribute 'detect'"):
        optimized.detect([])
    assert copy.copy(optimized).spec == model.spec


def test_an_unknown_dtype_is_refused():
    with pytest.raises(ValueError, match="dtype must be one of 'auto', 'float32', 'bfloat16', 'float16', not 'int8'"):
        optimize(make_backbone("resnet18_3d"), dtype="int8")


def test_compiling_without_a_compiler_is_refused(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(RuntimeError, match=r"needs a C\+\+ compiler, and 'no-such-compiler' was not found"):
        optimize(make_backbone("resnet18_3d"), compile=True)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize("fixed", [False, True])
@torch.no_grad()
def test_an_optimized_model_on_cuda_equals_the_model(fixed):
    model = make_backbone("resnet18_3d").cuda()
    clip = make_clips(model).cuda()
    expected = model(clip)["conv5"]
    optimized = optimize(model, dtype="float32", compile=fixed, example=clip if fixed else None)
    first = optimized(clip)["conv5"]
    optimized(clip * 2)
    assert relative_error(first, expected) < 2e-3  # convolutions in TF32
    assert optimize(model).dtype == "bfloat16"
