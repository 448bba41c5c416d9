import pytest
import torch
from helpers.detectors import THIN, tiny_detector

import res3d


@pytest.mark.parametrize("neck", ["fpn", "c4"])
def test_backbone_weights_load_into_body_and_box_head(neck):
    """conv5 is part of the backbone with a pyramid, and of the box head without one, with its temporal kernel."""
    backbone = res3d.create_backbone(THIN)
    model = tiny_detector(neck=neck, weights_backbone=backbone.state_dict())
    parent = model.backbone if neck == "fpn" else model.box_head.stages
    assert torch.equal(model.backbone.conv4[0].branch.a.conv.weight, backbone.conv4[0].branch.a.conv.weight)
    assert torch.equal(parent.conv5[0].branch.a.conv.weight, backbone.conv5[0].branch.a.conv.weight)
    assert parent.conv5[0].branch.a.conv.weight.shape[2] == 3


def test_2d_backbone_weights_are_inflated():
    weights_2d = {
        k: v.mean(dim=2, keepdim=True) if v.dim() == 5 else v
        for k, v in res3d.create_backbone(THIN).state_dict().items()
    }
    center, mean = (
        tiny_detector(weights_backbone=weights_2d, inflate=inflate).backbone.conv4[0].branch.a.conv.weight
        for inflate in ("center", "mean")
    )
    source = weights_2d["conv4.0.branch.a.conv.weight"][:, :, 0]
    assert torch.equal(center[:, :, 1], source)
    assert center[:, :, 0].abs().max() == 0
    assert torch.allclose(mean[:, :, 0], source / 3)
    with pytest.raises(res3d.WeightsError, match="weights that do not fit this backbone"):
        tiny_detector(weights_backbone={k: v for k, v in weights_2d.items() if not k.startswith("conv5")})


def test_temporal_kernel_applies_to_every_part():
    for frames in (1, 3, 5):
        model = tiny_detector(temporal_kernel=frames, keypoints=5)
        for part in (model.neck.output[0], model.tpn.convs, model.mask_head.convs, model.keypoints_head.convs):
            assert {m.kernel_size[0] for m in part.modules() if isinstance(m, torch.nn.Conv3d)} == {frames}
        assert model.box_head.fcs[0].kernel_size[0] == frames


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"temporal_kernel": 2}, "temporal_kernel must be an odd number of frames, not 2"),
        ({"temporal_kernel": 0}, "temporal_kernel must be an odd number of frames, not 0"),
        ({"anchor_sizes": ((32,), (64,))}, r"anchor_sizes must be a list of whole pixels like \[32, 64, ...\]"),
        ({"anchor_sizes": ()}, "anchor_sizes must be a list of whole pixels"),
        ({"channels": True}, "channels must be a whole number ≥ 1, not True"),
        ({"keypoints": True}, "keypoints must be a whole number ≥ 1, not True"),
        ({"inflate": "centre"}, "inflate must be one of 'center'"),
        ({"design": "detect_and_track"}, "neck must be 'c4' for the design detect-and-track, not 'fpn'"),
        (
            {"image_mean": (0.5,), "image_std": (0.5,)},
            "image_mean must be 3 numbers, one per channel, not 1",
        ),
        ({"num_classes": 1}, "num_classes must be ≥ 2, the background and at least one class, not 1"),
        ({"anchor_sizes": (32, 64)}, "anchor sizes must have 5 feature levels, not 2"),
    ],
)
def test_invalid_keywords_are_refused(keywords, message):
    with pytest.raises(ValueError, match=message):
        tiny_detector(**keywords)
