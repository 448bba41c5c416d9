import pytest
import torch
import torch.nn.functional as F
from torch import nn

from res3d.backbone.convs import ReplicatedTimeConv3d
from res3d.backbone.shortcuts import SHORTCUTS, ProjectionShortcut, ShortcutPlan


def plan(channels: int = 4, out: int = 4, stride=(1, 2, 2), kernel=(1, 1, 1), **options) -> ShortcutPlan:
    return ShortcutPlan(channels, out, stride, kernel, **({"bias": False, "normed": True} | options))


def make(kind: str, shortcut_plan: ShortcutPlan) -> nn.Module:
    return SHORTCUTS[kind].make(shortcut_plan, nn.BatchNorm3d, "zeros").eval()


def test_a_projection_is_a_strided_convolution_and_a_norm():
    shortcut = make("project", plan(4, 6, bias=True))
    x = torch.randn(2, 4, 3, 5, 7)
    expected = shortcut.norm(F.conv3d(x, shortcut.conv.weight, shortcut.conv.bias, (1, 2, 2)))
    assert torch.equal(shortcut(x), expected)
    assert [name for name, _ in make("project", plan(4, 6, normed=False)).named_children()] == ["conv"]
    assert make("project", plan(4, 6)).conv.bias is None


def test_a_projection_pads_half_its_kernel():
    shortcut = ProjectionShortcut(plan(4, 6, kernel=(3, 3, 3)), nn.BatchNorm3d, "replicate")
    assert isinstance(shortcut.conv, ReplicatedTimeConv3d)
    assert shortcut.conv.padding == (1, 1, 1)
    assert shortcut(torch.randn(2, 4, 3, 5, 7)).shape == (2, 6, 3, 3, 4)


def test_pool_pad_averages_and_adds_zero_channels():
    shortcut = make("pool_pad", plan(4, 6, kernel=(1, 3, 3)))
    x = torch.randn(1, 4, 2, 6, 6)
    y = shortcut(x)
    assert y.shape == (1, 6, 2, 3, 3)
    torch.testing.assert_close(y[:, :4, :, 1, 1], x[:, :, :, 1:4, 1:4].mean(dim=(3, 4)))
    torch.testing.assert_close(y[:, :4, :, 0, 0], x[:, :, :, :2, :2].sum(dim=(3, 4)) / 9)  # zeros of the padding count
    assert not y[:, 4:].any()
    assert not list(shortcut.parameters())
    assert "new_channels=2" in repr(shortcut)


@pytest.mark.parametrize(("kind", "reduce"), [("max_pool", torch.amax), ("avg_pool", torch.mean)])
def test_pooled_shortcuts_pool_with_stride(kind, reduce):
    x = torch.randn(1, 4, 2, 6, 6)
    y = make(kind, plan(kernel=(1, 3, 3)))(x)
    assert y.shape == (1, 4, 2, 3, 3)
    torch.testing.assert_close(y[:, :, :, 1, 2], reduce(x[:, :, :, 1:4, 3:6], dim=(3, 4)))
    assert torch.equal(make(kind, plan())(x), x[:, :, :, ::2, ::2])


def test_an_identity_returns_its_input():
    x = torch.randn(1, 4, 2, 6, 6)
    assert make("identity", plan(stride=(1, 1, 1)))(x) is x


@pytest.mark.parametrize("kind", SHORTCUTS)
@pytest.mark.parametrize("shortcut_plan", [plan(4, 4), plan(4, 6), plan(6, 4), plan(4, 4, (1, 1, 1))])
def test_a_shortcut_without_problem_has_the_shape_of_the_branch(kind, shortcut_plan):
    if SHORTCUTS[kind].find_problem(shortcut_plan) is None:
        x = torch.randn(1, shortcut_plan.in_channels, 2, 5, 7)
        size = [-(-n // s) for n, s in zip((2, 5, 7), shortcut_plan.stride, strict=True)]
        assert list(make(kind, shortcut_plan)(x).shape) == [1, shortcut_plan.out_channels, *size]


@pytest.mark.parametrize(
    ("kind", "shortcut_plan", "problem"),
    [
        ("project", plan(6, 4), None),
        ("pool_pad", plan(4, 6), None),
        ("pool_pad", plan(6, 4), "adds channels, but 6 shrink to 4"),
        ("max_pool", plan(4, 4), None),
        ("max_pool", plan(4, 6), "keeps the channels, but 4 become 6"),
        ("avg_pool", plan(6, 4), "keeps the channels, but 6 become 4"),
        ("identity", plan(4, 4, (1, 1, 1)), None),
        ("identity", plan(4, 6, (1, 1, 1)), "keeps the channels, but 4 become 6"),
        ("identity", plan(4, 4), "keeps the size, but the stride is (1, 2, 2)"),
    ],
)
def test_problems_of_plans(kind, shortcut_plan, problem):
    assert SHORTCUTS[kind].find_problem(shortcut_plan) == problem
