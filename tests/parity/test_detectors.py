"""Inflated detectors of torchvision: the same boxes, scores, labels, masks and keypoints in every frame of a clip.

A detector with random weights returns few detections. Therefore norm statistics are computed from random images, and
the weights of the predictors are scaled so that they return many boxes of different classes. All layers have an eighth
of their channels; only the marker "full" runs the detectors at full width.
"""

import pytest
import torch
from helpers.parity_peers import assert_close
from torch import nn
from torchvision.models import detection as peers
from torchvision.ops import FrozenBatchNorm2d

import res3d
from res3d.backbone import count_parameters
from res3d.detection import mask_rcnn_3d

CLASSES = 7
KEYPOINTS = 5
SIZES = {"min_size": 80, "max_size": 120}
COUNTS = {"rpn_pre_nms_top_n_test": 60, "rpn_post_nms_top_n_test": 30, "box_detections_per_img": 14}
# name: keywords of torchvision's detector, keywords of ours
CASES = {
    "fasterrcnn_resnet50_fpn": ({}, {"mask": False}),
    "maskrcnn_resnet50_fpn": ({}, {}),
    "keypointrcnn_resnet50_fpn": ({"num_keypoints": KEYPOINTS}, {"mask": False, "keypoints": KEYPOINTS}),
    "fasterrcnn_resnet50_fpn_v2": ({}, {"mask": False}),
    "maskrcnn_resnet50_fpn_v2": ({}, {}),
}
IMAGE = (3, 60, 88)  # this size needs resizing and padding


PREDICTORS = ("cls_logits", "bbox_pred", "cls_score", "mask_fcn_logits", "kps_score_lowres")


def image_detector(name: str, **settings) -> nn.Module:
    keywords = {"weights": None, "weights_backbone": None, "num_classes": CLASSES, **SIZES, **COUNTS, **settings}
    return getattr(peers, name)(**keywords, **CASES[name][0])


def thin_image_detector(name: str, **settings) -> nn.Module:
    """Return a detector that torchvision builds, with every layer replaced by one of an eighth of the channels."""
    with torch.device("meta"):  # the full-size weights are not needed
        model = image_detector(name, **settings)
    generator = model.rpn.anchor_generator
    model.rpn.anchor_generator = type(generator)(generator.sizes, generator.aspect_ratios)
    for path, layer in list(model.named_modules()):
        parent, _, leaf = path.rpartition(".")
        if narrow := narrow_layer(layer, keeps_output=leaf in PREDICTORS):
            setattr(model.get_submodule(parent), leaf, narrow)
    assert all(tensor.device.type == "cpu" for tensor in model.state_dict().values())
    return model


