import pytest
import torch
import torch.nn.functional as F
from helpers.detectors import THIN
from helpers.tubes import random_tubes
from torchvision.models.detection._utils import BoxCoder
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.roi_heads import RoIHeads, fastrcnn_loss
from torchvision.ops import roi_align

from res3d.backbone import resolve_spec
from res3d.detection.box_head import BoxHead, BoxHeadSpec
from res3d.detection.box_loss import BETA
from res3d.detection.sampling import Samples
from res3d.detection.settings import DetectorSettings
from res3d.detection.targets import ClipTargets
from res3d.ops.roi_align import TubePooler

CHANNELS, CLASSES, SIDE, STRIDE = 4, 4, 5, 8
SIZES = [(60, 90), (64, 80)]
SETTINGS = DetectorSettings(box_score_thresh=0.2, box_nms_thresh=0.4, box_detections_per_img=12)
CODER = BoxCoder(SETTINGS.bbox_reg_weights)


def box_head(settings: DetectorSettings = SETTINGS, **fields) -> BoxHead:
    """Return a head whose predictions differ between tubes."""
    spec = BoxHeadSpec(**{"roi_size": SIDE, "fcs": (16, 8), **fields})
    head = BoxHead(spec, CHANNELS, CLASSES, resolve_spec(THIN), settings, offset=0)
    with torch.no_grad():
        for predictor in (head.classes, head.deltas, head.visible):
            predictor.weight.normal_(0, 1)
            predictor.bias.normal_(0, 0.5)
    return head


def pooler(frames: int) -> TubePooler:
    return TubePooler([torch.randn(2, CHANNELS, frames, 8, 12)], [STRIDE])


def crops(pool: TubePooler, tubes: list[torch.Tensor], t: int) -> torch.Tensor:
    """Return the features of the boxes in frame ``t`` by torchvision's RoIAlign."""
    return roi_align(pool.maps[0][:, :, t], [boxes[:, t] for boxes in tubes], SIDE, 1 / STRIDE, sampling_ratio=2)


def torchvision_layers(head: BoxHead) -> tuple[TwoMLPHead, FastRCNNPredictor]:
    """Return torchvision's layers with the weights of ``head``."""
    layers, predictor = TwoMLPHead(CHANNELS * SIDE**2, 16), FastRCNNPredictor(8, CLASSES)
    layers.fc7 = torch.nn.Linear(16, 8)
    linears = (layers.fc6, layers.fc7, predictor.cls_score, predictor.bbox_pred)
    for linear, conv in zip(linears, (*head.fcs, head.classes, head.deltas), strict=True):
        linear.load_state_dict({"weight": conv.weight.flatten(1), "bias": conv.bias})
    return layers, predictor


def samples(frames: int, count: int = 6) -> list[Samples]:
    """Return samples of two clips, some of them background, with hidden frames in clips of several frames."""
    result = []
    for objects in (3, 2):
        visible = torch.rand(objects, frames) < 0.7
        visible[:, 0] = True
        targets = ClipTargets(
            boxes=random_tubes(objects, frames, 60),
            visible=visible,
            labels=torch.arange(objects) % (CLASSES - 1) + 1,
            extra={},
        )
        rows = torch.arange(count) % objects
        labels = torch.where(torch.arange(count) < 4, targets.labels[rows], 0)
        result.append(Samples(tubes=random_tubes(count, frames, 60), labels=labels, objects=rows, targets=targets))
    return result


@torch.no_grad()
def test_features_of_each_frame_equal_torchvision():
    head, pool = box_head(), pooler(3)
    tubes = [random_tubes(5, 3, 60), random_tubes(2, 3, 60)]
    features = head.features(pool, tubes)
    assert features.shape == (7, 8, 3, 1, 1)
    layers, _ = torchvision_layers(head)
    for t in range(3):
        torch.testing.assert_close(features[:, :, t, 0, 0], layers(crops(pool, tubes, t)))


