"""The tube proposal network: where, in a clip, anything at all is (Ren et al. 2015; Girdhar et al. 2018)."""

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

MIN_SIZE = 1e-3  # pixels


@dataclass(frozen=True, kw_only=True, slots=True)
class ProposalSpec:
    """The head that every level of maps shares, and its anchors."""

    anchors: AnchorSpec = field(default_factory=AnchorSpec)
    depth: int = 1
    """Convolutions before the two predictors."""
    temporal_kernel: int = 3
    """Frames that those convolutions span."""


class _Predictions(NamedTuple):
    """Predictions of one level, in the order of the anchors: rows, columns, shapes."""

    objectness: Tensor
    """[N, A] logits of tubes."""
    deltas: Tensor
    """[N, A, T, 4]."""


class TubeProposalNetwork(nn.Module):
    """Objectness of a tube and a correction of its box in every frame, for each anchor.

    The objectness logit is the mean of the frames' logits. An anchor stands still, so it is compared with where an
    object is on average: with its box averaged over the frames where it is visible. How the object moves around that
    place is in the corrections. (The mean IoU over frames, Detect-and-Track's measure, is low for whatever moves,
    wherever the anchor, and fast objects are left without anchors that fit.)

    Args:
        spec: the head.
        channels: of the maps.
        strides: of each level of maps, in pixels.
        settings: thresholds and counts.
        offset: pixel convention, see ``res3d.ops.tubes``.
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
        self.objectness = same_conv(channels, spec.anchors.per_place, 1, 1)
        self.deltas = same_conv(channels, spec.anchors.per_place * 4, 1, 1)
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
        """Proposals [P, T, 4] of each clip, best first, and in training the losses.

        Args:
            maps: [N, C, T, h, w] of each level.
            padded_size: (height, width) of the frames that the maps are of.
            sizes: the same of each clip before padding.
            targets: of each clip; None at inference.
        """
        levels = [self._predict(level) for level in maps]
        if not self.training and not all(torch.isfinite(level.objectness).all() for level in levels):
            raise FloatingPointError("objectness is not finite: the weights, or numbers on the way, are not")
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
        settings = self.settings
        before = settings.rpn_pre_nms_top_n_train if self.training else settings.rpn_pre_nms_top_n_test
        after = settings.rpn_post_nms_top_n_train if self.training else settings.rpn_post_nms_top_n_test
        best = [level.objectness.topk(min(before, level.objectness.shape[1]), dim=1).indices for level in levels]
        proposals = []
        for n, size in enumerate(sizes):
            rows = [index[n] for index in best]
            logits = torch.cat([level.objectness[n, r] for level, r in zip(levels, rows, strict=True)])
            deltas = torch.cat([level.deltas[n, r] for level, r in zip(levels, rows, strict=True)])
            references = torch.cat([a[r] for a, r in zip(anchors, rows, strict=True)])
            group = torch.cat([torch.full_like(r, number) for number, r in enumerate(rows)])
            tubes = clip_tubes(self.code.decode(deltas, references[:, None]), size, offset=self.offset)
            scores = logits.sigmoid()
            kept = large_tubes(tubes, MIN_SIZE, offset=self.offset) & (scores >= settings.rpn_score_thresh)
            tubes, scores, group = tubes[kept], scores[kept], group[kept]
            kept = batched_tube_nms(tubes, scores, group, settings.rpn_nms_thresh, offset=self.offset)
            proposals.append(tubes[kept[:after]])
        return proposals

    def _losses(
        self, levels: Sequence[_Predictions], anchors: Tensor, targets: Sequence[ClipTargets]
    ) -> dict[str, Tensor]:
        """Binary cross entropy of sampled tubes; smooth L1 of positives, the mean over an object's visible frames."""
        objectness = torch.cat([level.objectness for level in levels], dim=1)
        deltas = torch.cat([level.deltas for level in levels], dim=1)
        tubes = anchors[:, None].expand(-1, deltas.shape[2], -1)
        logits, truths, box_losses = [], [], []
        for n, target in enumerate(targets):
            boxes = target.boxes.to(anchors.dtype)
            iou = tube_iou(mean_boxes(boxes, target.visible)[:, None], anchors[:, None], offset=self.offset)
            matches = match_tubes(iou, self.settings.rpn_fg_iou_thresh, self.settings.rpn_bg_iou_thresh, keep_best=True)
            positive, negative = sample_tubes(
                matches, self.settings.rpn_batch_size_per_image, self.settings.rpn_positive_fraction
            )
            logits.append(objectness[n, torch.cat([positive, negative])])
            truths.append(torch.cat([torch.ones_like(positive), torch.zeros_like(negative)]))
            objects = matches[positive]
            box_losses.append(
                tube_box_loss(self.code, deltas[n, positive], tubes[positive], boxes[objects], target.visible[objects])
            )
        logit, truth = torch.cat(logits), torch.cat(truths)
        return {
            "loss_objectness": F.binary_cross_entropy_with_logits(logit, truth.to(logit.dtype)),
            "loss_rpn_box_reg": torch.stack(box_losses).sum() / max(len(truth), 1),
        }
