"""torchvision's detectors, inflated: the same boxes, scores, labels, masks and keypoints in every frame of a clip.

Random detectors find nothing in particular, so there would be nothing to compare: norm statistics are calibrated on
random images and the predictors' weights spread until many boxes of different classes come out.
"""

import pytest
import torch
from helpers.parity_peers import assert_close
from torch import nn
from torchvision.models import detection as peers
from torchvision.ops import FrozenBatchNorm2d

import res3d
from res3d.detection import mask_rcnn_3d

CLASSES = 7
KEYPOINTS = 5
SIZES = {"min_size": 80, "max_size": 120}
COUNTS = {"rpn_pre_nms_top_n_test": 60, "rpn_post_nms_top_n_test": 30, "box_detections_per_img": 14}
# name: keywords of theirs, keywords of ours
CASES = {
    "fasterrcnn_resnet50_fpn": ({}, {"mask": False}),
    "maskrcnn_resnet50_fpn": ({}, {}),
    "keypointrcnn_resnet50_fpn": ({"num_keypoints": KEYPOINTS}, {"mask": False, "keypoints": KEYPOINTS}),
    "fasterrcnn_resnet50_fpn_v2": ({}, {"mask": False}),
    "maskrcnn_resnet50_fpn_v2": ({}, {}),
}
IMAGE = (3, 60, 88)  # of a size that is resized and padded


@torch.no_grad()
def lively(name: str, **settings) -> nn.Module:
    """A random detector of torchvision's whose every layer matters and which finds things."""
    torch.manual_seed(3)
    keywords = {"weights": None, "weights_backbone": None, "num_classes": CLASSES, **SIZES, **COUNTS, **settings}
    model = getattr(peers, name)(**keywords, **CASES[name][0])
    for key, tensor in model.state_dict().items():
        if key.endswith("running_var"):
            tensor.uniform_(0.5, 2)
        elif key.endswith(("bias", "running_mean")):
            tensor.normal_(0, 0.1)
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None  # a plain average over what it sees
        norm.weight.uniform_(0.5, 1.5)
    model.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.train()
    model([torch.rand(*IMAGE), torch.rand(*IMAGE)])
    model.eval()
    spread(model)
    return model


def spread(model: nn.Module) -> None:
    """Predictors scaled until their outputs differ so much from place to place and from box to box."""
    rpn, predictor = model.rpn.head, model.roi_heads.box_predictor
    for layer, deviation in (
        (rpn.cls_logits, 2.0),
        (rpn.bbox_pred, 0.3),
        (predictor.cls_score, 2.0),
        (predictor.bbox_pred, 1.0),
    ):
        outputs: list[torch.Tensor] = []
        hook = layer.register_forward_hook(
            lambda module, inputs, y, kept=outputs: kept.append(y.transpose(0, 1).flatten(1))
        )
        model([torch.rand(*IMAGE)])
        hook.remove()
        values = torch.cat(outputs, dim=1)  # a row a channel
        scale = deviation / values.std(dim=1)
        layer.bias.sub_(values.mean(dim=1)).mul_(scale)
        layer.weight.mul_(scale.view(-1, *[1] * (layer.weight.dim() - 1)))


def ours_of(name: str, theirs: nn.Module, **keywords) -> nn.Module:
    model = mask_rcnn_3d(
        "resnet50_3d", CLASSES, weights=theirs.state_dict(), **SIZES, **COUNTS, **CASES[name][1], **keywords
    )
    return model.eval()


def rows_by_score(result: dict[str, torch.Tensor]) -> torch.Tensor:
    """An order in which two equal sets of detections are equal lists."""
    keys = torch.stack([result["scores"].double(), result["labels"].double()], dim=1)
    return torch.tensor(sorted(range(len(keys)), key=lambda i: keys[i].tolist()))


@pytest.fixture(scope="module", params=CASES)
def pair(request):
    theirs = lively(request.param)
    return request.param, ours_of(request.param, theirs).double(), theirs.double()


@pytest.mark.parametrize("frames", [1, 3])
def test_every_frame_of_a_still_clip_is_the_image_detector(pair, frames):
    _, ours, theirs = pair
    images = [torch.rand(*IMAGE, dtype=torch.float64), torch.rand(3, 64, 48, dtype=torch.float64)]
    images = images if frames == 1 else images[:1]
    with torch.no_grad():
        expected = theirs(images)
        found = ours([image[:, None].expand(-1, frames, -1, -1) for image in images])
    assert len(found) == len(images)
    for theirs_one, ours_one in zip(expected, found, strict=True):
        assert len(theirs_one["scores"]) == len(ours_one["scores"]) >= 10
        assert len(theirs_one["labels"].unique()) > 1
        a, b = rows_by_score(theirs_one), rows_by_score(ours_one)
        assert torch.equal(theirs_one["labels"][a], ours_one["labels"][b])
        torch.testing.assert_close(ours_one["scores"][b], theirs_one["scores"][a], rtol=0, atol=1e-6)
        for t in range(frames):
            for field in ("boxes", "masks", "keypoints", "keypoints_scores"):
                assert (field in theirs_one) == (field in ours_one)
                if field in theirs_one:
                    mine, other = ours_one[field][b][:, t], theirs_one[field][a].double()
                    # torchvision gives keypoints as float32 even for float64 input
                    tolerance = 1e-6 * max(other.abs().max().item(), 1)
                    torch.testing.assert_close(mine, other, rtol=0, atol=tolerance)
        assert (ours_one["visible"] > 0.9999).all()
        assert torch.allclose(ours_one["embeddings"].norm(dim=1), torch.ones(1, dtype=torch.float64))


