"""Keypoint head: one heatmap per keypoint, box and frame (He et al. 2017), convolutional in time."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.detection.roi_heads import keypointrcnn_loss

from res3d.detection.box_detections import BoxDetections
from res3d.detection.layers import ConvStack, full_precision
from res3d.detection.sampling import Samples, VisibleFrames
from res3d.detection.task_head import TaskHead, TaskSpec
from res3d.ops.keypoints import heatmaps_to_keypoints
from res3d.ops.masks import BoxMasks
from res3d.ops.resizing import size_ratios


@dataclass(frozen=True, kw_only=True, slots=True)
class KeypointHeadSpec(TaskSpec):
    """The keypoint head of torchvision and Detectron, with a kernel in time."""

    num_keypoints: int
    """K, at least 1."""
    roi_size: int = 14
    """Side of the pooled features of each box."""
    convs: tuple[int, ...] = (512,) * 8
    """Widths of the 3×3 convolutions."""
    temporal_kernel: int = 1
    """Frames that each 3×3 convolution spans."""
    border: Literal["replicate", "zeros"] = "replicate"
    """Padding of the heatmaps in the last, bilinear upsampling: their border values (torchvision), or zeros (Detectron,
    which upsamples by a deconvolution with fixed weights)."""

    def __post_init__(self) -> None:
        if not isinstance(self.num_keypoints, int) or isinstance(self.num_keypoints, bool) or self.num_keypoints < 1:
            raise ValueError(f"keypoints must be a whole number ≥ 1, not {self.num_keypoints!r}")
        if self.border not in ("replicate", "zeros"):
            raise ValueError(f"border must be 'replicate' or 'zeros', not {self.border!r}")

    @classmethod
    def for_channels(cls, channels: int, num_keypoints: int) -> "KeypointHeadSpec":
        """Return the spec of the head for feature maps with ``channels``.

        Its temporal kernel of 3 is Detect-and-Track's: motion helps to recognise poses.
        """
        return cls(num_keypoints=num_keypoints, convs=(2 * channels,) * 8, temporal_kernel=3)

    def build(self, channels: int, num_classes: int) -> "KeypointHead":
        return KeypointHead(self, channels)


class KeypointHead(TaskHead):
    """Keypoint head: convolutions, two upsamplings by 2, and one heatmap per keypoint.

    Args:
        spec: the layers.
        channels: C, the channels of the feature maps.
    """

    field = "keypoints"
    values = "coordinates"
    loss_name = "loss_keypoint"
    score_name = "pck"

    def __init__(self, spec: KeypointHeadSpec, channels: int) -> None:
        super().__init__()
        self.spec = spec
        self.roi_size = spec.roi_size
        self.shape = f"N T {spec.num_keypoints} 3"
        self.results = {"keypoints": f"D T {spec.num_keypoints} 3", "keypoints_scores": f"D T {spec.num_keypoints}"}
        self.convs = ConvStack(channels, spec.convs, spec.temporal_kernel, None)
        self.upsample = nn.ConvTranspose3d(
            self.convs.channels, spec.num_keypoints, (1, 4, 4), (1, 2, 2), padding=(0, 1, 1)
        )
        for module in self.modules():
            if isinstance(module, (nn.Conv3d, nn.ConvTranspose3d)):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                assert module.bias is not None
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Return heatmap logits, frames before keypoints: [R, C, T, s, s] -> [R, T, K, 4s, 4s]."""
        maps = full_precision(self.upsample(self.convs(x))).transpose(1, 2)
        return torch.unflatten(_upsample(maps.flatten(0, 1), self.spec.border), 0, maps.shape[:2])

    @staticmethod
    def resize(truth: Tensor, old: tuple[int, int], new: tuple[int, int]) -> Tensor:
        height, width = size_ratios(old, new, truth)
        return torch.stack([truth[..., 0] * width, truth[..., 1] * height, truth[..., 2]], dim=-1)

    def loss(self, features: Tensor, positives: Sequence[Samples]) -> Tensor:
        logits = self(features)
        frames = [VisibleFrames.from_samples(p) for p in positives]
        visible = torch.cat([p.visible() for p in positives])
        loss: Tensor = keypointrcnn_loss(
            logits[visible].contiguous(),
            [f.boxes for f in frames],
            [p.targets.extra[self.field].flatten(0, 1) for p in positives],
            [f.rows for f in frames],
        )
        return loss

    def predict(self, features: Tensor, detections: Sequence[BoxDetections]) -> list[dict[str, Tensor]]:
        logits = self(features)
        predictions = []
        for maps, clip in zip(logits.split([len(d.labels) for d in detections]), detections, strict=True):
            points, scores = heatmaps_to_keypoints(maps.flatten(0, 1), clip.boxes.flatten(0, 1))
            shape = clip.boxes.shape[:2]
            predictions.append(
                {"keypoints": torch.unflatten(points, 0, shape), "keypoints_scores": torch.unflatten(scores, 0, shape)}
            )
        return predictions

    @staticmethod
    def restore(
        prediction: dict[str, Tensor], boxes: Tensor, old: tuple[int, int], new: tuple[int, int]
    ) -> dict[str, Tensor | BoxMasks]:
        return {**prediction, "keypoints": KeypointHead.resize(prediction["keypoints"], old, new)}


def _upsample(maps: Tensor, border: str) -> Tensor:
    """Upsample heatmaps bilinearly by 2: [V, K, s, s] -> [V, K, 2s, 2s]. For ``border``, see ``KeypointHeadSpec``."""
    if border == "replicate":
        return F.interpolate(maps, scale_factor=2.0, mode="bilinear", align_corners=False)
    padded = F.interpolate(F.pad(maps, (1, 1, 1, 1)), scale_factor=2.0, mode="bilinear", align_corners=False)
    return padded[..., 2:-2, 2:-2]
