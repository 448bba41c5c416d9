"""Fusion of modules: which layers are fused, and which tensors may be overwritten."""

import copy

import pytest
import torch
from helpers.norms import random_norm
from torch import Tensor, nn

import res3d
from res3d.backbone import ResidualBlock, Stage
from res3d.inference.fuse import FusedBlock, FusedResNet3d, FusedStage, fuse
from res3d.inference.fused_conv import FusedConv


def make_layer(conv: nn.Conv3d, norm: nn.Module | None, rectified: bool) -> FusedConv:
    return FusedConv(conv, norm, rectified=rectified, dtype=None)


def make_network(name: str = "resnet18_3d", **overrides) -> res3d.ResNet3d:
    """A narrow network of two stages with random norms, in eval mode."""
    model = res3d.create_backbone(name, width=0.0625, body="conv3", **overrides).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.load_state_dict(random_norm(module.num_features).state_dict())
    return model


def describe(modules: nn.Module) -> list[str]:
    return [
        f"{type(module).__name__} {'with' if module.rectified else 'without'} ReLU"
        if isinstance(module, FusedConv)
        else type(module).__name__
        for module in modules
    ]


def conv(**options) -> nn.Conv3d:
    return nn.Conv3d(4, 4, 3, padding=1, **options)


CHAINS = {
    "convolution, norm and ReLU": ([conv(), random_norm(4), nn.ReLU()], ["FusedConv with ReLU"]),
    "convolution and norm": ([conv(bias=False), random_norm(4)], ["FusedConv without ReLU"]),
    "convolution and ReLU": ([conv(), nn.ReLU()], ["FusedConv with ReLU"]),
    "norm before the convolution": (
        [random_norm(4), nn.ReLU(), conv()],
        ["BatchNorm3d", "ReLU", "FusedConv without ReLU"],
    ),
    "norm that depends on the input": (
        [conv(), nn.GroupNorm(2, 4), nn.ReLU()],
        ["FusedConv without ReLU", "GroupNorm", "ReLU"],
    ),
    "nested": (
        [nn.Sequential(conv(), nn.Identity()), nn.Sequential(random_norm(4), nn.Sequential(nn.ReLU())), conv()],
        ["FusedConv with ReLU", "FusedConv without ReLU"],
    ),
    "ReLU before the norm": ([conv(), nn.ReLU(), random_norm(4)], ["FusedConv with ReLU", "BatchNorm3d"]),
}


@pytest.mark.parametrize("name", CHAINS)
@torch.no_grad()
def test_a_convolution_is_fused_with_the_norm_and_relu_directly_behind_it(name):
    modules, expected = CHAINS[name]
    chain, x = nn.Sequential(*copy.deepcopy(modules)).eval(), torch.randn(2, 4, 3, 5, 6)
    output = chain(x)
    fused = fuse(chain, make_layer)
    assert describe(fused) == expected
    torch.testing.assert_close(fused(x), output, rtol=1e-4, atol=1e-4)


def test_subclasses_of_convolutions_are_not_fused():
    class Doubled(nn.Conv3d):
        def forward(self, x: Tensor) -> Tensor:
            return 2 * super().forward(x)

    module = Doubled(4, 4, 1)
    assert describe(fuse(nn.Sequential(module, nn.ReLU()), make_layer)) == ["Doubled", "ReLU"]


def test_children_of_other_modules_are_fused():
    parent = nn.ModuleDict({"conv": conv(), "linear": nn.Linear(2, 2)})
    fused = fuse(parent, make_layer)
    assert fused is parent
    assert describe(fused.values()) == ["FusedConv without ReLU", "Linear"]


@pytest.mark.parametrize("name", ["resnet18_3d", "resnet18v2_3d", "r2plus1d_18"])
@torch.no_grad()
def test_a_fused_block_equals_the_block_and_does_not_change_its_input(name):
    for block in make_network(name).conv3:
        if not isinstance(block, ResidualBlock):
            continue
        channels = next(module for module in block.modules() if isinstance(module, nn.Conv3d)).in_channels
        x = torch.randn(2, channels, 3, 8, 8)
        original, expected = x.clone(), block(x)
        fused = fuse(copy.deepcopy(block), make_layer)
        assert isinstance(fused, FusedBlock)
        assert fused.last.rectified == isinstance(block.act, nn.ReLU)
        torch.testing.assert_close(fused(x), expected, rtol=1e-4, atol=1e-4)
        assert torch.equal(x, original)
        torch.testing.assert_close(fused(x, overwrite_input=True), expected, rtol=1e-4, atol=1e-4)


def test_a_block_with_attention_is_not_fused_as_a_whole():
    block = make_network(attention="squeeze_excite").conv3[1]
    fused = fuse(block, make_layer)
    assert fused is block
    assert any(isinstance(module, FusedConv) for module in fused.branch.modules())
    assert isinstance(fused.act, nn.ReLU)


@torch.no_grad()
def test_blocks_overwrite_the_maps_inside_a_stage():
    stage = make_network().conv2
    x = torch.randn(1, 4, 3, 8, 8)
    expected = stage(x)
    fused = fuse(stage, make_layer)
    assert isinstance(stage, Stage)
    assert isinstance(fused, FusedStage)
    blocks = [module for module in fused if isinstance(module, FusedBlock)]
    assert [block.overwrites_input for block in blocks] == [False, True]
    original = x.clone()
    torch.testing.assert_close(fused(x), expected, rtol=1e-4, atol=1e-4)
    assert torch.equal(x, original), "the input belongs to the caller"


@pytest.mark.parametrize("wanted", [["conv3"], ["conv2", "conv3"], ["stem"], ["stem", "conv2", "conv3"]])
@torch.no_grad()
def test_a_fused_network_returns_the_wanted_maps(wanted):
    model, clip = make_network(), torch.randn(1, 3, 4, 32, 32)
    expected = model.compute_maps(clip, model.spec.stage_names, wanted)
    fused = fuse(copy.deepcopy(model), make_layer)
    assert isinstance(fused, FusedResNet3d)
    assert (fused.spec, fused.out_features) == (model.spec, model.out_features)
    original = clip.clone()
    maps = fused.compute_maps(clip, model.spec.stage_names, wanted)
    assert list(maps) == wanted
    for name, value in maps.items():
        torch.testing.assert_close(value, expected[name], rtol=1e-4, atol=1e-4)
    assert torch.equal(clip, original)
