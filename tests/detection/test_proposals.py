import pytest
import torch
import torch.nn.functional as F
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.rpn import RegionProposalNetwork, RPNHead
from torchvision.ops import box_iou

from res3d.detection.anchors import AnchorSpec
from res3d.detection.box_loss import BETA
from res3d.detection.proposals import ProposalSpec, TubeProposalNetwork
from res3d.detection.settings import DetectorSettings
from res3d.detection.targets import ClipTargets
from res3d.ops.box_code import BoxCode

CHANNELS = 6
STRIDES = (8, 16)
ANCHORS = AnchorSpec(sizes=((16,), (32,)), ratios=(0.5, 1.0, 2.0))
PADDED = (64, 96)
SIZES = [(60, 90), (64, 80)]
SETTINGS = DetectorSettings(
    rpn_pre_nms_top_n_train=50,
    rpn_pre_nms_top_n_test=40,
    rpn_post_nms_top_n_train=35,
    rpn_post_nms_top_n_test=25,
    rpn_batch_size_per_image=10_000,  # more than there are anchors: all are sampled, and losses are not random
    rpn_score_thresh=0.3,
)


def network(temporal_kernel: int = 1, depth: int = 1) -> TubeProposalNetwork:
    """Return a network whose predictions differ between locations."""
    spec = ProposalSpec(anchors=ANCHORS, depth=depth, temporal_kernel=temporal_kernel)
    tpn = TubeProposalNetwork(spec, CHANNELS, STRIDES, SETTINGS, offset=0)
    with torch.no_grad():
        for parameter in tpn.parameters():
            parameter.normal_(0, 0.3)
    return tpn


