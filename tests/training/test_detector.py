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


def test_classes_and_their_names_are_the_datas():
    model = DetectorTask.build({"backbone": str(THIN), **SMALL}, INFO).model
    assert model.spec.num_classes == 4
    assert [c.name for c in model.spec.categories] == ["disc", "square", "triangle"]


def test_parts_of_the_spec_can_be_changed():
    options = {"backbone": str(THIN), "keypoints": 5, **SMALL}
    changes = {"box": {"convs": [8, 4], "fcs": [16]}, "keypoints": {"convs": [8]}, "proposals": {"depth": 2}}
    model, plain = (DetectorTask.build(given, INFO).model for given in ({**options, "spec": changes}, options))
    assert (model.spec.box.convs, model.spec.box.fcs) == ((8, 4), (16,))
    assert model.spec.keypoints.convs == (8,)
    assert model.spec.proposals.depth == 2
    assert model.spec.mask == plain.spec.mask
    assert model.settings == plain.settings


def test_a_config_names_heads_by_their_field_and_settings():
    config = """
    kind: detector
    backbone: resnet18_3d
    mask: false
    tasks: {keypoints: {num_keypoints: 5, convs: [8]}}
    """
    given = build_value(Annotated[Variant[object], Tagged(MODEL_OPTIONS)], yaml.safe_load(config), "model")
    model = DetectorTask.build({**given.arguments, "backbone": str(THIN), **SMALL}, INFO).model
    assert list(model.tasks) == ["keypoints"]
    assert model.tasks["keypoints"].spec.num_keypoints == 5
    assert model.tasks["keypoints"].spec.convs == (8,)


def test_a_changed_detector_keeps_the_weights_of_its_backbone(tmp_path, thin):
    res3d.save_weights(thin, tmp_path / "backbone.safetensors")
    options = {"backbone": str(THIN), "weights_backbone": str(tmp_path / "backbone.safetensors"), **SMALL}
    for spec in ({}, {"box": {"convs": [8]}}):
        model = DetectorTask.build({**options, "spec": spec}, INFO).model
        assert all(torch.equal(value, thin.state_dict()[name]) for name, value in model.backbone.state_dict().items())


def test_changes_and_weights_of_a_whole_detector_do_not_go_together(tmp_path):
    options = {"backbone": str(THIN), **SMALL}
    res3d.save_weights(DetectorTask.build(options, INFO).model, tmp_path / "whole.safetensors")
    weights = {"weights": str(tmp_path / "whole.safetensors")}
    DetectorTask.build({**options, **weights}, INFO)
    with pytest.raises(ValueError, match=r"model\.spec changes a detector without weights"):
        DetectorTask.build({**options, **weights, "spec": {"box": {"convs": [8]}}}, INFO)


def test_only_what_the_heads_need_is_learned_from():
    """The data have masks and keypoints; this detector has no use for them."""
    task = DetectorTask.build({"backbone": str(THIN), "mask": False, **SMALL}, INFO)
    task.model.train()
    data = SyntheticClips(length=2, side=64)
    losses = task.losses([data[0], data[1]])
    assert set(losses) == {"loss_objectness", "loss_rpn_box_reg", "loss_classifier", "loss_box_reg", "loss_visible"}
    assert all(torch.isfinite(loss) for loss in losses.values())


def test_results_are_scored_and_nothing_found_is_a_score_too():
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
    assert scores["quality"] == pytest.approx(2 / 3), "the mean of what its heads are to do"
    nothing = [{name: value[:0] for name, value in result.items()} for result in perfect]
    assert task.score(nothing, targets)["box_ap"] == 0
    empty = [{name: value[:0] for name, value in target.items()} for target in targets]
    assert task.score(nothing, empty) == {"quality": 0.0}, "there is a best score whatever there is to score"
