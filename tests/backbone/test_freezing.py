import copy

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


@pytest.mark.parametrize("at", range(6))
@pytest.mark.parametrize("name", CATALOG)
def test_a_training_step_changes_exactly_the_stages_that_are_not_frozen(name, at):
    stages = CATALOG[name].stage_names
    model = thin(name, freeze_at=at, out_features=stages)
    clip = torch.randn(2, CATALOG[name].in_channels, 5, 32, 32)
    before = copy.deepcopy(model.state_dict())
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


def test_freezing_survives_train_on_the_model_and_on_what_holds_it():
    model = thin("resnet18_3d", freeze_at=2)
    holder = torch.nn.Sequential(model).train()
    holder.eval().train()
    model.conv2.train()
    assert [model.stage(name).training for name in STAGES] == [False, False, True, True, True]
    assert not any(m.training for m in model.conv2.modules())
    assert model.frozen_stages == ("stem", "conv2")


def test_freeze_sets_exactly_what_is_asked_for_in_both_directions():
    model = thin("resnet18_3d", freeze_at=4)
    model.freeze(1)
    assert model.frozen_stages == ("stem",)
    assert all(p.requires_grad for p in model.conv2.parameters())
    assert model.conv2.training
    model.eval()
    model.freeze(0)
    assert model.frozen_stages == ()
    assert not model.stem.training, "unfreezing must not put a model in eval mode back to training"
    model.freeze(5)
    assert model.frozen_stages == STAGES


def test_freezing_beyond_the_body_freezes_all_of_it():
    assert thin("resnet18_3d", body="conv3", freeze_at=5).frozen_stages == ("stem", "conv2", "conv3")


def test_no_gradient_passes_through_frozen_stages():
    clip = torch.randn(1, 3, 2, 32, 32, requires_grad=True)
    thin("resnet18_3d", freeze_at=1)(clip)["conv5"].sum().backward()
    assert clip.grad is None


def test_gradients_from_before_freezing_do_not_move_frozen_weights():
    model = thin("resnet18_3d")
    clip = torch.randn(2, 3, 2, 32, 32)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model(clip)["conv5"].sum().backward()
    model.freeze(2)
    before = copy.deepcopy(model.conv2.state_dict())
    optimizer.step()
    assert all(torch.equal(before[key], value) for key, value in model.conv2.state_dict().items())


@pytest.mark.parametrize("name", ["resnet50_3d", "r2plus1d_18"])
def test_memory_kept_for_the_backward_pass_falls_with_every_frozen_stage(name):
    clip = torch.randn(1, 3, 4, 64, 64)
    kept = [bytes_kept_for_backward(thin(name, freeze_at=at), clip) for at in range(6)]
    assert kept == sorted(kept, reverse=True)
    assert len(set(kept)) == 6
    assert kept[2] < 0.75 * kept[0]
    assert kept[5] == 0


def test_frozen_norms_learn_nothing_in_any_stage():
    model = thin("resnet18_3d", norm="frozen_batch")
    norms = {k: v.clone() for k, v in model.state_dict().items() if ".norm." in k}
    assert norms
    train_step(model, torch.randn(2, 3, 2, 32, 32))
    after = model.state_dict()
    assert all(torch.equal(norms[key], after[key]) for key in norms)
    assert not any(".norm." in name for name, _ in model.named_parameters())
