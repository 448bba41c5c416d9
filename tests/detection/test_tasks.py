"""Heads besides the box head: their specs, their declared results, and ``TASKS``."""

from dataclasses import replace

import pytest
import torch
from helpers.detectors import tiny_detector

import res3d
from res3d.backbone import NormSpec
from res3d.detection.keypoint_head import KeypointHeadSpec
from res3d.detection.mask_head import MaskHeadSpec
from res3d.detection.spec import TASKS, DetectorSpec

MASK = MaskHeadSpec(convs=(8, 8), channels=8)
POSES = KeypointHeadSpec(num_keypoints=5, convs=(8,), temporal_kernel=3, border="zeros")


def test_heads_are_built_from_specs_and_mappings():
    model = tiny_detector(tasks={"mask": MASK, "keypoints": POSES})
    assert model.spec.tasks == {"mask": MASK, "keypoints": POSES}
    assert tiny_detector(mask=False, tasks={"keypoints": POSES}).spec.tasks == {"keypoints": POSES}
    fields = {"num_keypoints": 5, "convs": [8], "temporal_kernel": 3, "border": "zeros"}
    assert tiny_detector(mask=False, tasks={"keypoints": fields}).spec.tasks == {"keypoints": POSES}
    assert tiny_detector(temporal_kernel=5, tasks={"keypoints": POSES}).spec.keypoints == replace(
        POSES, temporal_kernel=5
    )
    assert DetectorSpec.from_yaml(model.spec.to_yaml()) == model.spec


@pytest.mark.parametrize(
    ("tasks", "message"),
    [
        (
            {"keypoint": POSES},
            r"tasks: unknown head 'keypoint'; did you mean 'keypoints'\? \(accepted: mask, keyp",
        ),
        ({"mask": POSES}, "tasks: mask must be a MaskHeadSpec, not KeypointHeadSpec"),
        ({"mask": 5}, "tasks: mask must be a MaskHeadSpec, not 5"),
        ({"mask": {"roi": 5}}, "tasks.mask: unknown key 'roi'; did you mean 'roi_size'"),
    ],
)
def test_invalid_heads_are_refused(tasks, message):
    with pytest.raises(ValueError, match=message):
        tiny_detector(tasks=tasks)


@torch.no_grad()
def test_results_have_the_declared_names_and_shapes():
    model = tiny_detector(keypoints=5).eval()
    (result,) = model([torch.rand(3, 4, 40, 56)])
    assert list(model.result_shapes) == ["boxes", "visible", "scores", "labels", "embeddings", *list(result)[5:]]
    letters = {"D": len(result["scores"]), "T": 4, "H": 40, "W": 56, "E": result["embeddings"].shape[1]}
    for name, shape in model.result_shapes.items():
        assert list(result[name].shape) == [letters.get(word) or int(word) for word in shape.split()], name


def test_tasks_lists_the_heads_of_the_spec():
    assert {"mask": MaskHeadSpec, "keypoints": KeypointHeadSpec} == TASKS
    targets = {task.field: task.target.values for task in tiny_detector(keypoints=5).tasks.values()}
    assert targets == {"masks": "binary", "keypoints": "coordinates"}


@pytest.mark.slow
def test_set_norm_eps_changes_every_norm():
    model = tiny_detector(design="torchvision_v2")
    model.set_norm_eps(1e-3)
    norm = NormSpec(eps=1e-3)
    spec = model.spec
    assert (spec.backbone.norm, spec.neck.norm, spec.box.norm, spec.mask.norm) == (norm,) * 4
    assert {module.eps for module in model.modules() if hasattr(module, "eps")} == {1e-3}
    assert res3d.ResNet3d(spec.backbone).spec == model.backbone.spec
