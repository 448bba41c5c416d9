import pytest
import torch
from torch import nn

from res3d.backbone.norms import FrozenBatchNorm3d, group_norm


@pytest.fixture
def norms() -> tuple[FrozenBatchNorm3d, nn.BatchNorm3d]:
    plain = nn.BatchNorm3d(6, eps=1e-3).eval()
    for tensor in (plain.weight.data, plain.bias.data, plain.running_mean, plain.running_var):
        tensor.uniform_(0.5, 2)
    frozen = FrozenBatchNorm3d(6, eps=1e-3)
    frozen.load_state_dict(plain.state_dict())
    return frozen, plain


@pytest.mark.parametrize("needs_gradient", [False, True])
def test_frozen_batch_norm_equals_batch_norm_in_eval_mode(norms, needs_gradient):
    frozen, plain = norms
    x = torch.randn(2, 6, 3, 5, 7, requires_grad=needs_gradient)
    torch.testing.assert_close(frozen.train()(x), plain(x))
    if needs_gradient:
        gradient, expected = (torch.autograd.grad(norm(x).square().sum(), x)[0] for norm in norms)
        torch.testing.assert_close(gradient, expected)


def test_frozen_batch_norm_returns_the_dtype_of_its_input(norms):
    frozen, _ = norms
    x = torch.randn(1, 6, 2, 3, 3, dtype=torch.bfloat16, requires_grad=True)
    assert frozen(x).dtype == torch.bfloat16


def test_frozen_and_plain_batch_norm_load_each_others_state(norms):
    frozen, plain = norms
    nn.BatchNorm3d(6).load_state_dict(frozen.state_dict(), strict=False)
    state = plain.state_dict()
    FrozenBatchNorm3d(6, 1e-3).load_state_dict(state)
    assert "num_batches_tracked" in state, "loading changed the caller's state dict"


@pytest.mark.parametrize(("channels", "groups"), [(64, 32), (48, 24), (45, 15), (230, 23), (7, 7), (37, 1)])
def test_group_norm_has_the_largest_number_of_groups_that_divides_the_channels(channels, groups):
    assert group_norm(channels, 1e-5, 0.1).num_groups == groups