@torch.no_grad()
def dense_outputs_of_theirs(model: nn.Module, images: list[torch.Tensor]) -> list[torch.Tensor]:
    batch, _ = model.transform(images)
    maps = model.backbone(batch.tensors)
    logits, deltas = model.rpn.head(list(maps.values()))
    return [*maps.values(), *logits, *deltas]


@torch.no_grad()
def dense_outputs_of_ours(model: nn.Module, clips: list[torch.Tensor], frame: int) -> list[torch.Tensor]:
    batch = model.transform(clips)
    maps = model.neck(list(model.backbone(batch.pixels).values()), batch.pixels.shape[2])
    hidden = [model.tpn.convs(m) for m in maps]
    outputs = [*maps, *map(model.tpn.objectness, hidden), *map(model.tpn.deltas, hidden)]
    return [x[:, :, frame] for x in outputs]


def test_in_single_precision_the_dense_outputs_agree(pair):
    _, ours, theirs = pair
    images = [torch.rand(*IMAGE)]
    expected = dense_outputs_of_theirs(theirs.float(), images)
    clips = [image[:, None].expand(-1, 3, -1, -1) for image in images]
    found = dense_outputs_of_ours(ours.float(), clips, 1)
    theirs.double(), ours.double()
    for a, b in zip(found, expected, strict=True):
        assert_close(a, b, 1e-4)


def test_different_frames_are_each_their_own_image(pair):
    """Equal frames cannot reveal a mix-up of frames."""
    _, ours, theirs = pair
    clip = torch.rand(3, 2, *IMAGE[1:], dtype=torch.float64)
    for t in range(2):
        expected = dense_outputs_of_theirs(theirs, [clip[:, t]])
        for a, b in zip(dense_outputs_of_ours(ours, [clip], t), expected, strict=True):
            assert_close(a, b, 1e-10)


def test_the_report_accounts_for_every_tensor(pair):
    name, _, theirs = pair
    model = mask_rcnn_3d("resnet50_3d", CLASSES, design=None, weights=theirs.state_dict(), **CASES[name][1])
    report = res3d.load_weights(model, theirs.state_dict())
    assert report.layout == ("torchvision detector v2" if name.endswith("_v2") else "torchvision detector")
    assert report.missing == report.unexpected == report.ignored == ()
    assert set(report.initialized) == {"box_head.visible.weight", "box_head.visible.bias"}
    names = {*report.loaded, *report.inflated, *report.initialized}
    assert names == {key for key in model.state_dict() if key in names or not key.endswith("num_batches_tracked")}
    assert FrozenBatchNorm2d not in {type(m) for m in model.modules()}


def objects(count: int) -> dict[str, torch.Tensor]:
    """What an image of the size above shows."""
    corners = torch.rand(count, 2, dtype=torch.float64) * 25
    boxes = torch.cat([corners, corners + 12 + torch.rand(count, 2, dtype=torch.float64) * 22], dim=1)
    keypoints = torch.rand(count, KEYPOINTS, 3, dtype=torch.float64) * (boxes[:, None, 2:] - boxes[:, None, :2]).repeat(
        1, 1, 2
    )[..., :3] + torch.cat([boxes[:, None, :2], torch.ones(count, 1, 1, dtype=torch.float64)], dim=2)
    masks = torch.rand(count, *IMAGE[1:]) > 0.5
    return {"boxes": boxes, "labels": torch.randint(1, CLASSES, (count,)), "masks": masks, "keypoints": keypoints}


@pytest.mark.parametrize("name", ["maskrcnn_resnet50_fpn_v2", "keypointrcnn_resnet50_fpn"])
def test_losses_of_one_frame_are_torchvisions(name):
    """With so many samples that all are taken, nothing is random; thresholds as theirs."""
    every = {"rpn_batch_size_per_image": 10**6, "box_batch_size_per_image": 10**6}
    every |= {"rpn_positive_fraction": 1.0, "box_positive_fraction": 1.0, "rpn_pre_nms_top_n_train": 60}
    every |= {"rpn_post_nms_top_n_train": 30}
    theirs = lively(name, **every)
    ours = ours_of(name, theirs, rpn_fg_iou_thresh=0.7, rpn_bg_iou_thresh=0.3, **every)
    theirs, ours = theirs.double().train(), ours.double().train()
    images = [torch.rand(*IMAGE, dtype=torch.float64) for _ in range(2)]
    targets = [objects(3), objects(2)]
    kept = {"boxes", "labels", "masks" if "mask" in name else "keypoints"}
    targets = [{field: value for field, value in target.items() if field in kept} for target in targets]
    framed = [
        {field: value if field == "labels" else value[:, None] for field, value in target.items()}
        | {"visible": torch.ones(len(target["labels"]), 1, dtype=torch.bool)}
        for target in targets
    ]
    for target in targets:
        if "keypoints" in target:
            target["keypoints"] = target["keypoints"].float()  # all that theirs takes
    expected = theirs(images, targets)
    found = ours([image[:, None] for image in images], framed)
    assert set(found) == {*expected, "loss_visible"}
    for loss, value in expected.items():
        assert value > 0
        torch.testing.assert_close(found[loss], value.double(), rtol=1e-6, atol=0)
