import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

import res3d
from res3d.backbone import (
    CATALOG,
    OVERRIDES,
    BlockSpec,
    ConvSpec,
    PoolSpec,
    ShortcutSpec,
    apply_overrides,
    count_parameters,
)

R18, R50, CIFAR = CATALOG["resnet18_3d"], CATALOG["resnet50_3d"], CATALOG["resnet14_cifar"]
SENSOR = CATALOG["resnet18_sensor"]
LATE_POOL = replace(
    R18,
    stages=(
        *R18.stages[:3],
        replace(R18.stages[3], stride=(1, 1, 1), pool=PoolSpec(kernel=(1, 2, 2), stride=(1, 2, 2))),
    ),
)


def convs(model: nn.Module) -> list[nn.Conv3d]:
    return [m for m in model.modules() if isinstance(m, nn.Conv3d)]


def randomize(model: nn.Module) -> None:
    for name, tensor in model.state_dict().items():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 2)
        elif tensor.is_floating_point() and tensor.dim() == 1:
            tensor.normal_(0.5, 0.3)


def test_width_multiplies_every_width():
    half = apply_overrides(R18, width=0.5)
    assert half.stem.width == 32
    assert [stage.width for stage in half.stages] == [32, 64, 128, 256]
    assert apply_overrides(CATALOG["r2plus1d_18"], width=0.5).stem.conv.middle == 22
    assert apply_overrides(R18, width=0.001).stages[0].width == 1


@pytest.mark.parametrize("width", [0.125, 0.3, 0.5, 1, 2])
def test_width_scales_the_number_of_groups_down_to_a_divisor(width):
    spec = apply_overrides(CATALOG["resnext50_32x4d_3d"], width=width)
    for stage in spec.stages:
        grouped = stage.blocks[0].convs[1]
        assert stage.width % grouped.groups == 0
        assert 1 <= grouped.groups <= max(1, round(32 * width))
    if width != 0.3:
        assert spec.stages[0].blocks[0].convs[1].groups == 32 * width
    assert apply_overrides(CATALOG["csn_r101"], width=width).stages[0].blocks[0].convs[1].groups == "depthwise"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["batch", "frozen_batch", "group", "sync_batch"])
@pytest.mark.parametrize("name", CATALOG)
def test_every_norm_runs_in_every_backbone(name, kind):
    model = res3d.create_backbone(name, width=0.125, norm=kind)
    class_names = {
        "batch": "BatchNorm3d",
        "frozen_batch": "FrozenBatchNorm3d",
        "group": "GroupNorm",
        "sync_batch": "SyncBatchNorm",
    }
    norms = [m for m in model.modules() if type(m).__name__ in class_names.values()]
    assert {type(m).__name__ for m in norms} == {class_names[kind]}
    (last,) = model(torch.randn(2, CATALOG[name].in_channels, 5, 32, 32)).values()
    assert torch.isfinite(last).all()


@pytest.mark.parametrize("width", [1.5, 2, 3])
def test_a_wider_network_has_no_more_groups(width):
    model = res3d.resnet18_3d(width=width, body="conv3")
    assert {conv.groups for conv in convs(model)} == {1}
    assert model.conv3[0].branch.a.conv.out_channels == 128 * width


def test_temporal_kernel_1_keeps_spatial_factors_and_changes_shortcuts():
    separable, full = ConvSpec(kernel=(3, 3, 3), factor="separable", middle="out"), ConvSpec(kernel=(3, 3, 3))
    block = BlockSpec(convs=(separable, full), shortcut=ShortcutSpec(kernel=(3, 3, 3), where="always"))
    spec = replace(R18, stages=(replace(R18.stages[0], blocks=(block,)),))
    twin = apply_overrides(spec, temporal_kernel=1).stages[0].blocks[0]
    assert twin.convs == (replace(separable, kernel=(1, 3, 3)), ConvSpec(kernel=(1, 3, 3)))
    assert twin.shortcut.kernel == (1, 3, 3)


