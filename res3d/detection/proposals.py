"""Tube proposal network: tubes that may contain an object of any class (Ren et al. 2015; Girdhar et al. 2018)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from res3d.detection.anchors import Anchors, AnchorSpec
from res3d.detection.box_loss import tube_box_loss
from res3d.detection.layers import ConvStack, full_precision, same_conv
from res3d.detection.sampling import match_tubes, sample_tubes
from res3d.detection.settings import DetectorSettings
from res3d.detection.targets import ClipTargets
from res3d.ops.box_code import BoxCode
from res3d.ops.nms import batched_tube_nms
from res3d.ops.tubes import clip_tubes, large_tubes, mean_boxes, tube_iou

MIN_SIZE = 1e-3  # pixels; smaller proposals are dropped


@dataclass(frozen=True, kw_only=True, slots=True)
class ProposalSpec:
    """Anchors and layers of the proposal network. All feature levels share the layers."""

    anchors: AnchorSpec = field(default_factory=AnchorSpec)
    depth: int = 1
    """Number of 3×3 convolutions before the two predictors."""
    temporal_kernel: int = 3
    """Frames that each of these convolutions spans."""


class _Predictions(NamedTuple):
    """Predictions of one feature level, in the order of its anchors, see ``Anchors``."""

    objectness: Tensor
    """[N, A] logits, one per tube."""
    deltas: Tensor
    """[N, A, T, 4] box deltas, one per tube and frame."""


class TubeProposalNetwork(nn.Module):
    """Tube proposal network: for each anchor, the objectness of a tube and its box deltas in every frame.

    The objectness logit is averaged over the frames. An anchor does not move, so it is matched by its IoU with the mean
    box of an object over the frames where the object is visible; the deltas encode the motion around that box.
    (Detect-and-Track uses the mean IoU over frames. That is low at every anchor for objects that move, so that fast
    objects match none.)

    Args:
        spec: anchors and layers.
        channels: channels of the feature maps.
        strides: pixels per location of each feature level, finest first.
        settings: thresholds and counts.
        offset: pixel convention, see ``res3d.ops.tubes``.

    Raises:
        ValueError: the anchors have sizes for another number of levels.
    """

    def __init__(
        self, spec: ProposalSpec, channels: int, strides: Sequence[int], settings: DetectorSettings, *, offset: int
    ) -> None:
        super().__init__()
        self.settings = settings
        self.offset = offset
        self.anchors = Anchors(spec.anchors, strides)
        self.code = BoxCode(offset=offset)
        self.convs = ConvStack(channels, (channels,) * spec.depth, spec.temporal_kernel, None)
        self.objectness = same_conv(channels, spec.anchors.per_location, 1, 1)
        self.deltas = same_conv(channels, spec.anchors.per_location * 4, 1, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv3d):
                nn.init.normal_(module.weight, std=0.01)
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    def forward(
        self,
        maps: Sequence[Tensor],
        padded_size: tuple[int, int],
        sizes: Sequence[tuple[int, int]],
        targets: Sequence[ClipTargets] | None = None,
    ) -> tuple[list[Tensor], dict[str, Tensor]]:
        """Return proposals [P, T, 4] xyxy of each clip, best first, and the losses, which are empty without targets.

        Args:
            maps: [N, C, T, h, w] of each level, finest first.
            padded_size: (height, width) of the padded frames.
            sizes: (height, width) of the frames of each clip before padding.
            targets: targets of each clip; None at inference.

        Raises:
            FloatingPointError: objectness is not finite, in eval mode.
        """
        levels = [self._predict(level) for level in maps]
        if not self.training and not all(torch.isfinite(level.objectness).all() for level in levels):
            raise FloatingPointError("objectness is not finite: weights or activations are NaN or infinite")
        anchors = self.anchors(maps, padded_size, levels[0].deltas.dtype)
        proposals = self._propose(levels, anchors, sizes)
        return proposals, {} if targets is None else self._losses(levels, torch.cat(anchors), targets)

    def _predict(self, maps: Tensor) -> _Predictions:
        hidden = self.convs(maps)
        logits = full_precision(self.objectness(hidden)).mean(dim=2)  # [N, A, h, w]
        deltas = torch.unflatten(full_precision(self.deltas(hidden)), 1, (-1, 4))  # [N, A, 4, T, h, w]
        return _Predictions(logits.permute(0, 2, 3, 1).flatten(1), deltas.permute(0, 4, 5, 1, 3, 2).flatten(1, 3))

    @torch.no_grad()
    def _propose(
        self, levels: Sequence[_Predictions], anchors: Sequence[Tensor], sizes: Sequence[tuple[int, int]]
    ) -> list[Tensor]:
        """Decode the best predictions of each level and apply NMS within each level."""
        settings = self.settings
        pre_nms = settings.rpn_pre_nms_top_n_train if self.training else settings.rpn_pre_nms_top_n_test
        post_nms = settings.rpn_post_nms_top_n_train if self.training else settings.rpn_post_nms_top_n_test
        best = [level.objectness.topk(min(pre_nms, level.objectness.shape[1]), dim=1).indices for level in levels]
        proposals = []
        for n, size in enumerate(sizes):
            rows = [index[n] for index in best]
            logits = torch.cat([level.objectness[n, r] for level, r in zip(levels, rows, strict=True)])
            deltas = torch.cat([level.deltas[n, r] for level, r in zip(levels, rows, strict=True)])
            references = torch.cat([a[r] for a, r in zip(anchors, rows, strict=True)])
            level_of = torch.cat([torch.full_like(r, number) for number, r in enumerate(rows)])
            tubes = clip_tubes(self.code.decode(deltas, references[:, None]), size, offset=self.offset)
            scores = logits.sigmoid()
            keep = large_tubes(tubes, MIN_SIZE, offset=self.offset) & (scores >= settings.rpn_score_thresh)
            tubes, scores, level_of = tubes[keep], scores[keep], level_of[keep]
            indices = batched_tube_nms(tubes, scores, level_of, settings.rpn_nms_thresh, offset=self.offset)
            proposals.append(tubes[indices[:post_nms]])
        return proposals

    def _losses(
        self, levels: Sequence[_Predictions], anchors: Tensor, targets: Sequence[ClipTargets]
    ) -> dict[str, Tensor]:
        """Return the losses of sampled tubes.

        - loss_objectness: binary cross entropy, averaged over the samples.
        - loss_rpn_box_reg: smooth L1 of the box deltas of positive samples, divided by the number of all samples.
        """
        objectness = torch.cat([level.objectness for level in levels], dim=1)
        deltas = torch.cat([level.deltas for level in levels], dim=1)
        tubes = anchors[:, None].expand(-1, deltas.shape[2], -1)
        logits, labels, box_losses = [], [], []
        for n, target in enumerate(targets):
            boxes = target.boxes.to(anchors.dtype)
            iou = tube_iou(mean_boxes(boxes, target.visible)[:, None], anchors[:, None], offset=self.offset)
            matches = match_tubes(iou, self.settings.rpn_fg_iou_thresh, self.settings.rpn_bg_iou_thresh, keep_best=True)
            positive, negative = sample_tubes(
                matches, self.settings.rpn_batch_size_per_image, self.settings.rpn_positive_fraction
            )
            logits.append(objectness[n, torch.cat([positive, negative])])
            labels.append(torch.cat([torch.ones_like(positive), torch.zeros_like(negative)]))
            objects = matches[positive]
            box_losses.append(
                tube_box_loss(self.code, deltas[n, positive], tubes[positive], boxes[objects], target.visible[objects])
            )
        logit, label = torch.cat(logits), torch.cat(labels)
        return {
            "loss_objectness": F.binary_cross_entropy_with_logits(logit, label.to(logit.dtype)),
            "loss_rpn_box_reg": torch.stack(box_losses).sum() / max(len(label), 1),
        }
