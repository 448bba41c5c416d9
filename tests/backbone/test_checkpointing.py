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
    saving = res3d.r2plus1d_18(width=0.125, checkpoint_stages=STAGES).double()
    saving.load_state_dict(plain.state_dict())
    return plain, saving


def test_maps_gradients_and_norm_statistics_are_those_of_the_plain_network(twins):
    clip = torch.randn(2, 3, 4, 16, 16, dtype=torch.float64)
    for model in twins:
        for _ in range(2):
            model(clip)["conv5"].square().mean().backward()
    plain, saving = twins
    for (name, ours), theirs in zip(saving.named_parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, msg=name)
    for (name, ours), theirs in zip(saving.named_buffers(), plain.buffers(), strict=True):
        torch.testing.assert_close(ours, theirs, msg=name)
    assert saving.stem.norm.num_batches_tracked == 2, "statistics were updated again while recomputing"
    assert saving.stem.norm.track_running_stats


def test_less_is_kept_for_the_backward_pass(twins):
    clip = torch.randn(1, 3, 4, 64, 64, dtype=torch.float64)
    plain, saving = (bytes_kept_for_backward(model, clip) for model in twins)
    assert saving < 0.5 * plain


def test_only_the_named_stages_recompute():
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


def test_nothing_is_recomputed_without_gradients(twins):
    _, saving = twins
    before = copy.deepcopy(saving.state_dict())
    saving.eval()
    with torch.no_grad():
        saving(torch.randn(1, 3, 2, 32, 32, dtype=torch.float64))
    assert all(torch.equal(before[key], value) for key, value in saving.state_dict().items())


def test_a_checkpointed_network_compiles():
    model = res3d.resnet18_3d(width=0.125, checkpoint_stages=["conv2"])
    compiled = torch.compile(model, backend="eager")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, about its own tensors, while it traces
        compiled(torch.randn(2, 3, 2, 32, 32))["conv5"].sum().backward()
    assert model.stem.conv.weight.grad is not None
    assert model.get_submodule("conv2.0.branch.a.norm").num_batches_tracked == 1
