from dataclasses import replace

import pytest
from helpers.detectors import THIN

from res3d.backbone import apply_overrides, resolve_spec
from res3d.detection import DetectorSpec
from res3d.detection.anchors import AnchorSpec
from res3d.detection.box_head import BoxHeadSpec
from res3d.detection.keypoint_head import KeypointHeadSpec
from res3d.detection.mask_head import MaskHeadSpec
from res3d.detection.proposals import ProposalSpec
from res3d.structures import Category

BACKBONE = resolve_spec(THIN)
PYRAMID = DetectorSpec(name="pyramid", num_classes=3, backbone=BACKBONE)


def single_level(**fields) -> DetectorSpec:
    """Return the spec of a C4 detector."""
    body, stages = BACKBONE.split("conv4")
    defaults = {
        "name": "single level",
        "num_classes": 3,
        "backbone": body,
        "neck": None,
        "proposals": ProposalSpec(anchors=AnchorSpec(sizes=((32, 64),))),
        "box": BoxHeadSpec(stages=stages, fcs=()),
    }
    return DetectorSpec(**{**defaults, **fields})


def test_pyramid_uses_all_stages_after_the_stem_and_one_more_level():
    assert PYRAMID.map_names == ("conv2", "conv3", "conv4", "conv5")
    assert PYRAMID.strides == (4, 8, 16, 32, 64)
    assert PYRAMID.channels == 256


def test_strides_in_time_do_not_change_the_levels():
    strided = replace(PYRAMID, backbone=apply_overrides(BACKBONE, temporal_stride=2))
    assert strided.strides == PYRAMID.strides


def test_single_level_uses_the_last_stage_of_the_body():
    spec = single_level()
    assert spec.map_names == ("conv4",)
    assert spec.strides == (16,)
    assert spec.channels == BACKBONE.feature_info["conv4"].channels


def test_temporal_kernel_changes_neck_proposals_and_heads_only():
    keypoints = KeypointHeadSpec(num_keypoints=5)
    spec = replace(PYRAMID, mask=MaskHeadSpec(), keypoints=keypoints).with_temporal_kernel(5)
    kernels = [part.temporal_kernel for part in (spec.neck, spec.proposals, spec.box, spec.mask, spec.keypoints)]
    assert kernels == [5] * 5
    assert spec.backbone == BACKBONE
    assert single_level().with_temporal_kernel(5).neck is None


@pytest.mark.parametrize(
    "spec",
    [
        PYRAMID,
        single_level(box_offset=1, channel_order="bgr", keypoints=KeypointHeadSpec(num_keypoints=5, border="zeros")),
        replace(PYRAMID, mask=MaskHeadSpec(convs=(8,)), categories=(Category(name="fly"), Category(name="bee"))),
    ],
    ids=lambda spec: spec.name,
)
def test_yaml_gives_the_spec_again(spec):
    assert DetectorSpec.from_yaml(spec.to_yaml()) == spec


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"num_classes": 1}, "num_classes must be ≥ 2, the background and at least one class, not 1"),
        ({"categories": (Category(name="fly"),)}, "categories must be none or 2, one per class besides the background"),
        ({"box_offset": 2}, "box_offset must be 0 or 1, not 2"),
        ({"channel_order": "gray"}, "channel_order must be 'rgb' or 'bgr', not 'gray'"),
        ({"neck": None}, "anchor sizes must have 1 feature levels, not 5"),
    ],
)
def test_invalid_spec_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        replace(PYRAMID, **fields)


def test_strides_must_be_powers_of_two():
    stages = (*BACKBONE.stages[:-1], replace(BACKBONE.stages[-1], stride=(1, 3, 3)))
    with pytest.raises(ValueError, match="strides in y and x must be equal powers of 2, not 48 and 48 as in conv5"):
        replace(PYRAMID, backbone=replace(BACKBONE, stages=stages))


def test_unknown_yaml_key_is_refused():
    text = PYRAMID.to_yaml().replace("num_classes:", "num_clases:")
    with pytest.raises(ValueError, match="spec: unknown key 'num_clases'; did you mean 'num_classes'"):
        DetectorSpec.from_yaml(text)
