import copy
import warnings

import pytest
import torch
from helpers.autograd_memory import bytes_kept_for_backward

import res3d

STAGES = ("stem", "conv2", "conv3", "conv4", "conv5")


@pytest.fixture
def twins() -> tuple[res3d.ResNet3d, res3d.ResNet3d]:
    """The same network with and without checkpointing, in double precision."""
    plain = res3d.r2plus1d_18(width=0.125).double()
    checkpointed = res3d.r2plus1d_18(width=0.125, checkpoint_stages=STAGES).double()
    checkpointed.load_state_dict(plain.state_dict())
    return plain, checkpointed


def test_gradients_and_norm_statistics_equal_those_of_the_plain_network(twins):
    clip = torch.randn(2, 3, 4, 16, 16, dtype=torch.float64)
    for model in twins:
        for _ in range(2):
            model(clip)["conv5"].square().mean().backward()
    plain, checkpointed = twins
    for (name, parameter), expected in zip(checkpointed.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, expected.grad, msg=name)
    for (name, buffer), expected in zip(checkpointed.named_buffers(), plain.buffers(), strict=True):
        torch.testing.assert_close(buffer, expected, msg=name)
    assert checkpointed.stem.norm.num_batches_tracked == 2, "the recomputation updated the statistics again"
    assert checkpointed.stem.norm.track_running_stats


def test_checkpointing_halves_the_memory_for_the_backward_pass(twins):
    clip = torch.randn(1, 3, 4, 64, 64, dtype=torch.float64)
    plain, checkpointed = (bytes_kept_for_backward(model, clip) for model in twins)
    assert checkpointed < 0.5 * plain


def test_only_checkpointed_stages_run_twice():
    model = res3d.resnet18_3d(width=0.125, checkpoint_stages=["conv3"])
    runs = dict.fromkeys(STAGES, 0)

    def count(name):
        def hook(*_):
            runs[name] += 1

        return hook

    for name in STAGES:
        next(model.stage(name).children()).register_forward_hook(count(name))
    model(torch.randn(2, 3, 2, 32, 32))["conv5"].sum().backward()
    assert runs == {"stem": 1, "conv2": 1, "conv3": 2, "conv4": 1, "conv5": 1}


def test_checkpointing_in_eval_mode_without_gradients_changes_no_state(twins):
    _, checkpointed = twins
    before = copy.deepcopy(checkpointed.state_dict())
    checkpointed.eval()
    with torch.no_grad():
        checkpointed(torch.randn(1, 3, 2, 32, 32, dtype=torch.float64))
    assert all(torch.equal(before[key], value) for key, value in checkpointed.state_dict().items())


@pytest.mark.slow
def test_a_checkpointed_network_compiles_and_trains():
    model = res3d.resnet18_3d(width=0.125, body="conv3", checkpoint_stages=["conv2"])
    compiled = torch.compile(model, backend="eager")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns about its tensors while it traces
        compiled(torch.randn(2, 3, 2, 32, 32))["conv3"].sum().backward()
    assert model.stem.conv.weight.grad is not None
    assert model.get_submodule("conv2.0.branch.a.norm").num_batches_tracked == 1