@torch.no_grad()
def test_losses_of_single_frames_equal_torchvision():
    head, pool, clips = box_head(), pooler(1), samples(1)
    layers, predictor = torchvision_layers(head)
    logits, deltas = predictor(layers(crops(pool, [s.tubes for s in clips], 0)))
    targets = CODER.encode([s.targets.boxes[s.objects, 0] for s in clips], [s.tubes[:, 0] for s in clips])
    class_loss, box_loss = fastrcnn_loss(logits, deltas, [s.labels for s in clips], targets)
    losses = head.losses(pool, clips)
    torch.testing.assert_close(losses["loss_classifier"], class_loss)
    torch.testing.assert_close(losses["loss_box_reg"], box_loss)


@torch.no_grad()
def test_losses_of_clips_equal_a_loop_over_samples_and_frames():
    frames = 4
    head, pool, clips = box_head(), pooler(frames), samples(frames)
    x = head.features(pool, [s.tubes for s in clips])[..., 0, 0]
    logits, deltas, visible = (
        torch.einsum("oe,ret->rot", layer.weight.flatten(1), x) + layer.bias[:, None]
        for layer in (head.classes, head.deltas, head.visible)
    )
    class_loss = box_loss = 0.0
    visible_losses, row = [], 0
    for clip in clips:
        for n, label in enumerate(clip.labels.tolist()):
            class_loss += F.cross_entropy(logits[row].mean(dim=1), clip.labels[n]).item()
            if label:
                obj = clip.objects[n]
                is_visible = clip.targets.visible[obj]
                for t in range(frames):
                    logit = visible[row, 0, t]
                    visible_losses.append(F.softplus(-logit if is_visible[t] else logit))
                    if is_visible[t]:
                        target = CODER.encode_single(clip.targets.boxes[obj, t][None], clip.tubes[n, t][None])[0]
                        prediction = deltas[row, 4 * label : 4 * label + 4, t]
                        loss = F.smooth_l1_loss(prediction, target, beta=BETA, reduction="sum")
                        box_loss += loss.item() / int(is_visible.sum())
            row += 1
    losses = head.losses(pool, clips)
    assert losses["loss_classifier"].item() == pytest.approx(class_loss / row, rel=1e-5)
    assert losses["loss_box_reg"].item() == pytest.approx(box_loss / row, rel=1e-5)
    torch.testing.assert_close(losses["loss_visible"], torch.stack(visible_losses).mean())


def test_losses_without_samples_are_zero_and_reach_every_parameter():
    head, empty = box_head(), [s.targets for s in samples(2)]
    none = torch.zeros(0, dtype=torch.int64)
    losses = head.losses(
        pooler(2), [Samples(tubes=torch.zeros(0, 2, 4), labels=none, objects=none, targets=t) for t in empty]
    )
    assert {name: loss.item() for name, loss in losses.items()} == {
        "loss_classifier": 0,
        "loss_box_reg": 0,
        "loss_visible": 0,
    }
    sum(losses.values()).backward()
    assert all(p.grad is not None for p in head.parameters())


@torch.no_grad()
def test_detections_of_single_frames_equal_torchvision():
    head, pool = box_head(), pooler(1)
    proposals = [random_tubes(30, 1, 60), random_tubes(20, 1, 60)]
    layers, predictor = torchvision_layers(head)
    heads = RoIHeads(
        None,
        layers,
        predictor,
        SETTINGS.box_fg_iou_thresh,
        SETTINGS.box_bg_iou_thresh,
        SETTINGS.box_batch_size_per_image,
        SETTINGS.box_positive_fraction,
        SETTINGS.bbox_reg_weights,
        SETTINGS.box_score_thresh,
        SETTINGS.box_nms_thresh,
        SETTINGS.box_detections_per_img,
    )
    logits, deltas = predictor(layers(crops(pool, proposals, 0)))
    boxes, scores, labels = heads.postprocess_detections(logits, deltas, [p[:, 0] for p in proposals], SIZES)
    for n, clip in enumerate(head.detect(pool, proposals, SIZES)):
        assert len(clip.scores) == SETTINGS.box_detections_per_img
        torch.testing.assert_close(clip.boxes[:, 0], boxes[n])
        torch.testing.assert_close(clip.scores, scores[n])
        assert torch.equal(clip.labels, labels[n])


