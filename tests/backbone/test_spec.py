import re
from dataclasses import replace

import pytest
import torch
from helpers.paths import ROOT

import res3d
from res3d.backbone import (
    CATALOG,
    BackboneSpec,
    BlockSpec,
    ConvSpec,
    HeadSpec,
    NormSpec,
    PoolSpec,
    ShortcutSpec,
    StageSpec,
    StemSpec,
)

BACKBONES = ROOT / "configs" / "backbones"
R18 = CATALOG["resnet18_3d"]
KEEPS_CHANNELS = "conv2: shortcut 'max_pool' keeps the channels, but 8 become 4"


def basic(**options) -> BlockSpec:
    conv = ConvSpec(kernel=(1, 3, 3), padding=options.pop("padding", "half"))
    return BlockSpec(convs=(conv, conv), **options)


def one_stage(**stage) -> BackboneSpec:
    block = BlockSpec(convs=(ConvSpec(kernel=(3, 3, 3)),) * 2)
    stages = (StageSpec(**({"width": 8, "blocks": (block,)} | stage)),)
    return BackboneSpec(name="one", stem=StemSpec(conv=ConvSpec(kernel=(1, 7, 7)), width=8), stages=stages)


def test_a_spec_is_read_from_handwritten_yaml():
    text = """
    name: one
    stem:
      conv: {kernel: [1, 7, 7]}
      width: 8
    stages:
    - width: 8
      blocks:
      - convs: [{kernel: [3, 3, 3]}, {kernel: [3, 3, 3]}]
    norm: {eps: 1e-3}
    """
    assert BackboneSpec.from_yaml(text) == replace(one_stage(), norm=NormSpec(eps=1e-3))


def test_every_kind_of_field_is_equal_after_writing_and_reading_yaml():
    spec = replace(
        res3d.backbone.apply_overrides(
            CATALOG["r2plus1d_18"], width=0.3, in_channels=1, norm="group", norm_eps=0.001, output_stride=8
        ),
        temporal_padding="replicate",
        name="ünïcode: yes",
    )
    text = spec.to_yaml()
    assert BackboneSpec.from_yaml(text) == spec
    assert "repeat: 2" in text


def test_repeated_blocks_are_written_once():
    assert len(CATALOG["resnet152_3d"].to_yaml().splitlines()) == len(CATALOG["resnet50_3d"].to_yaml().splitlines())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ("name: resnet18_3d", "name: resnet18_3d\nsize: 3"),
            r"spec: unknown key 'size' (accepted: name, stem, stages",
        ),
        (("width: 512", "widht: 512"), "spec.stages[3]: unknown key 'widht'; did you mean 'width'?"),
        (("- width: 512", "- pool: null"), "spec.stages[3]: key 'width' is missing"),
        (("kernel: [1, 7, 7]", "kernal: [1, 7, 7]"), "spec.stem.conv: unknown key 'kernal'; did you mean 'kernel'?"),
        (("kernel: [1, 7, 7]", "kernel: [1, 7]"), "spec.stem.conv.kernel: expected 3 values, not [1, 7]"),
        (("kernel: [1, 7, 7]", "kernel: [1, 7, x]"), "spec.stem.conv.kernel[2]: expected a whole number, not 'x'"),
        (("kernel: [1, 7, 7]", "kernel: [1, 7, 6]"), "spec.stem.conv: kernel must be three odd whole numbers"),
        (("kernel: [1, 7, 7]", "kernel: 7"), "spec.stem.conv.kernel: expected a list, not 7"),
        (("kernel: [1, 7, 7]", "factor: half"), "spec.stem.conv: key 'kernel' is missing"),
        (("repeat: 2", "repeat: 0"), "repeat: expected a whole number from 1 to 1000, not 0"),
        (
            ("repeat: 2", "shortcut: {kind: jump}"),
            "shortcut must be one of 'project', 'pool_pad', 'max_pool', 'avg_pool', 'identity', 'none', not 'jump'",
        ),
        (("repeat: 2", "stride_on: 5x5"), "expected one of 3x3, 1x1, not '5x5'"),
        (
            ("stages:", "norm: {kind: layer}\nstages:"),
            "norm must be one of 'batch', 'frozen_batch', 'group', 'sync_batch'",
        ),
        (("stages:", "norm: {eps: -1}\nstages:"), "norm_eps must be ≥ 0, not -1.0"),
        (("stages:", "norm: {momentum: 2}\nstages:"), "norm momentum must be in [0, 1], not 2.0"),
        (("stages:", "temporal_padding: mirror\nstages:"), "expected one of zeros, replicate, not 'mirror'"),
        (("stages:", "in_channels: true\nstages:"), "spec.in_channels: expected a whole number, not True"),
        (("name: resnet18_3d", "name: ["), "spec is not valid YAML"),
        (("name: resnet18_3d", "name: a\nname: b"), "spec is not valid YAML: duplicate key 'name'"),
        (("name: resnet18_3d", "name: " + "[" * 1000), "spec is nested too deeply"),
    ],
)
def test_the_error_for_invalid_yaml_names_the_location(change, message):
    text = R18.to_yaml()
    assert change[0] in text
    with pytest.raises(ValueError, match=re.escape(message)):
        BackboneSpec.from_yaml(text.replace(*change, 1))


