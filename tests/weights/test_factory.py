"""Factories of backbones and classifiers."""

import pickle

import pytest
import torch

import res3d
from res3d.backbone import CATALOG, BackboneSpec
from res3d.clips import ClipSpec
from res3d.weights import WeightsError, create_backbone, create_classifier, load_classifier, named_factory

THIN = {"width": 0.0625}


def test_a_backbone_is_built_from_a_name_a_spec_or_a_file(thin_spec):
    spec = BackboneSpec.from_yaml(thin_spec.read_text())
    assert create_backbone(thin_spec).spec == create_backbone(str(thin_spec)).spec == create_backbone(spec).spec == spec
    assert create_backbone("r3d_18", **THIN).spec.name == "r3d_18"


def test_the_keywords_of_a_backbone_take_effect(thin_spec):
    model = create_backbone(
        thin_spec,
        body="conv4",
        freeze_at=2,
        out_features=["conv4", "conv2"],
        checkpoint_stages=["conv3"],
        in_channels=1,
        norm_eps=1e-3,
    )
    assert model.spec.stage_names == ("stem", "conv2", "conv3", "conv4")
    assert model.frozen_stages == ("stem", "conv2")
    assert [stage.checkpointed for stage in (model.conv3, model.conv4)] == [True, False]
    maps = model(torch.zeros(1, 1, 4, 32, 32))
    assert {name: tuple(value.shape) for name, value in maps.items()} == {
        "conv4": (1, 32, 4, 2, 2),
        "conv2": (1, 8, 4, 8, 8),
    }
    assert list(maps) == ["conv4", "conv2"]
    assert model.stem.norm.eps == 1e-3


def test_head_load_takes_the_classifier_of_the_weights_and_new_does_not(thin, thin_spec):
    state = res3d.ClipClassifier(thin, 3).state_dict()
    loaded = create_classifier(thin_spec, 3, weights=state)
    new = create_classifier(thin_spec, 3, weights=state, head="new", dropout=0.5)
    assert torch.equal(loaded.fc.weight, state["fc.weight"])
    assert not torch.equal(new.fc.weight, state["fc.weight"])
    assert torch.equal(new.backbone.stem.conv.weight, state["backbone.stem.conv.weight"])
    assert new.dropout.p == 0.5


def test_another_head_is_refused(thin_spec):
    with pytest.raises(ValueError, match="head must be 'load' or 'new', not 'keep'"):
        create_classifier(thin_spec, 3, head="keep")


def test_load_classifier_rebuilds_a_saved_classifier(tmp_path, thin):
    clip = ClipSpec(length=4)
    model = res3d.ClipClassifier(thin, 2, dropout=0.25, trained_on=clip, categories=("a", "b"))
    res3d.save_weights(model, tmp_path / "c.safetensors")
    loaded = load_classifier(tmp_path / "c.safetensors")
    assert (loaded.num_classes, loaded.dropout.p, loaded.trained_on, loaded.categories) == (2, 0.25, clip, ("a", "b"))
    assert torch.equal(loaded.fc.weight, model.fc.weight)


def test_load_classifier_takes_the_number_of_classes_from_a_state_dict(thin):
    model = res3d.ClipClassifier(thin, 5)
    loaded = load_classifier(model.state_dict(), model=thin.spec, norm_eps=1e-3)
    assert loaded.num_classes == 5
    assert loaded.backbone.spec.norm.eps == 1e-3
    assert (loaded.trained_on, loaded.categories) == (None, ())
    assert torch.equal(loaded.fc.weight, model.fc.weight)


def test_load_classifier_refuses_weights_without_a_classifier(tmp_path, thin):
    res3d.save_weights(thin, tmp_path / "b.safetensors")
    with pytest.raises(WeightsError, match=r"b\.safetensors: holds a ResNet3d, not a classifier"):
        load_classifier(tmp_path / "b.safetensors")
    with pytest.raises(WeightsError, match="a state dict: contains no classifier"):
        load_classifier(thin.state_dict(), model=thin.spec)
    with pytest.raises(ValueError, match=r"a state dict does not describe its model; name .* \(model=\.\.\.\)"):
        load_classifier(thin.state_dict())


def test_a_named_factory_builds_its_backbone_and_can_be_pickled():
    factory = named_factory("r3d_18")
    model = factory(body="conv2", **THIN)
    assert (model.spec.name, model.spec.stage_names) == ("r3d_18", ("stem", "conv2"))
    assert factory.__doc__ == "Build the backbone 'r3d_18'; takes the keywords of ``create_backbone``."
    assert pickle.loads(pickle.dumps(res3d.r3d_18)) is res3d.r3d_18


def test_a_factory_of_an_unknown_name_is_refused():
    with pytest.raises(KeyError, match="r3d_81"):
        named_factory("r3d_81")


@pytest.mark.parametrize("name", CATALOG)
def test_every_name_of_the_catalog_is_a_factory_of_the_package(name):
    assert getattr(res3d, name).__name__ == name
