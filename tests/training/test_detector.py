import pytest
import torch
from made_detectors import SMALL, THIN

import res3d
from res3d.data import CATEGORIES, DatasetInfo, SyntheticClips
from res3d.training.detector import DETECTOR

FACTS = DatasetInfo(num_classes=4, categories=CATEGORIES)


def test_classes_and_their_names_are_the_datas():
    model = DETECTOR.build({"backbone": str(THIN), **SMALL}, FACTS)
    assert model.spec.num_classes == 4
    assert [c.name for c in model.spec.categories] == ["disc", "square", "triangle"]


def test_parts_of_the_spec_can_be_changed():
    options = {"backbone": str(THIN), "keypoints": 5, **SMALL}
    changes = {"box": {"convs": [8, 4], "fcs": [16]}, "keypoints": {"convs": [8]}, "proposals": {"depth": 2}}
    model, plain = DETECTOR.build({**options, "spec": changes}, FACTS), DETECTOR.build(options, FACTS)
    assert (model.spec.box.convs, model.spec.box.fcs) == ((8, 4), (16,))
    assert model.spec.keypoints.convs == (8,)
    assert model.spec.proposals.depth == 2
    assert model.spec.mask == plain.spec.mask
    assert model.settings == plain.settings


def test_a_changed_detector_keeps_the_weights_of_its_backbone(tmp_path, thin):
    res3d.save_weights(thin, tmp_path / "backbone.safetensors")
    options = {"backbone": str(THIN), "weights_backbone": str(tmp_path / "backbone.safetensors"), **SMALL}
    for spec in ({}, {"box": {"convs": [8]}}):
        model = DETECTOR.build({**options, "spec": spec}, FACTS)
        assert all(torch.equal(value, thin.state_dict()[name]) for name, value in model.backbone.state_dict().items())


def test_changes_and_weights_of_a_whole_detector_do_not_go_together(tmp_path):
    options = {"backbone": str(THIN), **SMALL}
    res3d.save_weights(DETECTOR.build(options, FACTS), tmp_path / "whole.safetensors")
    weights = {"weights": str(tmp_path / "whole.safetensors")}
    DETECTOR.build({**options, **weights}, FACTS)
    with pytest.raises(ValueError, match=r"model\.spec changes a detector without weights"):
        DETECTOR.build({**options, **weights, "spec": {"box": {"convs": [8]}}}, FACTS)


def test_only_what_the_heads_need_is_learned_from():
    """The data have masks and keypoints; this detector has no use for them."""
    model = DETECTOR.build({"backbone": str(THIN), "mask": False, **SMALL}, FACTS).train()
    data = SyntheticClips(length=2, side=64)
    losses = DETECTOR.losses(model, [data[0], data[1]], None)
    assert set(losses) == {"loss_objectness", "loss_rpn_box_reg", "loss_classifier", "loss_box_reg", "loss_visible"}
    assert all(torch.isfinite(loss) for loss in losses.values())


def test_results_are_scored_and_nothing_found_is_a_score_too():
    data = SyntheticClips(length=2, side=64)
    targets = [DETECTOR.truth(data[n][1]) for n in range(3)]
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
    scores = DETECTOR.score(perfect, targets)
    assert scores["box_ap"] == pytest.approx(1)
    assert scores["mask_ap"] == pytest.approx(1)
    assert scores["pck"] == 0
    assert scores["quality"] == pytest.approx(2 / 3), "the mean of what its heads are to do"
    nothing = [{name: value[:0] for name, value in result.items()} for result in perfect]
    assert DETECTOR.score(nothing, targets)["box_ap"] == 0
    empty = [{name: value[:0] for name, value in target.items()} for target in targets]
    assert DETECTOR.score(nothing, empty) == {"quality": 0.0}, "there is a best score whatever there is to score"
