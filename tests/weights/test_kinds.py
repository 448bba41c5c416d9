"""Model kinds: metadata of each kind, and its way back to a model."""

import json

import pytest
import torch
from helpers.detectors import tiny_detector

import res3d
from res3d.clips import ClipSpec
from res3d.weights import ModelDescription, WeightsError, kind_of
from res3d.weights.kinds import BACKBONE, CLASSIFIER, KINDS, find_kind, parse_metadata, resolve_kind

CLIP = ClipSpec(length=4, step=2, resize=40, crop=(32, 36))


@pytest.fixture(params=KINDS)
def model(request, thin) -> torch.nn.Module:
    """A model of each kind."""
    return {
        "backbone": lambda: thin,
        "classifier": lambda: res3d.ClipClassifier(thin, 2, dropout=0.25, trained_on=CLIP, categories=("walk", "run")),
        "detector": tiny_detector,
    }[request.param]()


def test_metadata_survives_json_and_rebuilds_the_model(model):
    kind = kind_of(model)
    metadata = {"kind": kind.name, **kind.describe(model)}
    read = parse_metadata(json.dumps(metadata))
    assert read == metadata
    assert find_kind(read) is kind
    description = kind.parse(read)
    assert isinstance(description, ModelDescription)
    assert description.spec.stage_names == kind.backbone_spec(model).stage_names
    rebuilt = kind.build(description)
    assert type(rebuilt) is type(model)
    shapes = [{key: value.shape for key, value in m.state_dict().items()} for m in (rebuilt, model)]
    assert shapes[0] == shapes[1]
    assert kind.describe(rebuilt) == kind.describe(model)


def test_set_norm_eps_changes_all_norms_and_the_spec(model):
    kind = kind_of(model)
    kind.set_norm_eps(model, 1e-2)
    assert {module.eps for module in model.modules() if hasattr(module, "running_mean")} == {1e-2}
    assert kind.backbone_spec(model).norm.eps == 1e-2


def test_a_classifier_is_described_with_its_classes_and_clip_spec(thin):
    metadata = CLASSIFIER.describe(res3d.ClipClassifier(thin, 2, dropout=0.25, trained_on=CLIP, categories=("a", "b")))
    description = CLASSIFIER.parse(metadata)
    assert (description.num_classes, description.dropout) == (2, 0.25)
    assert (description.categories, description.clip, description.spec) == (("a", "b"), CLIP, thin.spec)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_classes": "two"}, "num_classes 'two', dropout 0.0"),
        ({"dropout": None}, "num_classes 2, dropout None"),
        ({"categories": "walk"}, "categories must be a list of names, not 'walk'"),
        ({"categories": ["walk", 1]}, r"categories must be a list of names, not \['walk', 1\]"),
        ({"trained_on": "lenght: 4"}, "trained_on: unknown key 'lenght'; did you mean 'length'"),
    ],
)
def test_wrong_metadata_of_a_classifier_is_refused(thin, change, message):
    metadata = {**CLASSIFIER.describe(res3d.ClipClassifier(thin, 2)), **change}
    with pytest.raises(ValueError, match=message):
        CLASSIFIER.parse(metadata)


def test_metadata_without_a_spec_is_refused():
    with pytest.raises(KeyError):
        BACKBONE.parse({})


@pytest.mark.parametrize("text", ["", "[]", "3", "{", '"backbone"'])
def test_text_that_is_not_a_json_object_is_refused(text):
    with pytest.raises(WeightsError, match="its metadata is not a JSON object"):
        parse_metadata(text)


@pytest.mark.parametrize("name", ["boat", None, 3, ["backbone"]])
def test_an_unknown_kind_is_refused(name):
    with pytest.raises(WeightsError, match="its model kind must be one of 'backbone', 'classifier', 'detector', not"):
        find_kind({"kind": name})


def test_other_modules_have_no_kind():
    with pytest.raises(
        TypeError, match="the model must be a ResNet3d or a ClipClassifier or a MaskRCNN3d, not a Linear"
    ):
        kind_of(torch.nn.Linear(1, 1))


@pytest.mark.parametrize("name", KINDS)
def test_names_of_the_table_are_those_of_the_kinds(name):
    assert resolve_kind(name).name == name