@pytest.mark.parametrize(("text", "message"), [("", "not None"), ("3", "not 3"), ("[1]", r"not \[1\]")])
def test_yaml_that_is_not_a_mapping_is_refused(text, message):
    with pytest.raises(ValueError, match="spec: expected the keys of BackboneSpec, " + message):
        BackboneSpec.from_yaml(text)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ConvSpec(kernel=(2, 3, 3)), "kernel must be three odd whole numbers ≥ 1"),
        (lambda: ConvSpec(kernel=(1, 3, 3), middle=0), "middle must be a whole number ≥ 1, not 0"),
        (
            lambda: ConvSpec(kernel=(1, 3, 3), middle="paper"),
            "middle must be one of 'conv', 'block', 'out', '2x', not 'paper'",
        ),
        (
            lambda: ConvSpec(kernel=(1, 3, 3), factor="3d"),
            "factor must be one of 'full', '2plus1d', '1plus2d', 'separable', not '3d'",
        ),
        (
            lambda: replace(R18, stages=R18.stages + R18.stages[3:]),
            "1 to 4 stages after the stem (conv2 to conv5), not 5",
        ),
        (lambda: ConvSpec(kernel=[1, 3, 3]), "kernel must be three odd whole numbers ≥ 1 (t, y, x), not [1, 3, 3]"),
        (lambda: BlockSpec(convs=()), "a block has 1 to 4 convolutions, not 0"),
        (lambda: PoolSpec(kernel=(1, 3, 3), stride=(1, 2, 2), padding=(1, 1, 1)), "pool padding must be"),
        (lambda: one_stage(blocks=()), "a stage needs at least one block"),
        (lambda: one_stage(width=0), "stage width must be a whole number ≥ 1, not 0"),
        (lambda: one_stage(stride=(0, 1, 1)), "stage stride must be three whole numbers"),
        (lambda: replace(R18, stages=()), "a backbone needs 1 to 4 stages after the stem (conv2 to conv5), not 0"),
        (
            lambda: one_stage(blocks=tuple(BlockSpec(convs=(ConvSpec(kernel=(1, 3, 3), expand=n),)) for n in (1, 2))),
            "must agree in expansion, not [1, 2]",
        ),
        (
            lambda: replace(
                one_stage(
                    width=4,
                    blocks=(BlockSpec(convs=(ConvSpec(kernel=(1, 3, 3)),), shortcut=ShortcutSpec(kind="pool_pad")),),
                )
            ),
            "conv2: shortcut 'pool_pad' adds channels, but 8 shrink to 4",
        ),
        (
            lambda: basic(padding="none"),
            "a (1, 3, 3) convolution with padding='none' makes the branch smaller than any",
        ),
        (lambda: ConvSpec(kernel=(1, 3, 3), padding="same"), "padding must be one of 'half', 'none', not 'same'"),
        (lambda: one_stage(blocks=(basic(shortcut=ShortcutSpec(kind="max_pool")),), width=4), KEEPS_CHANNELS),
        (lambda: one_stage(blocks=(basic(shortcut=ShortcutSpec(kind="avg_pool")),), width=16), "8 become 16"),
        (
            lambda: one_stage(blocks=(basic(shortcut=ShortcutSpec(kind="identity")),), stride=(1, 2, 2)),
            "conv2: shortcut 'identity' keeps the size, but the stride is (1, 2, 2)",
        ),
        (lambda: ShortcutSpec(kind="max_pool", bias=True), "bias must be False with shortcut 'max_pool', not True"),
        (
            lambda: ShortcutSpec(kind="none", kernel=(1, 3, 3)),
            "kernel must be (1, 1, 1) with shortcut 'none', not (1, 3, 3)",
        ),
        (lambda: ShortcutSpec(kernel=(1, 2, 2)), "shortcut kernel must be three odd whole numbers"),
        (lambda: ShortcutSpec(source="branch"), "shortcut source must be one of 'input', 'preact', not 'branch'"),
        (lambda: ShortcutSpec(where="never"), "shortcut where must be one of 'change', 'always', not 'never'"),
        (lambda: basic(order="middle"), "order must be one of 'post', 'pre', not 'middle'"),
        (lambda: basic(order="pre", last_act=False), "last_act must be True with order='pre': no ReLU follows the sum"),
        (lambda: basic(shortcut=ShortcutSpec(source="preact")), "shortcut source 'preact' needs order='pre'"),
        (lambda: one_stage(stride_at="middle"), "stride_at must be one of 'first', 'last', not 'middle'"),
        (
            lambda: PoolSpec(kernel=(1, 3, 3), stride=(1, 2, 2), border="wrap"),
            "pool border must be one of '-inf', 'zeros'",
        ),
        (lambda: HeadSpec(pool="sum"), "head pool must be one of 'avg', 'max', not 'sum'"),
        (lambda: HeadSpec(window=(1, 0, 4)), "head window must be three whole numbers ≥ 1 (t, y, x), not (1, 0, 4)"),
        (lambda: HeadSpec(positions=(1, 4)), "head positions must be three whole numbers ≥ 1 (t, y, x), not (1, 4)"),
        (lambda: HeadSpec(positions=(1, 1, 4)), "head stride and positions need a head window"),
        (lambda: HeadSpec(stride=(1, 1, 4)), "head stride and positions need a head window"),
        (
            lambda: StemSpec(conv=ConvSpec(kernel=(1, 7, 7), expand=2)),
            "expand of the stem's convolution must be 1, not 2",
        ),
        (lambda: replace(R18, stem=StemSpec(conv=ConvSpec(kernel=(1, 7, 7), groups=2))), "groups=2 must divide the"),
        (lambda: PoolSpec(kernel=(1, 3, 3), stride=(1, 2, 2), padding=None), "pool padding must be (t, y, x) from 0"),
        (lambda: PoolSpec(kernel=(1, 3, 3), stride=(1, 2, 2), padding=(0, 0.5, 1)), "pool padding must be"),
        (
            lambda: replace(
                one_stage(blocks=(basic(shortcut=ShortcutSpec(kind="avg_pool", kernel=(3, 3, 3))),)),
                temporal_padding="replicate",
            ),
            "temporal_padding='replicate': a 'avg_pool' shortcut of kernel (3, 3, 3) pads time with zeros",
        ),
        (
            lambda: replace(
                one_stage(pool=PoolSpec(kernel=(3, 1, 1), stride=(1, 1, 1), padding=(1, 0, 0), border="zeros")),
                temporal_padding="replicate",
            ),
            "temporal_padding='replicate': a pool with border='zeros' pads time with zeros",
        ),
        (lambda: R18.split("layer3"), "not 'layer3'; did you mean 'conv4'?"),
        (lambda: R18.receptive_field("res2"), "not 'res2'; did you mean 'conv2'?"),
        (lambda: R18.receptive_field("conv6"), "stage must be one of 'stem', 'conv2', 'conv3', 'conv4', 'conv5', not"),
    ],
)
def test_invalid_combinations_are_refused_when_the_spec_is_created(make, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        make()


def test_feature_info_of_a_spec():
    info = R18.feature_info
    assert info["stem"] == (64, (1, 2, 2))
    assert info["conv2"] == (64, (1, 4, 4))
    assert info["conv4"].channels == 256
    assert info["conv5"].stride == (1, 32, 32)
    assert CATALOG["r3d_18"].feature_info["conv5"].stride == (8, 16, 16)
    assert CATALOG["resnet50_3d"].feature_info["conv5"].channels == 2048


def test_a_spec_splits_into_body_and_head_stages():
    body, head = R18.split("conv4")
    assert body.stages + head == R18.stages
    assert body.stage_names[-1] == "conv4"
    assert head[0].width == 512


def test_pools_without_padding_set_the_smallest_clip():
    assert R18.min_clip == (1, 1, 1)
    pooled = one_stage(pool=PoolSpec(kernel=(2, 3, 3), stride=(2, 2, 2)))
    assert pooled.min_clip == (2, 5, 5)
    model = res3d.ResNet3d(pooled)
    assert model.eval()(torch.zeros(1, 3, 2, 5, 5))["conv2"].shape[2:] == (1, 1, 1)
    with pytest.raises(ValueError, match=r"one needs clips of \(T, H, W\) ≥ \(2, 5, 5\), not \(1, 5, 5\)"):
        model(torch.zeros(1, 3, 1, 5, 5))


def test_factors_of_one_position_are_left_out_and_one_channel_is_the_minimum():
    stem = StemSpec(conv=ConvSpec(kernel=(1, 1, 3), factor="separable"), width=8)
    model = res3d.ResNet3d(replace(one_stage(), stem=stem, in_channels=1))
    assert [name for name, _ in model.stem.conv.named_children()] == ["horizontal"]
    assert ConvSpec(kernel=(3, 1, 3), factor="2plus1d").equal_parameters_middle(1, 1) == 1


def test_the_gradient_of_a_position_stays_in_its_receptive_field():
    spec = res3d.backbone.apply_overrides(R18, width=0.0625, temporal_stride=[1, 2, 1, 1]).split("conv3")[0]
    assert spec.receptive_field("stem") == (1, 7, 7)
    assert spec.receptive_field("conv2") == (1, 43, 43)
    assert spec.receptive_field("conv3") == (15, 99, 99)
    model = res3d.ResNet3d(spec).double().eval()
    clip = torch.randn(1, 3, 16, 112, 112, dtype=torch.float64, requires_grad=True)
    features = model(clip)["conv3"]
    t, y, x = (n // 2 for n in features.shape[2:])
    features[0, :, t, y, x].sum().backward()
    positions = clip.grad.abs().sum(dim=(0, 1)).nonzero()
    extent = (positions.amax(0) - positions.amin(0) + 1).tolist()
    assert all(length <= field for length, field in zip(extent, (15, 99, 99), strict=True))
    assert extent[0] == 15
    assert min(extent[1:]) >= 90, "the gradient covers less than most of the field"


@pytest.mark.parametrize("name", [n for n in CATALOG if (BACKBONES / f"{n}.yaml").exists()])
def test_the_spec_file_of_a_catalog_name_equals_its_catalog_entry(name):
    assert BackboneSpec.from_yaml((BACKBONES / f"{name}.yaml").read_text(encoding="utf-8")) == CATALOG[name]


@pytest.mark.parametrize("path", sorted(BACKBONES.glob("*.yaml")), ids=lambda p: p.stem)
def test_the_network_of_every_spec_file_runs(path):
    model = res3d.create_backbone(path, width=0.125)
    assert model.spec.name == path.stem
    (last,) = model(torch.randn(2, model.spec.in_channels, 3, 33, 40)).values()
    assert torch.isfinite(last).all()
    assert model.spec.to_yaml()
