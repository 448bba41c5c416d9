import pytest
import torch
import torch.nn.functional as F
from torch import nn

from res3d.backbone import BlockSpec, ConvSpec, FactoredConv, NormSpec, PoolSpec, ShortcutSpec, StageSpec
from res3d.backbone.block import LayerFactory, ResidualBlock, Stage, ZeroPaddedMaxPool3d, build_pool, build_stage
from res3d.backbone.convs import ReplicatedTimeConv3d

CONV = ConvSpec(kernel=(1, 3, 3))


def factory(kind: str = "batch", temporal_padding: str = "zeros") -> LayerFactory:
    return LayerFactory(NormSpec(kind=kind, eps=1e-3, momentum=0.2), temporal_padding)


def build(spec: BlockSpec, channels: int = 4, width: int = 4, stride=(1, 1, 1)) -> ResidualBlock:
    return ResidualBlock(spec, channels, width, stride=stride, layers=factory()).eval()


def child_names(module: nn.Module) -> list[str]:
    return [name for name, _ in module.named_children()]


def test_a_layer_factory_builds_layers_of_its_norm_and_padding():
    norm = factory().norm(5)
    assert (type(norm), norm.num_features, norm.eps, norm.momentum) == (nn.BatchNorm3d, 5, 1e-3, 0.2)
    layers = factory("group", "replicate")
    assert list(layers.norm_act(4)) == ["norm", "act"]
    assert isinstance(layers.norm_act(4)["norm"], nn.GroupNorm)
    full, factored = (
        layers.conv(BlockSpec(convs=(ConvSpec(kernel=(3, 3, 3), factor=f),)).plan(4, 6, (1, 1, 1))[0])
        for f in ("full", "2plus1d")
    )
    assert isinstance(full, ReplicatedTimeConv3d)
    assert isinstance(factored, FactoredConv)
    assert isinstance(factored.temporal, ReplicatedTimeConv3d)
    assert isinstance(factored.norm, nn.GroupNorm)


def test_a_block_adds_its_shortcut_before_the_last_relu():
    block = build(BlockSpec(convs=(CONV, CONV)), 4, 6, (1, 2, 2))
    x = torch.randn(2, 4, 2, 5, 7)
    a, b = block.branch.a, block.branch.b
    y = b.norm(b.conv(F.relu(a.norm(a.conv(x)))))
    torch.testing.assert_close(block(x), F.relu(y + block.shortcut(x)))
    assert (child_names(a), child_names(b)) == (["conv", "norm", "act"], ["conv", "norm"])
    assert block(x).shape == (2, 6, 2, 3, 4)


def test_a_block_without_last_relu_returns_the_sum():
    block = build(BlockSpec(convs=(CONV,), last_act=False))
    x = torch.randn(1, 4, 2, 5, 5)
    torch.testing.assert_close(block(x), block.branch.a.norm(block.branch.a.conv(x)) + x)


@pytest.mark.parametrize("source", ["input", "preact"])
def test_a_preactivation_block_starts_with_norm_and_relu(source):
    block = build(BlockSpec(convs=(CONV, CONV), order="pre", shortcut=ShortcutSpec(source=source)), 4, 6)
    x = torch.randn(2, 4, 2, 5, 5)
    start = F.relu(block.preact.norm(x))
    b = block.branch.b
    y = b.conv(F.relu(b.norm(block.branch.a.conv(start))))
    shortcut = block.shortcut(start if source == "preact" else x)
    torch.testing.assert_close(block(x), y + shortcut)
    assert (child_names(block.branch.a), child_names(b)) == (["conv"], ["norm", "act", "conv"])
    assert child_names(block.shortcut) == ["conv"]


def test_zero_padded_max_pool_has_zeros_around_negative_values():
    x = -1 - torch.rand(1, 2, 3, 5, 7)
    pool = build_pool(PoolSpec(kernel=(3, 3, 3), stride=(1, 2, 2), padding=(1, 1, 1), border="zeros"))
    padded = torch.zeros(1, 2, 5, 7, 9)
    padded[:, :, 1:-1, 1:-1, 1:-1] = x
    assert isinstance(pool, ZeroPaddedMaxPool3d)
    assert torch.equal(pool(x), nn.MaxPool3d((3, 3, 3), (1, 2, 2))(padded))
    plain = build_pool(PoolSpec(kernel=(3, 3, 3), stride=(1, 2, 2), padding=(1, 1, 1)))
    assert type(plain) is nn.MaxPool3d
    assert plain(x).shape == pool(x).shape
    assert plain(x).max() < -1 < pool(x).max() == 0


def test_a_stage_has_pool_blocks_and_final_norm_as_children():
    spec = StageSpec(
        width=6,
        blocks=(BlockSpec(convs=(CONV,)),) * 2,
        stride=(1, 2, 2),
        pool=PoolSpec(kernel=(2, 1, 1), stride=(2, 1, 1)),
    )
    stage = build_stage(spec, 4, factory(), final_norm=True)
    assert child_names(stage) == ["pool", "0", "1", "norm", "act"]
    assert stage(torch.randn(2, 4, 4, 6, 6)).shape == (2, 6, 2, 3, 3)
    assert child_names(build_stage(StageSpec(width=6, blocks=spec.blocks), 4, factory())) == ["0", "1"]


def test_the_repr_of_a_stage_shows_its_state():
    stage = Stage(nn.ReLU())
    assert stage.extra_repr() == ""
    stage.freeze(True)
    stage.checkpointed = True
    assert stage.extra_repr() == "frozen, checkpointed"
