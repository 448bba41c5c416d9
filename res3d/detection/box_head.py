"""Box head: the class of each tube, and its refined box and visibility in each frame."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from res3d.backbone import BackboneSpec, LayerFactory, NormSpec, StageSpec, build_stage
from res3d.detection.box_detections import BoxDetections
from res3d.detection.box_loss import tube_box_loss
from res3d.detection.layers import ConvStack, WindowConv3d, full_precision, idle_loss
from res3d.detection.sampling import Samples
from res3d.detection.settings import DetectorSettings
from res3d.ops.box_code import BoxCode
from res3d.ops.nms import batched_tube_nms
from res3d.ops.roi_align import TubePooler
from res3d.ops.tubes import clip_tubes, large_tubes

MIN_SIZE = 1e-2  # pixels; smaller detections are dropped


@dataclass(frozen=True, kw_only=True, slots=True)
class BoxHeadSpec:
    """Layers between the pooled features and the predictors: stages, then convolutions, then linear layers."""

    roi_size: int = 7
    """Side of the pooled features of each box."""
    stages: tuple[StageSpec, ...] = ()
    """Last stages of the backbone, which its body does not include (C4 detectors)."""
    convs: tuple[int, ...] = ()
    """Widths of the 3×3 convolutions."""
    fcs: tuple[int, ...] = (1024, 1024)
    """Widths of the linear layers. Without them, the features are averaged over space."""
    norm: NormSpec | None = None
    """Norm after each convolution; None: biases instead."""
    temporal_kernel: int = 1
    """Frames that convolutions and linear layers span."""


class BoxHead(nn.Module):
    """Classes, boxes and visibility of tubes, from pooled features.

    Class logits are averaged over the frames. Boxes and visibility are predicted for each frame. ``embeddings`` are the
    features before the predictors, averaged over the frames with the visibility as weight.

    Args:
        spec: the layers.
        channels: channels of the feature maps.
        num_classes: number of classes, including the background.
        backbone: spec of the backbone; ``spec.stages`` use its norm and temporal padding.
        settings: thresholds and counts.
        offset: pixel convention, see ``res3d.ops.tubes``.
    """

    def __init__(
        self,
        spec: BoxHeadSpec,
        channels: int,
        num_classes: int,
        backbone: BackboneSpec,
        settings: DetectorSettings,
        *,
        offset: int,
    ) -> None:
        super().__init__()
        self.spec = spec
        self.settings = settings
        self.offset = offset
        self.code = BoxCode(weights=settings.bbox_reg_weights, offset=offset)
        self.stages = nn.Sequential()
        layers = LayerFactory(backbone.norm, backbone.temporal_padding)
        for number, stage in enumerate(spec.stages, 2 + len(backbone.stages)):
            self.stages.add_module(f"conv{number}", build_stage(stage, channels, layers))
            channels = stage.out_channels
        self.convs = ConvStack(channels, spec.convs, spec.temporal_kernel, spec.norm)
        channels = self.convs.channels
        for module in (*self.stages.modules(), *self.convs.modules()):
            if isinstance(module, nn.Conv3d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        self.fcs = nn.ModuleList()
        size = spec.roi_size
        for width in spec.fcs:
            self.fcs.append(WindowConv3d(channels, width, spec.temporal_kernel, size))
            channels, size = width, 1
        self.classes = WindowConv3d(channels, num_classes, 1)
        self.deltas = WindowConv3d(channels, num_classes * 4, 1)
        self.visible = WindowConv3d(channels, 1, 1)
        for predictor, std in ((self.classes, 0.01), (self.deltas, 0.001), (self.visible, 0.01)):
            nn.init.normal_(predictor.weight, std=std)
            assert predictor.bias is not None
            nn.init.zeros_(predictor.bias)

    def features(self, pool: TubePooler, tubes: Sequence[Tensor]) -> Tensor:
        """Return the features of tubes: [R, T, 4] of each clip -> [R of all clips, E, T, 1, 1]."""
        x: Tensor = self.convs(self.stages(pool(tubes, self.spec.roi_size)))
        for fc in self.fcs:
            x = F.relu_(fc(x))
        if x.shape[-1] > 1:
            x = x.mean(dim=(3, 4), keepdim=True)
        return x

    def losses(self, pool: TubePooler, samples: Sequence[Samples]) -> dict[str, Tensor]:
        """Return the losses of sampled tubes; all are 0 if there are no samples.

        - loss_classifier: cross entropy of the classes, averaged over the samples.
        - loss_box_reg: smooth L1 of the box deltas of positive samples, divided by the number of all samples.
        - loss_visible: binary cross entropy of the visibility, averaged over the frames of positive samples.
        """
        labels = torch.cat([s.labels for s in samples])
        if not len(labels):
            zero = idle_loss(self)
            return {"loss_classifier": zero, "loss_box_reg": zero, "loss_visible": zero}
        x = self.features(pool, [s.tubes for s in samples])
        logits = full_precision(self.classes(x))[..., 0, 0].mean(dim=2)
        rows = torch.where(labels > 0)[0]
        positives = [s.positive() for s in samples]
        deltas = self._deltas(x)[rows, labels[rows]]
        tubes, boxes, visible = (
            torch.cat(parts)
            for parts in (
                [p.tubes for p in positives],
                [p.boxes() for p in positives],
                [p.visible() for p in positives],
            )
        )
        box_loss = tube_box_loss(self.code, deltas, tubes, boxes.to(tubes.dtype), visible)
        visible_logits = full_precision(self.visible(x))[rows, 0, :, 0, 0]
        visible_loss = F.binary_cross_entropy_with_logits(
            visible_logits, visible.to(visible_logits.dtype), reduction="sum"
        )
        return {
            "loss_classifier": F.cross_entropy(logits, labels),
            "loss_box_reg": box_loss / len(labels),
            "loss_visible": visible_loss / max(visible.numel(), 1),
        }

    def detect(
        self, pool: TubePooler, proposals: Sequence[Tensor], sizes: Sequence[tuple[int, int]]
    ) -> list[BoxDetections]:
        """Return the detections of each clip.

        Args:
            pool: the pooler of the clips' feature maps.
            proposals: [P, T, 4] of each clip.
            sizes: (height, width) of the frames of each clip.

        Raises:
            FloatingPointError: class scores are not finite.
        """
        x = self.features(pool, proposals)
        scores = full_precision(self.classes(x))[..., 0, 0].mean(dim=2).softmax(dim=1)
        if not torch.isfinite(scores).all():  # comparisons with NaN are false: the result would silently be empty
            raise FloatingPointError("class scores are not finite: weights or activations are NaN or infinite")
        deltas = self._deltas(x)
        visible = full_precision(self.visible(x))[:, 0, :, 0, 0].sigmoid()
        counts = [len(p) for p in proposals]
        parts = zip(*(torch.split(t, counts) for t in (x, scores, deltas, visible)), proposals, sizes, strict=True)
        return [self._detect(*part) for part in parts]

    def _deltas(self, x: Tensor) -> Tensor:
        """Return the box deltas of every class: [R, E, T, 1, 1] -> [R, classes, T, 4]."""
        return torch.unflatten(full_precision(self.deltas(x))[..., 0, 0], 1, (-1, 4)).transpose(2, 3)

    def _detect(
        self, x: Tensor, scores: Tensor, deltas: Tensor, visible: Tensor, proposals: Tensor, size: tuple[int, int]
    ) -> BoxDetections:
        """Return the detections of one clip.

        Every class of each proposal is a candidate. Only boxes of candidates above the score threshold are decoded,
        which are few.
        """
        settings = self.settings
        rows, labels = torch.where(scores[:, 1:] > settings.box_score_thresh)
        labels = labels + 1
        boxes = clip_tubes(self.code.decode(deltas[rows, labels], proposals[rows]), size, offset=self.offset)
        large = torch.where(large_tubes(boxes, MIN_SIZE, offset=self.offset))[0]
        best = batched_tube_nms(
            boxes[large], scores[rows, labels][large], labels[large], settings.box_nms_thresh, offset=self.offset
        )
        best = large[best[: settings.box_detections_per_img]]
        rows, labels, boxes = rows[best], labels[best], boxes[best]
        visible = visible[rows]
        weighted = (full_precision(x[rows])[..., 0, 0] * visible[:, None]).sum(dim=2)
        return BoxDetections(
            boxes=boxes,
            visible=visible,
            scores=scores[rows, labels],
            labels=labels,
            embeddings=F.normalize(weighted, dim=1),
        )
