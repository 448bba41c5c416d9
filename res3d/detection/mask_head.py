"""Mask head: one mask per box and frame (He et al. 2017), convolutional in time."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.detection.roi_heads import maskrcnn_loss

from res3d.backbone import NormSpec
from res3d.detection.box_detections import BoxDetections
from res3d.detection.layers import ConvStack, full_precision
from res3d.detection.sampling import Samples, VisibleFrames
from res3d.detection.task_head import TaskHead, TaskSpec
from res3d.ops.masks import BoxMasks


@dataclass(frozen=True, kw_only=True, slots=True)
class MaskHeadSpec(TaskSpec):
    """The mask head of torchvision, with a kernel in time."""

    roi_size: int = 14
    """Side of the pooled features of each box."""
    convs: tuple[int, ...] = (256, 256, 256, 256)
    """Widths of the 3×3 convolutions."""
    channels: int = 256
    """Width after the upsampling."""
    norm: NormSpec | None = None
    """Norm after each 3×3 convolution; None: biases instead."""
    temporal_kernel: int = 1
    """Frames that each 3×3 convolution spans."""

    @classmethod
    def for_channels(cls, channels: int) -> "MaskHeadSpec":
        """Return the spec of the head for feature maps with ``channels``."""
        return cls(convs=(channels,) * 4, channels=channels)

    def build(self, channels: int, num_classes: int) -> "MaskHead":
        return MaskHead(self, channels, num_classes)


class MaskHead(TaskHead):
    """Mask head: convolutions, an upsampling by 2, and one mask per class.

    Args:
        spec: the layers.
        channels: C, the channels of the feature maps.
        num_classes: number of classes, including the background.
    """

    field = "masks"
    shape = "N T H W"
    values = "binary"
    loss_name = "loss_mask"
    score_name = "mask_ap"

    def __init__(self, spec: MaskHeadSpec, channels: int, num_classes: int) -> None:
        super().__init__()
        self.spec = spec
        self.results = {"masks": "D T 1 H W"}
        self.roi_size = spec.roi_size
        self.convs = ConvStack(channels, spec.convs, spec.temporal_kernel, spec.norm)
        self.upsample = nn.ConvTranspose3d(self.convs.channels, spec.channels, (1, 2, 2), (1, 2, 2))
        self.masks = nn.Conv3d(spec.channels, num_classes, 1)
        for module in self.modules():
            if isinstance(module, (nn.Conv3d, nn.ConvTranspose3d)):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return mask logits: [R, C, T, s, s] -> [R, classes, T, 2s, 2s]."""
        logits: Tensor = self.masks(F.relu_(self.upsample(self.convs(x))))
        return full_precision(logits)

    @staticmethod
    def resize(truth: Tensor, old: tuple[int, int], new: tuple[int, int]) -> Tensor:
        if old == new:
            return truth.float()
        return F.interpolate(truth.float(), size=new)

    def loss(self, features: Tensor, positives: Sequence[Samples]) -> Tensor:
        logits = self(features)
        frames = [VisibleFrames.from_samples(p) for p in positives]
        visible = torch.cat([p.visible() for p in positives])
        loss: Tensor = maskrcnn_loss(
            logits.transpose(1, 2)[visible],  # [V, classes, S, S]
            [f.boxes for f in frames],
            [p.targets.extra[self.field].flatten(0, 1) for p in positives],
            [p.targets.labels.repeat_interleave(p.tubes.shape[1]) for p in positives],
            [f.rows for f in frames],
        )
        return loss

    def predict(self, features: Tensor, detections: Sequence[BoxDetections]) -> list[dict[str, Tensor]]:
        logits = self(features)
        labels = torch.cat([d.labels for d in detections])
        masks = logits[torch.arange(len(labels), device=labels.device), labels].sigmoid()
        return [{"masks": m} for m in masks.split([len(d.labels) for d in detections])]

    @staticmethod
    def restore(
        prediction: dict[str, Tensor], boxes: Tensor, old: tuple[int, int], new: tuple[int, int]
    ) -> dict[str, Tensor | BoxMasks]:
        return {"masks": BoxMasks(prediction["masks"], boxes, new)}