def narrow_layer(layer: nn.Module, *, keeps_output: bool) -> nn.Module | None:
    """Return a layer like ``layer`` with an eighth of the channels; None for layers without channels."""
    if isinstance(layer, nn.BatchNorm2d):
        return nn.BatchNorm2d(layer.num_features // 8, layer.eps)
    if isinstance(layer, nn.Linear):
        return nn.Linear(layer.in_features // 8, layer.out_features // (1 if keeps_output else 8))
    if isinstance(layer, (nn.Conv2d, nn.ConvTranspose2d)):
        channels = (layer.in_channels if layer.in_channels == 3 else layer.in_channels // 8,)
        channels += (layer.out_channels // (1 if keeps_output else 8),)
        options = {"stride": layer.stride, "padding": layer.padding, "bias": layer.bias is not None}
        return type(layer)(*channels, layer.kernel_size, **options)
    return None


@torch.no_grad()
def random_image_detector(name: str, width: float = 0.125, **settings) -> nn.Module:
    """Return a detector of torchvision with random weights that have an effect in every layer, and many detections."""
    torch.manual_seed(3)
    model = image_detector(name, **settings) if width == 1 else thin_image_detector(name, **settings)
    for key, tensor in model.state_dict().items():
        if key.endswith("running_var"):
            tensor.uniform_(0.5, 2)
        elif key.endswith(("bias", "running_mean")):
            tensor.normal_(0, 0.1)
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None  # the plain average over all batches
        norm.weight.uniform_(0.5, 1.5)
    model.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.train()
    model([torch.rand(*IMAGE), torch.rand(*IMAGE)])
    model.eval()
    scale_predictors(model)
    return model


def scale_predictors(model: nn.Module) -> None:
    """Scale the predictors so that their outputs have large deviations between positions and between boxes."""
    rpn, predictor = model.rpn.head, model.roi_heads.box_predictor
    for layer, deviation in (
        (rpn.cls_logits, 2.0),
        (rpn.bbox_pred, 0.3),
        (predictor.cls_score, 2.0),
        (predictor.bbox_pred, 1.0),
    ):
        outputs: list[torch.Tensor] = []
        hook = layer.register_forward_hook(
            lambda module, inputs, y, outputs=outputs: outputs.append(y.transpose(0, 1).flatten(1))
        )
        model([torch.rand(*IMAGE)])
        hook.remove()
        values = torch.cat(outputs, dim=1)  # one row per channel
        scale = deviation / values.std(dim=1)
        layer.bias.sub_(values.mean(dim=1)).mul_(scale)
        layer.weight.mul_(scale.view(-1, *[1] * (layer.weight.dim() - 1)))


def clip_detector(name: str, reference: nn.Module, width: float = 0.125, **keywords) -> nn.Module:
    widths = {"width": width, "channels": round(256 * width)}
    keywords = {**SIZES, **COUNTS, **CASES[name][1], **widths, **keywords}
    return mask_rcnn_3d("resnet50_3d", CLASSES, weights=reference.state_dict(), **keywords).eval()


def rows_by_score(result: dict[str, torch.Tensor]) -> torch.Tensor:
    """Return indices that sort detections by score and label, so that equal sets become equal lists."""
    keys = torch.stack([result["scores"].double(), result["labels"].double()], dim=1)
    return torch.tensor(sorted(range(len(keys)), key=lambda i: keys[i].tolist()))


PAIRS = [(name, 0.125) for name in CASES] + [pytest.param((name, 1), marks=pytest.mark.full) for name in CASES]


@pytest.fixture(scope="module", params=PAIRS, ids=lambda param: f"{param[0]}-{param[1]}")
def pair(request):
    name, width = request.param
    reference = random_image_detector(name, width)
    return name, clip_detector(name, reference, width).double(), reference.double()


@pytest.mark.slow
@pytest.mark.parametrize("frames", [1, 3])
def test_every_frame_of_a_still_clip_equals_the_image_detector(pair, frames):
    _, model, reference = pair
    images = [torch.rand(*IMAGE, dtype=torch.float64), torch.rand(3, 64, 48, dtype=torch.float64)]
    images = images if frames == 1 else images[:1]
    with torch.no_grad():
        expected = reference(images)
        results = model([image[:, None].expand(-1, frames, -1, -1) for image in images])
    assert len(results) == len(images)
    for image_result, result in zip(expected, results, strict=True):
        assert len(image_result["scores"]) == len(result["scores"]) >= 10
        assert len(image_result["labels"].unique()) > 1
        a, b = rows_by_score(image_result), rows_by_score(result)
        assert torch.equal(image_result["labels"][a], result["labels"][b])
        torch.testing.assert_close(result["scores"][b], image_result["scores"][a], rtol=0, atol=1e-6)
        for t in range(frames):
            for field in ("boxes", "masks", "keypoints", "keypoints_scores"):
                assert (field in image_result) == (field in result)
                if field in image_result:
                    # torchvision returns keypoints as float32 even for float64 input
                    expected_value = image_result[field][a].double()
                    tolerance = 1e-6 * max(expected_value.abs().max().item(), 1)
                    torch.testing.assert_close(result[field][b][:, t], expected_value, rtol=0, atol=tolerance)
        assert (result["visible"] > 0.9999).all()
        assert torch.allclose(result["embeddings"].norm(dim=1), torch.ones(1, dtype=torch.float64))


@torch.no_grad()
def dense_outputs_of_image_detector(model: nn.Module, images: list[torch.Tensor]) -> list[torch.Tensor]:
    batch, _ = model.transform(images)
    maps = model.backbone(batch.tensors)
    logits, deltas = model.rpn.head(list(maps.values()))
    return [*maps.values(), *logits, *deltas]


@torch.no_grad()
def dense_outputs_of_clip_detector(model: nn.Module, clips: list[torch.Tensor], frame: int) -> list[torch.Tensor]:
    batch = model.transform(clips)
    maps = model.neck(list(model.backbone(batch.pixels).values()), batch.pixels.shape[2])
    hidden = [model.tpn.convs(m) for m in maps]
    outputs = [*maps, *map(model.tpn.objectness, hidden), *map(model.tpn.deltas, hidden)]
    return [x[:, :, frame] for x in outputs]


def test_dense_outputs_agree_in_single_precision(pair):
    _, model, reference = pair
    images = [torch.rand(*IMAGE)]
    expected = dense_outputs_of_image_detector(reference.float(), images)
    clips = [image[:, None].expand(-1, 3, -1, -1) for image in images]
    outputs = dense_outputs_of_clip_detector(model.float(), clips, 1)
    reference.double(), model.double()
    for a, b in zip(outputs, expected, strict=True):
        assert_close(a, b, 1e-4)


def test_each_of_two_different_frames_equals_its_image(pair):
    """A clip of equal frames cannot reveal that frames are exchanged."""
    _, model, reference = pair
    clip = torch.rand(3, 2, *IMAGE[1:], dtype=torch.float64)
    for t in range(2):
        expected = dense_outputs_of_image_detector(reference, [clip[:, t]])
        for a, b in zip(dense_outputs_of_clip_detector(model, [clip], t), expected, strict=True):
            assert_close(a, b, 1e-10)


def test_the_report_accounts_for_every_tensor(pair):
    name, model, reference = pair
    report = res3d.load_weights(model, reference.state_dict())
    assert report.layout == ("torchvision detector v2" if name.endswith("_v2") else "torchvision detector")
    assert report.missing == report.unexpected == report.ignored == ()
    assert set(report.initialized) == {"box_head.visible.weight", "box_head.visible.bias"}
    names = {*report.loaded, *report.inflated, *report.initialized}
    assert names == {key for key in model.state_dict() if key in names or not key.endswith("num_batches_tracked")}
    assert FrozenBatchNorm2d not in {type(m) for m in model.modules()}


@pytest.mark.parametrize("name", CASES)
def test_full_width_detectors_have_the_same_number_of_parameters(name):
    with torch.device("meta"):
        design = "torchvision_v2" if name.endswith("_v2") else "torchvision"
        model = mask_rcnn_3d("resnet50_3d", CLASSES, design=design, temporal_kernel=1, **CASES[name][1])
        reference = image_detector(name)
    assert count_parameters(model) - count_parameters(model.box_head.visible) == count_parameters(reference)


def objects(count: int) -> dict[str, torch.Tensor]:
    """Return the random ground truth of ``count`` objects in an image of size IMAGE."""
    corners = torch.rand(count, 2, dtype=torch.float64) * 25
    boxes = torch.cat([corners, corners + 12 + torch.rand(count, 2, dtype=torch.float64) * 22], dim=1)
    keypoints = torch.rand(count, KEYPOINTS, 3, dtype=torch.float64) * (boxes[:, None, 2:] - boxes[:, None, :2]).repeat(
        1, 1, 2
    )[..., :3] + torch.cat([boxes[:, None, :2], torch.ones(count, 1, 1, dtype=torch.float64)], dim=2)
    masks = torch.rand(count, *IMAGE[1:]) > 0.5
    return {"boxes": boxes, "labels": torch.randint(1, CLASSES, (count,)), "masks": masks, "keypoints": keypoints}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["maskrcnn_resnet50_fpn_v2", "keypointrcnn_resnet50_fpn"])
def test_losses_of_one_frame_equal_torchvision(name):
    """The numbers of samples exceed those of candidates, so that no sampling is random."""
    sampling = {"rpn_batch_size_per_image": 10**6, "box_batch_size_per_image": 10**6}
    sampling |= {"rpn_positive_fraction": 1.0, "box_positive_fraction": 1.0, "rpn_pre_nms_top_n_train": 60}
    sampling |= {"rpn_post_nms_top_n_train": 30}
    reference = random_image_detector(name, **sampling)
    model = clip_detector(name, reference, rpn_fg_iou_thresh=0.7, rpn_bg_iou_thresh=0.3, **sampling)
    reference, model = reference.double().train(), model.double().train()
    images = [torch.rand(*IMAGE, dtype=torch.float64) for _ in range(2)]
    targets = [objects(3), objects(2)]
    fields = {"boxes", "labels", "masks" if "mask" in name else "keypoints"}
    targets = [{field: value for field, value in target.items() if field in fields} for target in targets]
    clip_targets = [
        {field: value if field == "labels" else value[:, None] for field, value in target.items()}
        | {"visible": torch.ones(len(target["labels"]), 1, dtype=torch.bool)}
        for target in targets
    ]
    for target in targets:
        if "keypoints" in target:
            target["keypoints"] = target["keypoints"].float()  # torchvision accepts float32 alone
    expected = reference(images, targets)
    losses = model([image[:, None] for image in images], clip_targets)
    assert set(losses) == {*expected, "loss_visible"}
    for loss, value in expected.items():
        assert value > 0
        torch.testing.assert_close(losses[loss], value.double(), rtol=1e-6, atol=0)
