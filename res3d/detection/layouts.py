"""Layouts of detector checkpoints, see ``res3d.weights.layouts``; names of stages are those of ``ResNet3d``."""

from dataclasses import replace

from res3d.weights import CAFFE2, LAYOUTS, RESNET, Layout

# The other libraries do not predict visibility. A bias of 10 makes every object visible in every frame.
_ALL_VISIBLE = {"box_head.visible.weight": 0.0, "box_head.visible.bias": 10.0}

RES3D_DETECTOR = Layout(
    name="res3d detector",
    words={
        "stage": {s: s for s in ("stem", "conv2", "conv3", "conv4", "conv5")},
        "head": {r"neck|tpn|\w+_head": ""},
    },
    keys={
        "backbone.{stage}.{any}": "{stage}.{any}",
        "box_head.stages.{stage}.{any}": "{stage}.{any}",
        "{head}.{any}": "{head}.{any}",
    },
)

_TORCHVISION_WORDS = {
    "i": {r"\d+": ""},
    "wb": {"weight": "weight", "bias": "bias"},
    "convs": {"inner_blocks": "lateral", "layer_blocks": "output"},
    "part": {"0": "conv", "1": "norm"},
    "fc": {"fc6": "0", "fc7": "1"},
    "mask_fcn": {f"mask_fcn{n}": str(n - 1) for n in (1, 2, 3, 4)},
    "keypoint_conv": {str(2 * n): str(n) for n in range(8)},  # odd numbers are ReLUs
    "box_conv": {str(n): str(n) for n in range(4)},
}
_TORCHVISION_KEYS = {
    **{f"backbone.body.{key}": name for key, name in RESNET.keys.items() if name},
    "backbone.fpn.{convs}.{i}.{part}.{leaf}": "neck.{convs}.{i}.{part}.{leaf}",
    "backbone.fpn.{convs}.{i}.{wb}": "neck.{convs}.{i}.conv.{wb}",  # before torchvision 0.13
    "rpn.head.conv.{i}.0.{wb}": "tpn.convs.{i}.conv.{wb}",
    "rpn.head.conv.{wb}": "tpn.convs.0.conv.{wb}",
    "rpn.head.cls_logits.{wb}": "tpn.objectness.{wb}",
    "rpn.head.bbox_pred.{wb}": "tpn.deltas.{wb}",
    "roi_heads.box_predictor.cls_score.{wb}": "box_head.classes.{wb}",
    "roi_heads.box_predictor.bbox_pred.{wb}": "box_head.deltas.{wb}",
    "roi_heads.mask_head.{i}.{part}.{leaf}": "mask_head.convs.{i}.{part}.{leaf}",
    "roi_heads.mask_head.{mask_fcn}.{wb}": "mask_head.convs.{mask_fcn}.conv.{wb}",
    "roi_heads.mask_predictor.conv5_mask.{wb}": "mask_head.upsample.{wb}",
    "roi_heads.mask_predictor.mask_fcn_logits.{wb}": "mask_head.masks.{wb}",
    "roi_heads.keypoint_head.{keypoint_conv}.{wb}": "keypoints_head.convs.{keypoint_conv}.conv.{wb}",
    "roi_heads.keypoint_predictor.kps_score_lowres.{wb}": "keypoints_head.upsample.{wb}",
}

TORCHVISION_DETECTOR = Layout(
    name="torchvision detector",
    words=_TORCHVISION_WORDS,
    keys={**_TORCHVISION_KEYS, "roi_heads.box_head.{fc}.{wb}": "box_head.fcs.{fc}.{wb}"},
    stride_on="3x3",
    neutral=_ALL_VISIBLE,
)

TORCHVISION_DETECTOR_V2 = Layout(  # the box head has four convolutions with norm (0 to 3), Flatten (4) and Linear (5)
    name="torchvision detector v2",
    words=_TORCHVISION_WORDS,
    keys={
        **_TORCHVISION_KEYS,
        "roi_heads.box_head.{box_conv}.{part}.{leaf}": "box_head.convs.{box_conv}.{part}.{leaf}",
        "roi_heads.box_head.5.{wb}": "box_head.fcs.0.{wb}",
    },
    stride_on="3x3",
    neutral=_ALL_VISIBLE,
)

# Names are from model_builder.py and keypoint_rcnn_heads.py of the Detect-and-Track release; 3D heads append _1.
DETECT_AND_TRACK = replace(
    CAFFE2,
    name="detect-and-track",
    words={**CAFFE2.words, "d": {"(?:_1)?": ""}, "conv": {f"conv_fcn{n}": str(n - 1) for n in range(1, 9)}},
    keys={
        "conv_rpn_{wb}": "tpn.convs.0.conv.{wb}",
        "rpn_cls_logits{d}_{wb}": "tpn.objectness.{wb}",
        "rpn_bbox_pred{d}_{wb}": "tpn.deltas.{wb}",
        "cls_score{d}_{wb}": "box_head.classes.{wb}",
        "bbox_pred{d}_{wb}": "box_head.deltas.{wb}",
        "{conv}_{wb}": "keypoints_head.convs.{conv}.conv.{wb}",
        "kps_score_lowres_{wb}": "keypoints_head.upsample.{wb}",
        "kps_score_{wb}": "",  # ignored: fixed weights of a bilinear upsampling
        **CAFFE2.keys,
    },
    neutral=_ALL_VISIBLE,
)

DETECTOR_LAYOUTS = (RES3D_DETECTOR, TORCHVISION_DETECTOR, TORCHVISION_DETECTOR_V2, DETECT_AND_TRACK, *LAYOUTS)