def test_another_kind_of_shortcut_has_default_options():
    block = apply_overrides(CIFAR, shortcut="pool_pad").stages[1].blocks[0]
    assert block.shortcut == ShortcutSpec(kind="pool_pad")
    assert apply_overrides(CIFAR, shortcut="project") == CIFAR
    assert not any("shortcut" in key for key in res3d.create_backbone("resnet14_cifar", shortcut="none").state_dict())


def test_output_stride_works_with_identity_shortcuts():
    assert apply_overrides(CIFAR, output_stride=2).feature_info["conv4"].stride == (1, 2, 2)


def test_norm_eps_reaches_every_norm():
    model = res3d.resnet18_3d(width=0.125, norm_eps=1e-3)
    assert {m.eps for m in model.modules() if isinstance(m, nn.BatchNorm3d)} == {1e-3}


def test_in_channels_changes_the_input_but_not_the_output():
    model = res3d.resnet18_3d(width=0.125, in_channels=1)
    assert model(torch.randn(1, 1, 2, 32, 32))["conv5"].shape[1] == 64


def test_temporal_kernel_changes_only_kernels_above_1():
    assert {conv.kernel_size[0] for conv in convs(res3d.resnet18_3d(width=0.125, temporal_kernel=5))} == {1, 5}
    assert res3d.resnet18_3d(width=0.125, temporal_kernel=5).stem.conv.kernel_size == (1, 7, 7)
    assert {conv.kernel_size[0] for conv in convs(res3d.r3d_18(width=0.125, temporal_kernel=1))} == {1}


def test_the_2d_twin_of_a_2plus1d_network_has_full_convolutions():
    model = res3d.r2plus1d_18(width=0.125, temporal_kernel=1)
    assert not any("spatial" in name for name, _ in model.named_modules())
    assert model.stem.conv.kernel_size == (1, 7, 7)


def test_middle_sets_the_channels_between_factors():
    model = res3d.r2plus1d_18(width=0.125, middle="2x")
    assert model.stem.conv.norm.num_features == 16
    assert model.get_submodule("conv3.0.branch.a").conv.norm.num_features == 32


def test_a_2d_twin_computes_each_frame_without_its_neighbors():
    model = res3d.resnet18_3d(width=0.125, temporal_kernel=1).eval()
    clip = torch.randn(1, 3, 4, 32, 32)
    together = model(clip)["conv5"]
    alone = torch.cat([model(clip[:, :, t : t + 1])["conv5"] for t in range(4)], dim=2)
    torch.testing.assert_close(together, alone)


def test_temporal_stride_sets_the_stages_after_conv2():
    assert apply_overrides(R18, temporal_stride=2).feature_info["conv5"].stride == (8, 32, 32)
    assert apply_overrides(R18, temporal_stride=[1, 1, 2, 2]).feature_info["conv5"].stride == (4, 32, 32)
    assert apply_overrides(CATALOG["r3d_18"], temporal_stride=1).feature_info["conv5"].stride == (1, 16, 16)
    model = res3d.resnet18_3d(width=0.125, temporal_stride=2)
    assert model(torch.randn(1, 3, 9, 32, 32))["conv5"].shape[2] == 2


def test_stride_on_1x1_moves_the_stride_to_the_first_convolution():
    threes, ones = res3d.resnet50_3d(width=0.125), res3d.resnet50_3d(width=0.125, stride_on="1x1")
    assert threes.conv3[0].branch.a.conv.stride == (1, 1, 1)
    assert threes.conv3[0].branch.b.conv.stride == (1, 2, 2)
    assert ones.conv3[0].branch.a.conv.stride == (1, 2, 2)
    assert ones.conv3[0].branch.b.conv.stride == (1, 1, 1)
    assert {k: v.shape for k, v in threes.state_dict().items()} == {k: v.shape for k, v in ones.state_dict().items()}
    ones.load_state_dict(threes.state_dict())
    clip = torch.randn(1, 3, 2, 48, 48)
    a, b = threes.eval()(clip)["conv5"], ones.eval()(clip)["conv5"]
    assert a.shape == b.shape
    assert not torch.allclose(a, b), "the stride has no effect on the values"


