import pytest

from res3d.backbone import BlockSpec, ConvSpec, ShortcutSpec
from res3d.backbone.windows import Window


def conv(*kernel: int, **options) -> ConvSpec:
    return ConvSpec(kernel=kernel, **options)


BOTTLENECK = (conv(1, 1, 1), conv(1, 3, 3), conv(1, 1, 1, expand=4))


def test_padding_half_is_half_the_dilated_kernel():
    assert conv(3, 5, 7, dilation=(1, 2, 3)).pads == (1, 4, 9)
    assert conv(3, 5, 7, padding="none").pads == (0, 0, 0)
    assert conv(3, 5, 7, dilation=(1, 2, 1)).window((1, 2, 2)) == Window((3, 5, 7), (1, 2, 2), (1, 4, 3), (1, 2, 1))


def test_a_plan_has_the_channels_of_each_convolution():
    plans = BlockSpec(convs=BOTTLENECK).plan(32, 8, (1, 2, 2))
    assert [(p.in_channels, p.out_channels) for p in plans] == [(32, 8), (8, 8), (8, 32)]
    assert BlockSpec(convs=BOTTLENECK).expansion == 4


@pytest.mark.parametrize(
    ("convs", "stride_on", "index"),
    [
        (BOTTLENECK, "3x3", 1),
        (BOTTLENECK, "1x1", 0),
        ((conv(3, 3, 3), conv(3, 3, 3)), "3x3", 0),
        ((conv(3, 1, 1), conv(1, 3, 3)), "3x3", 1),
        ((conv(1, 1, 3), conv(1, 1, 3)), "3x3", 0),
        ((conv(1, 1, 1), conv(3, 1, 1)), "3x3", 0),
    ],
)
def test_one_convolution_takes_the_stride(convs, stride_on, index):
    block = BlockSpec(convs=convs, stride_on=stride_on)
    assert block.strided_index == index
    strides = [plan.stride for plan in block.plan(8, 8, (1, 2, 2))]
    assert strides == [(1, 2, 2) if i == index else (1, 1, 1) for i in range(len(convs))]


@pytest.mark.parametrize(
    ("middle", "expected"),
    [
        ("conv", [28, 36]),  # 27·8·16 / (9·8 + 3·16) and 27·16·16 / (9·16 + 3·16)
        ("block", [28, 28]),
        ("out", [16, 16]),
        ("2x", [32, 32]),
        (7, [7, 7]),
    ],
)
def test_rules_for_the_channels_between_factors(middle, expected):
    block = BlockSpec(convs=(conv(3, 3, 3, factor="2plus1d", middle=middle),) * 2)
    assert [plan.middle for plan in block.plan(8, 16, (1, 1, 1))] == expected


def test_depthwise_groups_are_the_input_channels_and_must_divide_the_output():
    plans = BlockSpec(convs=(conv(1, 3, 3, groups="depthwise"), conv(1, 1, 1, groups=4))).plan(8, 16, (1, 1, 1))
    assert [plan.groups for plan in plans] == [8, 4]
    with pytest.raises(ValueError, match="groups=3 must divide the channels 8 and 16 of convolution 0"):
        BlockSpec(convs=(conv(1, 3, 3, groups=3),)).plan(8, 16, (1, 1, 1))
    with pytest.raises(ValueError, match="groups must be 1 with factor '2plus1d', not 2"):
        conv(3, 3, 3, factor="2plus1d", groups=2)


def test_a_shortcut_is_planned_where_size_or_channels_change():
    block = BlockSpec(convs=BOTTLENECK)
    assert block.plan_shortcut(32, 8, (1, 1, 1)) is None
    changed = block.plan_shortcut(16, 8, (1, 2, 2))
    assert (changed.in_channels, changed.out_channels, changed.stride, changed.normed) == (16, 32, (1, 2, 2), True)
    assert block.plan_shortcut(32, 8, (1, 2, 2)).stride == (1, 2, 2)
    always = BlockSpec(convs=BOTTLENECK, shortcut=ShortcutSpec(where="always", kernel=(1, 3, 3)), order="pre")
    plan = always.plan_shortcut(32, 8, (1, 1, 1))
    assert (plan.kernel, plan.padding, plan.normed) == ((1, 3, 3), (0, 1, 1), False)
    assert BlockSpec(convs=BOTTLENECK, shortcut=ShortcutSpec(kind="none")).plan_shortcut(16, 8, (1, 2, 2)) is None


def test_an_impossible_shortcut_is_refused():
    block = BlockSpec(convs=BOTTLENECK, shortcut=ShortcutSpec(kind="identity"))
    with pytest.raises(ValueError, match="shortcut 'identity' keeps the channels, but 16 become 32"):
        block.plan_shortcut(16, 8, (1, 1, 1))