def feature_maps(frames: int) -> list[torch.Tensor]:
    return [torch.randn(2, CHANNELS, frames, PADDED[0] // s, PADDED[1] // s) for s in STRIDES]


def clip_targets(frames: int) -> list[ClipTargets]:
    """Return three objects that move in the first clip, the last smaller than all anchors, and one in the second."""
    start = torch.tensor([[8.0, 10, 30, 30], [40, 20, 70, 60], [70, 6, 77, 11]])[:, None]
    boxes = start + 5.0 * torch.arange(frames)[:, None]
    visible = torch.ones(3, frames, dtype=torch.bool)
    labels = torch.tensor([1, 2, 1])
    return [ClipTargets(boxes=boxes[:n], visible=visible[:n], labels=labels[:n], extra={}) for n in (3, 1)]


def weights_2d(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Return the state of a 3D convolution with a temporal kernel of 1, for a 2D convolution."""
    return {name: p.squeeze(2) if p.dim() == 5 else p for name, p in module.state_dict().items()}


def torchvision_rpn(tpn: TubeProposalNetwork) -> RegionProposalNetwork:
    """Return torchvision's network with the weights of ``tpn``."""
    head = RPNHead(CHANNELS, len(ANCHORS.ratios), conv_depth=len(tpn.convs))
    for conv, conv3d in zip(head.conv, tpn.convs, strict=True):
        conv[0].load_state_dict(weights_2d(conv3d.conv))
    for name, conv3d in (("cls_logits", tpn.objectness), ("bbox_pred", tpn.deltas)):
        getattr(head, name).load_state_dict(weights_2d(conv3d))
    return RegionProposalNetwork(
        AnchorGenerator(ANCHORS.sizes, (ANCHORS.ratios,) * len(STRIDES)),
        head,
        SETTINGS.rpn_fg_iou_thresh,
        SETTINGS.rpn_bg_iou_thresh,
        SETTINGS.rpn_batch_size_per_image,
        SETTINGS.rpn_positive_fraction,
        {"training": SETTINGS.rpn_pre_nms_top_n_train, "testing": SETTINGS.rpn_pre_nms_top_n_test},
        {"training": SETTINGS.rpn_post_nms_top_n_train, "testing": SETTINGS.rpn_post_nms_top_n_test},
        SETTINGS.rpn_nms_thresh,
        SETTINGS.rpn_score_thresh,
    )


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("depth", [1, 2])
def test_single_frames_have_the_proposals_and_losses_of_torchvision(training, depth):
    tpn = network(depth=depth).train(training)
    maps, targets = feature_maps(1), clip_targets(1)
    images = ImageList(torch.zeros(2, 3, *PADDED), SIZES)
    features = {str(n): level[:, :, 0] for n, level in enumerate(maps)}
    boxes = [{"boxes": target.boxes[:, 0]} for target in targets]
    with torch.no_grad():
        expected, expected_losses = torchvision_rpn(tpn).train(training)(images, features, boxes)
        proposals, losses = tpn(maps, PADDED, SIZES, targets if training else None)
    for tubes, expected_boxes in zip(proposals, expected, strict=True):
        assert len(tubes) == (SETTINGS.rpn_post_nms_top_n_train if training else SETTINGS.rpn_post_nms_top_n_test)
        torch.testing.assert_close(tubes[:, 0], expected_boxes)
    assert losses.keys() == expected_losses.keys()
    for name, loss in losses.items():
        torch.testing.assert_close(loss, expected_losses[name])


@torch.no_grad()
def test_predictions_are_ordered_by_row_column_and_anchor():
    """Objectness is the mean of the frames' logits; deltas are predicted for each frame."""
    tpn, maps, frames = network(temporal_kernel=3), feature_maps(4)[1], 4
    predictions = tpn._predict(maps)
    hidden = tpn.convs(maps)
    logits, deltas = tpn.objectness(hidden), tpn.deltas(hidden)
    index = 0
    for y in range(maps.shape[3]):
        for x in range(maps.shape[4]):
            for anchor in range(len(ANCHORS.ratios)):
                expected = sum(logits[:, anchor, t, y, x] for t in range(frames)) / frames
                torch.testing.assert_close(predictions.objectness[:, index], expected)
                expected = deltas[:, 4 * anchor : 4 * anchor + 4, :, y, x].transpose(1, 2)
                assert torch.equal(predictions.deltas[:, index], expected)
                index += 1
    assert index == predictions.objectness.shape[1]


@torch.no_grad()
def test_losses_of_clips_equal_a_loop_over_anchors():
    """Anchors are matched by the mean box over visible frames; box losses are means over visible frames."""
    frames = 3
    tpn, maps, targets = network(temporal_kernel=3).train(), feature_maps(frames), clip_targets(frames)
    targets[0].visible[1, 2] = targets[1].visible[0, 0] = False
    targets[0].boxes[1, 2] = float("nan")
    levels = [tpn._predict(level) for level in maps]
    objectness = torch.cat([level.objectness for level in levels], dim=1)
    deltas = torch.cat([level.deltas for level in levels], dim=1)
    anchors = torch.cat(tpn.anchors(maps, PADDED, torch.float32))
    code, logits, labels, box_loss = BoxCode(), [], [], 0.0
    for n, target in enumerate(targets):
        means = torch.stack([b[v].mean(dim=0) for b, v in zip(target.boxes, target.visible, strict=True)])
        iou = box_iou(means, anchors)
        assert (iou.amax(dim=1) < SETTINGS.rpn_fg_iou_thresh).tolist() == [False, False, True][: len(iou)]
        for a, anchor in enumerate(anchors):
            best, obj = iou[:, a].max(dim=0)
            is_best = any(iou[g, a] == iou[g].max() for g in range(len(iou)))
            if best >= SETTINGS.rpn_fg_iou_thresh or is_best:
                visible = torch.where(target.visible[obj])[0].tolist()
                for t in visible:
                    expected = code.encode(target.boxes[obj, t], anchor)
                    loss = F.smooth_l1_loss(deltas[n, a, t], expected, beta=BETA, reduction="sum")
                    box_loss += loss.item() / len(visible)
            elif best >= SETTINGS.rpn_bg_iou_thresh:
                continue
            logits.append(objectness[n, a])
            labels.append(float(best >= SETTINGS.rpn_fg_iou_thresh or is_best))
    assert 5 < sum(labels) < len(labels) < 2 * len(anchors), "positive, negative and undecided anchors"
    _, losses = tpn(maps, PADDED, SIZES, targets)
    expected = F.binary_cross_entropy_with_logits(torch.stack(logits), torch.tensor(labels))
    torch.testing.assert_close(losses["loss_objectness"], expected)
    assert losses["loss_rpn_box_reg"].item() == pytest.approx(box_loss / len(labels), rel=1e-5)


@torch.no_grad()
def test_clips_without_objects_have_no_box_loss():
    tpn, maps = network().train(), feature_maps(2)
    empty = ClipTargets(
        boxes=torch.zeros(0, 2, 4),
        visible=torch.zeros(0, 2, dtype=torch.bool),
        labels=torch.zeros(0, dtype=torch.int64),
        extra={},
    )
    _, losses = tpn(maps, PADDED, SIZES, [empty, empty])
    objectness = torch.cat([tpn._predict(level).objectness for level in maps], dim=1)
    assert losses["loss_rpn_box_reg"] == 0
    torch.testing.assert_close(losses["loss_objectness"], F.softplus(objectness).mean())


@torch.no_grad()
def test_proposals_are_clipped_to_their_frame_and_sorted():
    tpn, maps = network(temporal_kernel=3).eval(), feature_maps(3)
    proposals, losses = tpn(maps, PADDED, SIZES)
    assert losses == {}
    for tubes, (height, width) in zip(proposals, SIZES, strict=True):
        assert tubes.shape == (SETTINGS.rpn_post_nms_top_n_test, 3, 4)
        assert (tubes >= 0).all()
        assert (tubes[..., 2] <= width).all()
        assert (tubes[..., 3] <= height).all()
    objectness = torch.cat([tpn._predict(level).objectness[0] for level in maps])
    deltas = torch.cat([tpn._predict(level).deltas[0] for level in maps])
    anchors = torch.cat(tpn.anchors(maps, PADDED, torch.float32))
    tubes = BoxCode().decode(deltas, anchors[:, None])
    tubes[..., 0::2].clamp_(0, SIZES[0][1])
    tubes[..., 1::2].clamp_(0, SIZES[0][0])
    rows = [int((tubes - proposal).abs().amax(dim=(1, 2)).argmin()) for proposal in proposals[0]]
    torch.testing.assert_close(tubes[rows], proposals[0])
    scores = objectness[rows].tolist()
    assert scores == sorted(scores, reverse=True)
    assert scores[0] == objectness.max()


def test_objectness_that_is_not_finite_is_an_error_in_eval_mode():
    tpn, maps = network().eval(), feature_maps(1)
    maps[1][0, 0, 0, 0, 0] = float("inf")
    with pytest.raises(FloatingPointError, match="objectness is not finite"):
        tpn(maps, PADDED, SIZES)