def test_a_pool_pad_shortcut_subsamples_and_adds_zero_channels():
    model = res3d.resnet18_3d(width=0.125, shortcut="pool_pad")
    assert not list(model.conv3[0].shortcut.parameters())
    assert count_parameters(model) < count_parameters(res3d.resnet18_3d(width=0.125))
    x = torch.randn(1, 8, 2, 5, 7)
    y = model.conv3[0].shortcut(x)
    assert torch.equal(y[:, :8], x[:, :, :, ::2, ::2])
    assert not y[:, 8:].any()


def test_output_stride_keeps_projections_where_only_the_stride_changes():
    """Without stride, and with equal channels, the default rule would replace the projection by the identity."""
    stages = (R18.stages[0], replace(R18.stages[1], width=64))
    strided = res3d.ResNet3d(apply_overrides(replace(R18, stages=stages), width=0.125))
    randomize(strided)
    dilated = res3d.ResNet3d(apply_overrides(strided.spec, output_stride=4))
    dilated.load_state_dict(strided.state_dict())
    clip = torch.randn(1, 3, 2, 45, 50)
    sparse, dense = strided.eval()(clip)["conv3"], dilated.eval()(clip)["conv3"]
    torch.testing.assert_close(dense[..., ::2, ::2], sparse, rtol=1e-4, atol=1e-5)


def test_squeeze_excite_adds_a_gate_to_every_block():
    model = res3d.resnet18_3d(width=0.25, attention="squeeze_excite")
    gates = [name for name, module in model.named_modules() if type(module).__name__ == "SqueezeExcitation"]
    assert len(gates) == 8
    assert torch.isfinite(model(torch.randn(1, 3, 2, 32, 32))["conv5"]).all()


def test_a_block_without_shortcut_computes_its_branch_alone():
    model = res3d.resnet18_3d(width=0.125, shortcut="none").eval()
    block, x = model.conv2[1], torch.randn(1, 8, 2, 9, 9)
    assert torch.equal(block(x), block.branch(x).relu())
    assert not any("shortcut" in key for key in model.state_dict())


@pytest.mark.parametrize("output_stride", [16, 8, 4])
@pytest.mark.parametrize(
    ("name", "keywords"),
    [
        ("resnet18_3d", {}),
        ("resnet50_3d", {}),
        ("resnet50_3d", {"stride_on": "1x1"}),
        ("resnet50v2_3d", {}),
        ("resnet18v2_3d", {}),
    ],
)
def test_a_dilated_network_equals_the_strided_one_at_its_positions(name, keywords, output_stride):
    """The à trous property."""
    strided = res3d.create_backbone(name, width=0.125, **keywords)
    randomize(strided)
    dilated = res3d.ResNet3d(apply_overrides(strided.spec, output_stride=output_stride))
    dilated.load_state_dict(strided.state_dict())
    clip = torch.randn(1, 3, 2, 75, 90)
    sparse, dense = strided.eval()(clip)["conv5"], dilated.eval()(clip)["conv5"]
    assert dilated.feature_info["conv5"].stride == (1, output_stride, output_stride)
    step = 32 // output_stride
    torch.testing.assert_close(dense[..., ::step, ::step], sparse, rtol=1e-4, atol=1e-5)


def test_replicate_padding_keeps_equal_frames_equal():
    model = res3d.resnet18_3d(width=0.125, temporal_padding="replicate").eval()
    randomize(model)
    clip = torch.randn(1, 3, 1, 32, 32).expand(-1, -1, 5, -1, -1)
    y = model(clip)["conv5"]
    torch.testing.assert_close(y, y[:, :, :1].expand_as(y))
    zeros = res3d.ResNet3d(apply_overrides(model.spec, temporal_padding="zeros")).eval()
    zeros.load_state_dict(model.state_dict())
    padded = zeros(clip)["conv5"]
    assert not torch.allclose(padded[:, :, 0], padded[:, :, 2]), "zero padding has no effect at the borders"