@torch.no_grad()
def test_detections_of_clips_equal_a_loop_over_proposals():
    """Scores are of the mean logits; boxes are decoded and clipped in each frame. NMS and limits are switched off."""
    frames = 3
    head = box_head(DetectorSettings(box_score_thresh=0.2, box_nms_thresh=1.0, box_detections_per_img=1000))
    pool, proposals = pooler(frames), [random_tubes(6, frames, 60), random_tubes(4, frames, 60)]
    x = head.features(pool, proposals)
    scores = head.classes(x)[..., 0, 0].mean(dim=2).softmax(dim=1)
    deltas, visible = head.deltas(x)[..., 0, 0], head.visible(x)[:, 0, :, 0, 0]
    row = 0
    for clip, tubes, (height, width) in zip(head.detect(pool, proposals, SIZES), proposals, SIZES, strict=True):
        expected = []
        for tube in tubes:
            for label in range(1, CLASSES):
                if scores[row, label] > 0.2:
                    boxes = CODER.decode_single(deltas[row, 4 * label : 4 * label + 4].T, tube).view(frames, 4)
                    boxes[:, 0::2] = boxes[:, 0::2].clamp(0, width)
                    boxes[:, 1::2] = boxes[:, 1::2].clamp(0, height)
                    expected.append((scores[row, label].item(), label, boxes, visible[row].sigmoid()))
            row += 1
        expected.sort(key=lambda detection: -detection[0])
        assert len(expected) > 3
        assert clip.scores.tolist() == [score for score, *_ in expected]
        assert clip.labels.tolist() == [label for _, label, *_ in expected]
        torch.testing.assert_close(clip.boxes, torch.stack([boxes for *_, boxes, _ in expected]))
        torch.testing.assert_close(clip.visible, torch.stack([probability for *_, probability in expected]))


@torch.no_grad()
def test_embeddings_are_means_weighted_by_visibility():
    head, count = box_head(), 5
    x, visible = torch.rand(count, 8, 3, 1, 1), torch.tensor([[1.0, 0, 0.5]]).repeat(count, 1)
    scores = torch.full((count, CLASSES), 0.05)
    scores[torch.arange(count), [1, 2, 3, 1, 2]] = torch.tensor([0.85, 0.84, 0.83, 0.82, 0.81])
    tubes = (torch.tensor([0.0, 0, 20, 20]) + 21 * torch.arange(count)[:, None])[:, None].repeat(1, 3, 1)
    detections = head._detect(x, scores, torch.zeros(count, CLASSES, 3, 4), visible, tubes, (200, 200))
    expected = x[:, :, 0, 0, 0] + 0.5 * x[:, :, 2, 0, 0]
    torch.testing.assert_close(detections.embeddings, expected / expected.norm(dim=1, keepdim=True))


@torch.no_grad()
def test_no_score_above_the_threshold_gives_no_detections():
    head = box_head(DetectorSettings(box_score_thresh=1.0))
    for clip in head.detect(pooler(2), [random_tubes(3, 2, 60), torch.zeros(0, 2, 4)], SIZES):
        assert clip.boxes.shape == (0, 2, 4)
        assert clip.visible.shape == (0, 2)
        assert clip.embeddings.shape == (0, 8)
        assert clip.scores.shape == clip.labels.shape == (0,)


@torch.no_grad()
def test_features_of_backbone_stages_are_averaged_over_space():
    """The stages of a C4 head continue the numbering of the body's stages."""
    backbone = resolve_spec(THIN)
    body, stages = backbone.split("conv4")
    channels = body.feature_info["conv4"].channels
    head = BoxHead(BoxHeadSpec(stages=stages, fcs=()), channels, CLASSES, body, SETTINGS, offset=0).eval()
    assert [name for name, _ in head.stages.named_children()] == ["conv5"]
    pool = TubePooler([torch.randn(1, channels, 2, 8, 12)], [STRIDE])
    tubes = [random_tubes(3, 2, 60)]
    maps = head.stages(pool(tubes, 7))
    assert maps.shape[-1] > 1
    expected = maps.flatten(3).sum(dim=3) / maps[0, 0, 0].numel()
    torch.testing.assert_close(head.features(pool, tubes)[..., 0, 0], expected)
