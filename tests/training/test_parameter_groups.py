import pytest
import torch
from helpers.detectors import tiny_detector
from torch import nn

from res3d.training import TrainingSettings
from res3d.training.detector import DetectorTask
from res3d.training.parameter_groups import build_optimizer, group_parameters


def optimizer_of(model, **settings) -> torch.optim.Optimizer:
    kinds = {"model": {"kind": "detector"}, "train": {"kind": "synthetic"}}
    return build_optimizer(DetectorTask(model), TrainingSettings(**kinds, **settings))


def group_of(groups, name: str) -> set[int]:
    """Return the id() of the parameters in a group."""
    return {id(p) for group in groups if group["name"] == name for p in group["params"]}


def test_longest_module_path_sets_the_learning_rate():
    model = tiny_detector()
    groups = group_parameters(model, {"backbone": 0.1, "backbone.conv5": 0.5, "neck": 0.0}, 2.0, 0.3)
    assert {group["name"]: group["lr"] for group in groups if "norms" not in group["name"]} == {
        "backbone": 0.2,
        "backbone.conv5": 1.0,
        "neck": 0.0,
        "rest": 2.0,
    }
    everything = [id(p) for group in groups for p in group["params"]]
    assert sorted(everything) == sorted(id(p) for p in model.parameters())
    conv5 = {id(p) for p in model.backbone.conv5.parameters()}
    assert group_of(groups, "backbone.conv5") | group_of(groups, "backbone.conv5, biases and norms") == conv5


def test_biases_and_norms_have_no_weight_decay():
    model = tiny_detector()
    groups = group_parameters(model, {}, 1.0, 0.3)
    assert {group["name"]: group["weight_decay"] for group in groups} == {"rest": 0.3, "rest, biases and norms": 0.0}
    norms = [m for m in model.modules() if isinstance(m, (nn.BatchNorm3d, nn.GroupNorm))]
    assert norms
    assert {id(p) for m in norms for p in m.parameters()} <= group_of(groups, "rest, biases and norms")
    assert all(p.dim() >= 2 for p in groups[0]["params"])


def test_frozen_parameters_are_in_no_group():
    model = tiny_detector(freeze_at=2)
    grouped = {id(p) for group in group_parameters(model, {}, 1.0, 0.0) for p in group["params"]}
    frozen = {id(p) for stage in (model.backbone.stem, model.backbone.conv2) for p in stage.parameters()}
    assert frozen
    assert not grouped & frozen
    assert grouped == {id(p) for p in model.parameters()} - frozen


def test_rate_of_a_frozen_module_is_refused():
    model = tiny_detector(freeze_at=2)
    with pytest.raises(ValueError, match=r"rates: 'backbone\.conv2' is never trained; it stays frozen"):
        optimizer_of(model, freeze_at=2, rates={"backbone": 0.5, "backbone.conv2": 0.1})
    optimizer_of(model, freeze_at=2, unfreeze={3: 1}, rates={"backbone.conv2": 0.1})


def test_optimizer_includes_stages_that_are_unfrozen_later():
    model = tiny_detector()
    optimizer = optimizer_of(model, freeze_at=3, unfreeze={4: 1})
    grouped = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert grouped == {id(p) for p in model.parameters()} - {id(p) for p in model.backbone.stem.parameters()}
    assert model.backbone.frozen_stages == ("stem", "conv2", "conv3"), "the state of the first epoch"


@pytest.mark.parametrize(
    ("name", "kind"), [("adamw", torch.optim.AdamW), ("adam", torch.optim.Adam), ("sgd", torch.optim.SGD)]
)
def test_optimizer_has_the_kind_and_settings_of_the_configuration(name, kind):
    optimizer = optimizer_of(tiny_detector(), optimizer=name, learning_rate=0.25, momentum=0.7, weight_decay=0.125)
    assert type(optimizer) is kind
    assert optimizer.param_groups[0]["lr"] == 0.25
    assert optimizer.param_groups[0]["weight_decay"] == 0.125
    if name == "sgd":
        assert optimizer.param_groups[0]["momentum"] == 0.7


def test_unknown_module_path_is_refused():
    with pytest.raises(
        ValueError, match=r"rates: the model has no module 'backbon'; did you mean 'backbone'\? \(accepted"
    ):
        group_parameters(tiny_detector(), {"backbon": 0.1}, 1.0, 0.0)


def test_model_without_trainable_parameters_is_refused():
    model = tiny_detector().requires_grad_(False)
    with pytest.raises(ValueError, match="every parameter is frozen: nothing to train"):
        group_parameters(model, {}, 1.0, 0.0)
