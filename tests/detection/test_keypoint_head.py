import pytest
import torch
import torch.nn.functional as F
from torchvision.models.detection.keypoint_rcnn import KeypointRCNNHeads, KeypointRCNNPredictor
from torchvision.models.detection.roi_heads import heatmaps_to_keypoints

from res3d.detection.box_detections import BoxDetections
from res3d.detection.keypoint_head import KeypointHead, KeypointHeadSpec
from res3d.detection.sampling import Samples
from res3d.detection.targets import ClipTargets

CHANNELS, K, SIDE, T = 4, 5, 6, 3


def keypoint_head(**fields) -> KeypointHead:
    return KeypointHeadSpec(**{"num_keypoints": K, "roi_size": SIDE, "convs": (5, 6), **fields}).build(CHANNELS, 2)


def weights_2d(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return the state of a 3D convolution with a temporal kernel of 1, for a 2D convolution."""
    return {name: p.squeeze(2) if p.dim() == 5 else p for name, p in module.state_dict().items()}


def detections(boxes: torch.Tensor) -> BoxDetections:
    count = len(boxes)
    return BoxDetections(
        boxes=boxes,
        visible=torch.ones(count, T),
        scores=torch.ones(count),
        labels=torch.ones(count, dtype=torch.int64),
        embeddings=torch.ones(count, 2),
    )


@torch.no_grad()
def test_frame_wise_head_equals_torchvision():
    head = keypoint_head()
    layers, predictor = KeypointRCNNHeads(CHANNELS, (5, 6)), KeypointRCNNPredictor(6, K)
    for conv, layer3d in zip(list(layers)[::2], head.convs, strict=True):  # the other children are ReLUs
        conv.load_state_dict(weights_2d(layer3d.conv))
    predictor.kps_score_lowres.load_state_dict(weights_2d(head.upsample))
    features = torch.randn(4, CHANNELS, T, SIDE, SIDE)
    heatmaps = head(features)
    assert heatmaps.shape == (4, T, K, 4 * SIDE, 4 * SIDE)
    for t in range(T):
        torch.testing.assert_close(heatmaps[:, t], predictor(layers(features[:, :, t])))


@torch.no_grad()
def test_zero_border_equals_the_deconvolution_of_detectron():
    """Detectron upsamples by a transposed convolution with fixed bilinear weights."""
    head = keypoint_head(border="zeros")
    features = torch.randn(2, CHANNELS, T, SIDE, SIDE)
    small = head.upsample(head.convs(features))
    row = torch.tensor([0.25, 0.75, 0.75, 0.25])
    kernel = (row[:, None] * row).expand(K, 1, 4, 4)
    for t in range(T):
        expected = F.conv_transpose2d(small[:, :, t], kernel, stride=2, padding=1, groups=K)
        torch.testing.assert_close(head(features)[:, t], expected)


@torch.no_grad()
def test_loss_equals_a_loop_over_annotated_keypoints():
    """Mean cross entropy over the cells of the heatmap, of keypoints that are annotated and inside the box."""
    boxes = torch.tensor([[3.0, 2, 15, 14], [10, 5, 28, 25]])[:, None] + torch.arange(T)[:, None]
    keypoints = torch.cat([torch.rand(2, T, K, 2) * 30, torch.randint(0, 3, (2, T, K, 1)).float()], dim=3)
    visible = torch.tensor([[True, False, True], [True, True, True]])
    keypoints[0, 1] = float("nan")
    targets = ClipTargets(
        boxes=boxes, visible=visible, labels=torch.tensor([1, 1]), extra={"keypoints": keypoints.float()}
    )
    objects = torch.tensor([1, 0, 1])
    positives = Samples(
        tubes=boxes[objects] + torch.rand(3, T, 4), labels=targets.labels[objects], objects=objects, targets=targets
    )
    head = keypoint_head()
    features = torch.randn(3, CHANNELS, T, SIDE, SIDE)
    heatmaps, side, losses = head(features), 4 * SIDE, []
    for n, obj in enumerate(objects.tolist()):
        for t in torch.where(visible[obj])[0].tolist():
            x1, y1, x2, y2 = positives.tubes[n, t].tolist()
            for k, (x, y, v) in enumerate(keypoints[obj, t].tolist()):
                if v > 0 and x1 <= x <= x2 and y1 <= y <= y2:
                    column, row = int((x - x1) / (x2 - x1) * side), int((y - y1) / (y2 - y1) * side)
                    logits = heatmaps[n, t, k]
                    losses.append(logits.logsumexp(dim=(0, 1)) - logits[row, column])
    assert len(losses) > 5
    torch.testing.assert_close(head.loss(features, [positives]), torch.stack(losses).mean())


@torch.no_grad()
def test_predictions_equal_torchvision_in_each_frame():
    head = keypoint_head()
    features = torch.randn(3, CHANNELS, T, SIDE, SIDE)
    corners = torch.rand(3, T, 2) * 20
    boxes = torch.cat([corners, corners + 5 + torch.rand(3, T, 2) * 20], dim=2)
    predictions = head.predict(features, [detections(boxes[:1]), detections(boxes[1:])])
    assert [len(p["keypoints"]) for p in predictions] == [1, 2]
    keypoints, scores = (torch.cat([p[name] for p in predictions]) for name in ("keypoints", "keypoints_scores"))
    heatmaps = head(features)
    for t in range(T):
        expected, expected_scores = heatmaps_to_keypoints(heatmaps[:, t], boxes[:, t])
        torch.testing.assert_close(keypoints[:, t], expected)
        torch.testing.assert_close(scores[:, t], expected_scores)


def test_keypoints_are_scaled_with_the_frames():
    keypoints = torch.rand(2, T, K, 3) * 10
    for resized in (
        KeypointHead.resize(keypoints, (10, 20), (30, 50)),
        KeypointHead.restore({"keypoints": keypoints}, torch.zeros(2, T, 4), (10, 20), (30, 50))["keypoints"],
    ):
        torch.testing.assert_close(resized, keypoints * torch.tensor([50 / 20, 30 / 10, 1]))


def test_scores_of_keypoints_are_not_scaled():
    scores = torch.rand(2, T, K)
    prediction = {"keypoints": torch.rand(2, T, K, 3), "keypoints_scores": scores}
    restored = KeypointHead.restore(prediction, torch.zeros(2, T, 4), (10, 20), (30, 50))
    assert restored["keypoints_scores"] is scores


def test_default_head_is_torchvisions_with_a_temporal_kernel_of_3():
    spec = KeypointHeadSpec.for_channels(256, 17)
    assert spec == KeypointHeadSpec(num_keypoints=17, convs=(512,) * 8, temporal_kernel=3)
    head = KeypointHeadSpec.for_channels(8, 17).build(8, 2)
    assert head.results == {"keypoints": "D T 17 3", "keypoints_scores": "D T 17"}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"num_keypoints": 0}, "keypoints must be a whole number ≥ 1, not 0"),
        ({"num_keypoints": 5.0}, "keypoints must be a whole number ≥ 1, not 5.0"),
        ({"num_keypoints": 5, "border": "reflect"}, "border must be 'replicate' or 'zeros', not 'reflect'"),
    ],
)
def test_invalid_spec_is_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        KeypointHeadSpec(**fields)
