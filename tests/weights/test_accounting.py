"""The record of a load, for a small classifier and a checkpoint with the tensor names of torchvision's ResNets."""

import pytest
import torch
from torch import nn

from res3d.weights import RESNET, WeightsError
from res3d.weights.accounting import Account

NORM_LEAVES = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


@pytest.fixture
def model() -> nn.Module:
    """A classifier whose backbone has only a stem."""
    stem = nn.ModuleDict({"conv": nn.Conv3d(3, 4, 1, bias=False), "norm": nn.BatchNorm3d(4)})
    return nn.ModuleDict({"backbone": nn.ModuleDict({"stem": stem}), "fc": nn.Linear(4, 2)})


def zeros(*keys: str) -> dict[str, torch.Tensor]:
    return {key: torch.zeros(1) for key in keys}


def test_names_of_the_model_have_no_prefix(model):
    account = Account(model, ("backbone.",), {}, RESNET)
    norm = [f"stem.norm.{leaf}" for leaf in NORM_LEAVES]
    assert set(account.model_tensors) == {"stem.conv.weight", *norm, "fc.weight", "fc.bias"}
    weight = model["backbone"]["stem"]["conv"].weight
    assert account.model_tensors["stem.conv.weight"].data_ptr() == weight.data_ptr(), "a copy would not be filled"
    assert account.modules["stem.norm"] is model["backbone"]["stem"]["norm"]


def test_checkpoint_tensors_are_renamed_or_listed_by_key(model):
    tensors = zeros("conv1.weight", "bn1.bias", "layer1.0.conv1.weight", "rpn.head.weight", "encoder.weight")
    account = Account(model, ("backbone.",), tensors, RESNET)
    names = {name: entry.key for name, entry in account.checkpoint_tensors.items()}
    assert names == {
        "stem.conv.weight": "conv1.weight",
        "stem.norm.bias": "bn1.bias",
        "conv2.0.branch.a.conv.weight": "layer1.0.conv1.weight",
    }
    assert account.checkpoint_tensors["stem.norm.bias"].tensor is tensors["bn1.bias"]
    account.mark_used("stem.conv.weight")
    assert account.unexpected == ["encoder.weight", "bn1.bias"], "an unknown key, and an unused tensor of the stem"
    assert account.ignored == ["rpn.head.weight", "layer1.0.conv1.weight"], "another head, and a stage beyond the body"


def test_batch_counters_are_neither_missing_nor_unexpected(model):
    account = Account(model, ("backbone.",), zeros("bn1.num_batches_tracked"), RESNET)
    assert not any("num_batches_tracked" in name for name in account.missing)
    assert account.unexpected == []
    assert account.ignored == ["bn1.num_batches_tracked"]


def test_two_keys_with_one_name_are_refused(model):
    with pytest.raises(WeightsError, match=r"fc.weight and classifier.weight both mean fc.weight"):
        Account(model, ("backbone.",), zeros("fc.weight", "classifier.weight"), RESNET)


def test_the_report_lists_full_names_by_origin(model):
    account = Account(model, ("backbone.",), zeros("conv1.weight", "extra"), RESNET)
    account.fill("stem.conv.weight", torch.ones(4, 3, 1, 1, 1), "inflated")
    account.fill("stem.norm.weight", torch.ones(4), "loaded")
    account.fill("stem.norm.running_var", torch.ones(4), "initialized")
    account.mark_used("stem.conv.weight")
    report = account.report("w.pth", 1e-3)
    assert (report.source, report.layout, report.channel_order, report.norm_eps) == (
        "w.pth",
        "torchvision resnet",
        "rgb",
        1e-3,
    )
    assert report.inflated == ("backbone.stem.conv.weight",)
    assert report.loaded == ("backbone.stem.norm.weight",)
    assert report.initialized == ("backbone.stem.norm.running_var",)
    assert report.missing == ("backbone.stem.norm.bias", "backbone.stem.norm.running_mean", "fc.weight", "fc.bias")
    assert (report.unexpected, report.ignored) == (("extra",), ())
    assert torch.equal(account.new_values["stem.norm.weight"], torch.ones(4))
