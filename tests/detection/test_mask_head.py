import pytest
import torch
import torch.nn.functional as F
from torchvision.models.detection.mask_rcnn import MaskRCNNHeads, MaskRCNNPredictor
from torchvision.models.detection.roi_heads import paste_masks_in_image
from torchvision.ops import roi_align

from res3d.backbone import NormSpec
from res3d.detection.box_detections import BoxDetections
from res3d.detection.mask_head import MaskHead, MaskHeadSpec
from res3d.detection.sampling import Samples
from res3d.detection.targets import ClipTargets

CHANNELS, CLASSES, SIDE = 4, 3, 6
T, H, W = 3, 24, 32


def mask_head(**fields) -> MaskHead:
    return MaskHeadSpec(**{"roi_size": SIDE, "convs": (5, 6), "channels": 7, **fields}).build(CHANNELS, CLASSES)


def weights_2d(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return the state of a 3D convolution with a temporal kernel of 1, for a 2D convolution."""
    return {name: p.squeeze(2) if p.dim() == 5 else p for name, p in module.state_dict().items()}


def samples(objects: list[int], visible: torch.Tensor) -> Samples:
    """Return samples of two objects with labels 2 and 1; their tubes are near the objects' boxes."""
    boxes = torch.tensor([[3.0, 2, 15, 14], [10, 5, 28, 20]])[:, None] + torch.arange(T)[:, None]
    targets = ClipTargets(
        boxes=boxes,
        visible=visible,
        labels=torch.tensor([2, 1]),
        extra={"masks": (torch.rand(2, T, H, W) > 0.5).float()},
    )
    rows = torch.tensor(objects)
    tubes = boxes[rows] + torch.rand(len(rows), T, 4) * 2
    return Samples(tubes=tubes, labels=targets.labels[rows], objects=rows, targets=targets)


@pytest.mark.parametrize("norm", [None, NormSpec()])
@torch.no_grad()
def test_frame_wise_head_equals_torchvision(norm):
    head = mask_head(norm=norm).eval()
    layers = MaskRCNNHeads(CHANNELS, (5, 6), 1, norm_layer=None if norm is None else torch.nn.BatchNorm2d).eval()
    predictor = MaskRCNNPredictor(6, 7, CLASSES)
    for layer, layer3d in zip(layers, head.convs, strict=True):
        layer[0].load_state_dict(weights_2d(layer3d.conv))
        if norm is not None:
            layer3d.norm.running_mean.normal_()
            layer3d.norm.running_var.uniform_(0.5, 2)
            layer[1].load_state_dict(layer3d.norm.state_dict())
    for conv, conv3d in ((predictor.conv5_mask, head.upsample), (predictor.mask_fcn_logits, head.masks)):
        conv.load_state_dict(weights_2d(conv3d))
    features = torch.randn(4, CHANNELS, T, SIDE, SIDE)
    logits = head(features)
    assert logits.shape == (4, CLASSES, T, 2 * SIDE, 2 * SIDE)
    for t in range(T):
        torch.testing.assert_close(logits[:, :, t], predictor(layers(features[:, :, t])))


@torch.no_grad()
def test_temporal_kernel_spans_neighbouring_frames():
    """A 3D convolution is the sum of 2D convolutions of the previous, the same and the next frame."""
    head = mask_head(convs=(5,), temporal_kernel=3)
    features = torch.randn(2, CHANNELS, T, SIDE, SIDE)
    weight, bias = head.convs[0].conv.weight, head.convs[0].conv.bias
    logits = head(features)
    for t in range(T):
        neighbours = [s for s in (t - 1, t, t + 1) if 0 <= s < T]
        hidden = sum(F.conv2d(features[:, :, s], weight[:, :, s - t + 1], padding=1) for s in neighbours)
        hidden = (hidden + bias[:, None, None]).relu()
        hidden = F.conv_transpose2d(hidden, head.upsample.weight[:, :, 0], head.upsample.bias, stride=2).relu()
        expected = F.conv2d(hidden, head.masks.weight[:, :, 0], head.masks.bias)
        torch.testing.assert_close(logits[:, :, t], expected)


@torch.no_grad()
def test_loss_equals_a_loop_over_visible_frames():
    """Mean binary cross entropy of the label's mask and the ground truth, which RoIAlign crops to the box."""
    visible = torch.tensor([[True, False, True], [True, True, True]])
    positives = [samples([1, 0, 1], visible), samples([0], ~visible | visible)]
    head = mask_head()
    features = torch.randn(4, CHANNELS, T, SIDE, SIDE)
    logits, losses, row = head(features), [], 0
    for clip in positives:
        for n, obj in enumerate(clip.objects.tolist()):
            for t in range(T):
                if clip.targets.visible[obj, t]:
                    mask = clip.targets.extra["masks"][obj, t]
                    crop = roi_align(mask[None, None], [clip.tubes[n, t][None]], 2 * SIDE)[0, 0]
                    prediction = logits[row, clip.labels[n], t]
                    losses.append(F.binary_cross_entropy_with_logits(prediction, crop))
            row += 1
    assert len(losses) == 3 + 2 + 3 + 3
    torch.testing.assert_close(head.loss(features, positives), torch.stack(losses).mean())


@torch.no_grad()
def test_predictions_are_probabilities_of_the_label():
    head = mask_head()
    features = torch.randn(5, CHANNELS, T, SIDE, SIDE)
    labels = [torch.tensor([2, 1, 1]), torch.tensor([], dtype=torch.int64), torch.tensor([1, 2])]
    detections = [
        BoxDetections(
            boxes=torch.rand(len(rows), T, 4),
            visible=torch.ones(len(rows), T),
            scores=torch.ones(len(rows)),
            labels=rows,
            embeddings=torch.ones(len(rows), 2),
        )
        for rows in labels
    ]
    predictions = head.predict(features, detections)
    assert [len(p["masks"]) for p in predictions] == [3, 0, 2]
    logits = head(features)
    masks = torch.cat([p["masks"] for p in predictions])
    for row, label in enumerate([2, 1, 1, 1, 2]):
        torch.testing.assert_close(masks[row], 1 / (1 + torch.exp(-logits[row, label])))


def test_masks_are_resized_to_the_nearest_pixel():
    masks = torch.rand(2, T, 4, 6) > 0.5
    assert torch.equal(MaskHead.resize(masks, (4, 6), (4, 6)), masks.float())
    resized = MaskHead.resize(masks, (4, 6), (10, 9))
    assert resized.shape == (2, T, 10, 9)
    for y in range(10):
        for x in range(9):
            assert torch.equal(resized[..., y, x], masks[..., y * 4 // 10, x * 6 // 9].float())


def test_restored_masks_are_pasted_like_torchvision():
    masks = torch.rand(2, T, 2 * SIDE, 2 * SIDE)
    boxes = torch.tensor([[2.0, 3, 14, 15], [-4, 6, 20, 40]])[:, None] + 1.5 * torch.arange(T)[:, None]
    restored = MaskHead.restore({"masks": masks}, boxes, (10, 10), (H, W))["masks"]
    expected = paste_masks_in_image(masks.flatten(0, 1)[:, None], boxes.flatten(0, 1), (H, W))
    torch.testing.assert_close(restored.whole(), expected.view(2, T, 1, H, W))


def test_widths_of_the_default_head_follow_the_feature_maps():
    assert MaskHeadSpec.for_channels(256) == MaskHeadSpec()
    assert MaskHeadSpec.for_channels(8) == MaskHeadSpec(convs=(8, 8, 8, 8), channels=8)
