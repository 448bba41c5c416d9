from typing import Annotated

import pytest
import torch
import yaml
from helpers.detectors import SMALL, THIN, tiny_detector

import res3d
from res3d.data import CATEGORIES, DatasetInfo, SyntheticClips
from res3d.settings import Tagged, Variant, build_value
from res3d.training.detector import DetectorTask
from res3d.training.settings import MODEL_OPTIONS

INFO = DatasetInfo(num_classes=4, categories=CATEGORIES)


def test_classes_and_their_names_come_from_the_data():
    model = DetectorTask.build({"backbone": str(THIN), **SMALL}, INFO).model
    assert model.spec.num_classes == 4
    assert [c.name for c in model.spec.categories] == ["disc", "square", "triangle"]


def test_spec_option_changes_fields_of_the_spec():
    options = {"backbone": str(THIN), "keypoints": 5, **SMALL}
    changes = {"box": {"convs": [8, 4], "fcs": [16]}, "keypoints": {"convs": [8]}, "proposals": {"depth": 2}}
    model, plain = (DetectorTask.build(values, INFO).model for values in ({**options, "spec": changes}, options))
    assert (model.spec.box.convs, model.spec.box.fcs) == ((8, 4), (16,))
    assert model.spec.keypoints.convs == (8,)
    assert model.spec.proposals.depth == 2
    assert model.spec.mask == plain.spec.mask
    assert model.settings == plain.settings


def test_configuration_sets_heads_by_field_name():
    config = """
    kind: detector
    backbone: resnet18_3d
    mask: false
    tasks: {keypoints: {num_keypoints: 5, convs: [8]}}
    """
    variant = build_value(Annotated[Variant[object], Tagged(MODEL_OPTIONS)], yaml.safe_load(config), "model")
    model = DetectorTask.build({**variant.arguments, "backbone": str(THIN), **SMALL}, INFO).model
    assert list(model.tasks) == ["keypoints"]
    assert model.tasks["keypoints"].spec.num_keypoints == 5
    assert model.tasks["keypoints"].spec.convs == (8,)


def test_spec_option_keeps_the_weights_of_the_backbone(tmp_path, thin):
    res3d.save_weights(thin, tmp_path / "backbone.safetensors")
    options = {"backbone": str(THIN), "weights_backbone": str(tmp_path / "backbone.safetensors"), **SMALL}
    for spec in ({}, {"box": {"convs": [8]}}):
        model = DetectorTask.build({**options, "spec": spec}, INFO).model
        assert all(torch.equal(value, thin.state_dict()[name]) for name, value in model.backbone.state_dict().items())


def test_spec_option_with_weights_of_a_detector_is_refused(tmp_path):
    options = {"backbone": str(THIN), **SMALL}
    res3d.save_weights(DetectorTask.build(options, INFO).model, tmp_path / "whole.safetensors")
    weights = {"weights": str(tmp_path / "whole.safetensors")}
    DetectorTask.build({**options, **weights}, INFO)
    with pytest.raises(ValueError, match=r"model\.spec cannot be combined with model\.weights"):
        DetectorTask.build({**options, **weights, "spec": {"box": {"convs": [8]}}}, INFO)


def test_targets_without_a_head_are_ignored():
    """The data have masks and keypoints, but the detector has no heads for them."""
    task = DetectorTask.build({"backbone": str(THIN), "mask": False, **SMALL}, INFO)
    task.model.train()
    data = SyntheticClips(length=2, side=64)
    losses = task.losses([data[0], data[1]])
    assert set(losses) == {"loss_objectness", "loss_rpn_box_reg", "loss_classifier", "loss_box_reg", "loss_visible"}
    assert all(torch.isfinite(loss) for loss in losses.values())


def test_scores_of_perfect_empty_and_missing_results():
    data = SyntheticClips(length=2, side=64)
    task = DetectorTask(tiny_detector(mask=True, keypoints=5))
    targets = [task.truth(data[n][1]) for n in range(3)]
    perfect = [
        {
            "boxes": t["boxes"],
            "labels": t["labels"],
            "visible": t["visible"].float(),
            "scores": torch.ones(len(t["labels"])),
            "masks": t["masks"][:, :, None],
            "keypoints": t["keypoints"] + torch.tensor([100.0, 0, 0]),
        }
        for t in targets
    ]
    scores = task.score(perfect, targets)
    assert scores["box_ap"] == pytest.approx(1)
    assert scores["mask_ap"] == pytest.approx(1)
    assert scores["pck"] == 0
    assert scores["quality"] == pytest.approx(2 / 3), "the mean of box_ap, mask_ap and pck"
    no_detections = [{name: value[:0] for name, value in result.items()} for result in perfect]
    assert task.score(no_detections, targets)["box_ap"] == 0
    no_objects = [{name: value[:0] for name, value in target.items()} for target in targets]
    assert task.score(no_detections, no_objects) == {"quality": 0.0}, "the best score is always defined"