@pytest.mark.parametrize(
    ("spec", "override", "message"),
    [
        (R18, {"widht": 2}, "unknown backbone option 'widht'; did you mean 'width'? (accepted: width, in_channels"),
        (R18, {"width": 0}, "width must be a multiplier > 0, not 0"),
        (R18, {"width": True}, "width must be a multiplier > 0, not True"),
        (R18, {"norm_eps": "small"}, "norm_eps must be ≥ 0, not 'small'"),
        (R18, {"norm_eps": float("inf")}, "norm_eps must be ≥ 0, not inf"),
        (R18, {"temporal_stride": 2.0}, "temporal_stride must be a whole number ≥ 1"),
        (R18, {"output_stride": 16.0}, "output_stride of resnet18_3d must be one of 32, 16, 8, 4, not 16.0"),
        (R18, {"width": "half"}, "width must be a multiplier > 0, not 'half'"),
        (R18, {"in_channels": 0}, "in_channels must be a whole number ≥ 1, not 0"),
        (R18, {"norm": "layer"}, "norm must be one of 'batch', 'frozen_batch', 'group', 'sync_batch', not 'layer'"),
        (R18, {"norm_eps": -1e-5}, "norm_eps must be ≥ 0"),
        (R18, {"temporal_kernel": 2}, "temporal_kernel must be an odd whole number ≥ 1, not 2"),
        (
            apply_overrides(R18, temporal_kernel=1),
            {"temporal_kernel": 3},
            "temporal_kernel=3: no convolution of resnet18_3d has a temporal kernel above 1",
        ),
        (R18, {"temporal_stride": 0}, "temporal_stride must be a whole number ≥ 1, or 4 of them from conv2 on, not 0"),
        (R18, {"temporal_stride": [2, 2]}, "or 4 of them from conv2 on, not [2, 2]"),
        (R18, {"temporal_padding": "mirror"}, "temporal_padding must be one of 'zeros', 'replicate', not 'mirror'"),
        (R18, {"stride_on": "1x1"}, "needs a block that begins with a 1x1 convolution"),
        (R50, {"stride_on": "2x2"}, "stride_on must be one of '3x3', '1x1', not '2x2'"),
        (
            R18,
            {"shortcut": "jump"},
            "shortcut must be one of 'project', 'pool_pad', 'max_pool', 'avg_pool', 'identity', 'none', not 'jump'",
        ),
        (R18, {"shortcut": "max_pool"}, "conv3: shortcut 'max_pool' keeps the channels, but 64 become 128"),
        (R18, {"attention": "look"}, "attention must be one of 'none', 'squeeze_excite', not 'look'"),
        (R18, {"norm_momentum": 2}, "norm momentum must be in [0, 1], not 2"),
        (CIFAR, {"output_stride": 1}, "output_stride: conv4.0's shortcut of kernel (1, 3, 3) cannot be dilated"),
        (SENSOR, {"output_stride": 4}, "output_stride: the last map of resnet18_sensor has two strides, 1 down and 8"),
        (LATE_POOL, {"output_stride": 16}, "output_stride=16: the last map of resnet18_3d would have stride 32"),
        (R18, {"norm_momentum": "x"}, "norm momentum must be in [0, 1], not 'x'"),
        (R18, {"middle": "2x"}, "middle='2x': resnet18_3d has no factored convolutions"),
        (CATALOG["r2plus1d_18"], {"middle": 0}, "middle must be a whole number ≥ 1, not 0"),
        (R18, {"output_stride": 64}, "output_stride of resnet18_3d must be one of 32, 16, 8, 4, not 64"),
        (CATALOG["r3d_18"], {"output_stride": 32}, "output_stride of r3d_18 must be one of 16, 8, 4, 2, not 32"),
    ],
)
def test_invalid_overrides_are_refused(spec, override, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        apply_overrides(spec, **override)


def test_this_file_tests_every_override():
    code = Path(__file__).read_text(encoding="utf-8")
    assert all(f"{name}=" in code or f'"{name}"' in code for name in OVERRIDES)
