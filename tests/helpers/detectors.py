"""Small detectors with non-trivial predictions, and targets for them."""

import torch
from helpers.paths import ROOT
from torch import nn

from res3d.detection import MaskRCNN3d, mask_rcnn_3d

THIN = ROOT / "configs" / "backbones" / "resnet10_3d_thin.yaml"
SMALL = {
    "channels": 8,
    "min_size": 64,
    "max_size": 96,
    "rpn_pre_nms_top_n_train": 40,
    "rpn_post_nms_top_n_train": 30,
    "rpn_pre_nms_top_n_test": 40,
    "rpn_post_nms_top_n_test": 20,
    "rpn_batch_size_per_image": 32,
    "box_batch_size_per_image": 16,
    "box_detections_per_img": 6,
}


def tiny_detector(num_classes: int = 4, **keywords) -> MaskRCNN3d:
    """Return a small detector whose predictors have random weights, so that predictions vary over the image."""
    model = mask_rcnn_3d(THIN, num_classes, **{**SMALL, **keywords})
    with torch.no_grad():
        for predictor in (model.tpn.objectness, model.tpn.deltas, model.box_head.classes, model.box_head.deltas):
            fan = predictor.weight[0].numel()
            nn.init.normal_(predictor.weight, 0, 3 / fan**0.5)
    return model


def clip_targets(size: tuple[int, ...], heads: list[str], count: int = 2) -> dict[str, torch.Tensor]:
    """Return targets of a clip of ``size`` [C, T, H, W]: ``count`` moving objects, each invisible in one frame."""
    _, t, h, w = size
    corner = torch.rand(count, 1, 2) * torch.tensor([w / 3, h / 3]) + torch.arange(t)[None, :, None]
    boxes = torch.cat([corner, corner + 14 + 5 * torch.rand(count, 1, 2)], dim=2)
    visible = torch.ones(count, t, dtype=torch.bool)
    visible[:, min(1, t - 1)] = t == 1
    target = {"boxes": boxes, "visible": visible, "labels": torch.arange(count) % 3 + 1}
    if "masks" in heads:
        target["masks"] = torch.rand(count, t, h, w) > 0.5
    if "keypoints" in heads:
        points = boxes[..., None, :2] + torch.rand(count, t, 5, 2) * 14
        target["keypoints"] = torch.cat([points, torch.full((count, t, 5, 1), 2.0)], dim=3)
    return target
