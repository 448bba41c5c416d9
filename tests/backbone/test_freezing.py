import copy
from functools import cache

import pytest
import torch
from helpers.autograd_memory import bytes_kept_for_backward

import res3d
from res3d.backbone import CATALOG

STAGES = ("stem", "conv2", "conv3", "conv4", "conv5")


def thin(name: str, **keywords) -> res3d.ResNet3d:
    return res3d.create_backbone(name, width=0.125, **keywords)


def train_step(model: res3d.ResNet3d, clip: torch.Tensor) -> None:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.1)
    model.train()
    sum(x.square().mean() for x in model(clip).values()).backward()
    optimizer.step()


@cache
def model_and_state(name: str) -> tuple[res3d.ResNet3d, dict[str, torch.Tensor]]:
    """Return a backbone that returns the maps of all stages, and a copy of its initial state."""
    model = thin(name, out_features=CATALOG[name].stage_names)
    return model, copy.deepcopy(model.state_dict())


@pytest.mark.slow
@pytest.mark.parametrize("at", range(6))
@pytest.mark.parametrize("name", CATALOG)
def test_a_training_step_changes_exactly_the_stages_that_are_not_frozen(name, at):
    stages = CATALOG[name].stage_names
    model, before = model_and_state(name)
    model.load_state_dict(before)
    model.freeze(at)
    clip = torch.randn(2, CATALOG[name].in_channels, 5, 32, 32)
    if at >= len(stages):
        assert not any(p.requires_grad for p in model.parameters())
        model.train()
        maps = model(clip)
        assert not any(x.requires_grad for x in maps.values())
    else:
        train_step(model, clip)
    after = model.state_dict()
    for depth, stage in enumerate(stages):
        same = [torch.equal(before[key], after[key]) for key in before if key.startswith(stage + ".")]
        assert all(same) if depth < at else not any(same), stage


def test_train_on_the_model_or_its_parent_does_not_unfreeze():
    model = thin("resnet18_3d", freeze_at=2)
    parent = torch.nn.Sequential(model).train()
    parent.eval().train()
    model.conv2.train()
    assert [model.stage(name).training for name in STAGES] == [False, False, True, True, True]
    assert not any(m.training for m in model.conv2.modules())
    assert model.frozen_stages == ("stem", "conv2")


def test_freeze_unfreezes_stages_beyond_the_given_number():
    model = thin("resnet18_3d", freeze_at=4)
    model.freeze(1)
    assert model.frozen_stages == ("stem",)
    assert all(p.requires_grad for p in model.conv2.parameters())
    assert model.conv2.training
    model.eval()
    model.freeze(0)
    assert model.frozen_stages == ()
    assert not model.stem.training, "unfreezing changed a model from eval to training mode"
    model.freeze(5)
    assert model.frozen_stages == STAGES


@pytest.mark.parametrize("at", range(6))
def test_freeze_at_freezes_the_same_stages_as_freeze(at):
    model = thin("resnet18_3d", freeze_at=at)
    assert model.frozen_stages == STAGES[:at]
    assert all(p.requires_grad == (name.split(".")[0] not in STAGES[:at]) for name, p in model.named_parameters())


def test_a_number_of_stages_beyond_the_body_freezes_all_of_it():
    assert thin("resnet18_3d", body="conv3", freeze_at=5).frozen_stages == ("stem", "conv2", "conv3")


def test_no_gradient_passes_through_frozen_stages():
    clip = torch.randn(1, 3, 2, 32, 32, requires_grad=True)
    thin("resnet18_3d", freeze_at=1)(clip)["conv5"].sum().backward()
    assert clip.grad is None


def test_gradients_from_before_freezing_do_not_change_frozen_weights():
    model = thin("resnet18_3d")
    clip = torch.randn(2, 3, 2, 32, 32)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model(clip)["conv5"].sum().backward()
    model.freeze(2)
    before = copy.deepcopy(model.conv2.state_dict())
    optimizer.step()
    assert all(torch.equal(before[key], value) for key, value in model.conv2.state_dict().items())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet50_3d", "r2plus1d_18"])
def test_every_frozen_stage_reduces_the_memory_for_the_backward_pass(name):
    clip = torch.randn(1, 3, 4, 64, 64)
    sizes = [bytes_kept_for_backward(thin(name, freeze_at=at), clip) for at in range(6)]
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == 6
    assert sizes[2] < 0.75 * sizes[0]
    assert sizes[5] == 0


def test_a_training_step_does_not_change_frozen_norms():
    model = thin("resnet18_3d", norm="frozen_batch")
    norms = {k: v.clone() for k, v in model.state_dict().items() if ".norm." in k}
    assert norms
    train_step(model, torch.randn(2, 3, 2, 32, 32))
    after = model.state_dict()
    assert all(torch.equal(norms[key], after[key]) for key in norms)
    assert not any(".norm." in name for name, _ in model.named_parameters())
