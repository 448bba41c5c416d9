"""Reference implementations of Detectron's ResNets and Detect-and-Track's detector, computed from Caffe2 blobs.

They are written from the papers, configurations and blob layouts, independently of res3d.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torchvision.ops import roi_align


class Caffe2ResNet:
    """Detectron ResNet computed from its blobs: affine norms, and bottlenecks with the stride on the first 1×1."""

    def __init__(self, depth: int, frames: int = 1, channels: int = 64) -> None:
        generator = np.random.default_rng(0)
        self.blocks = {18: (2, 2, 2, 2), 50: (3, 4, 6, 3)}[depth]
        self.bottleneck = depth >= 50
        self.blobs: dict[str, np.ndarray] = {}

        def conv(name: str, out: int, channels: int, size: int, span: int = 1) -> None:
            kernel = (span, size, size) if span > 1 else (size, size)
            scale = (2 / (channels * size * size * span)) ** 0.5
            self.blobs[f"{name}_w"] = (scale * generator.standard_normal((out, channels, *kernel))).astype(np.float32)

        def affine(name: str, out: int) -> None:
            self.blobs[f"{name}_s"] = generator.uniform(0.4, 1.0, out).astype(np.float32)
            self.blobs[f"{name}_b"] = generator.uniform(-0.5, 0.5, out).astype(np.float32)

        conv("conv1", channels, 3, 7)
        affine("res_conv1_bn", channels)
        first_width = channels
        for stage, count in enumerate(self.blocks, 2):
            width = first_width * 2 ** (stage - 2)
            out = width * 4 if self.bottleneck else width
            span = frames if stage > 2 else 1
            for block in range(count):
                name = f"res{stage}_{block}_branch"
                parts = [("a", width, channels, 1, 1), ("b", width, width, 3, span), ("c", out, width, 1, 1)]
                if not self.bottleneck:
                    parts = [("a", width, channels, 3, span), ("b", width, width, 3, span)]
                for letter, to, start, size, s in parts:
                    conv(f"{name}2{letter}", to, start, size, s)
                    affine(f"{name}2{letter}_bn", to)
                if channels != out:
                    conv(f"{name}1", out, channels, 1)
                    affine(f"{name}1_bn", out)
                channels = out
        self.channels = channels
        self.blobs["fc1000_w"] = generator.standard_normal((1000, channels)).astype(np.float32)
        self.blobs["fc1000_b"] = generator.standard_normal(1000).astype(np.float32)

    def __call__(self, clip: torch.Tensor) -> torch.Tensor:
        """Return the feature map of res5."""
        x = F.relu(self.conv("conv1", clip, 2, "res_conv1_bn"))
        x = F.max_pool3d(x, (1, 3, 3), (1, 2, 2), (0, 1, 1))
        for stage in (2, 3, 4, 5):
            x = self.stage(stage, x, 2 if stage > 2 else 1)
        return x

    def stage(self, number: int, x: torch.Tensor, stride: int) -> torch.Tensor:
        for block in range(self.blocks[number - 2]):
            name = f"res{number}_{block}_branch"
            step = stride if block == 0 else 1
            y = F.relu(self.conv(f"{name}2a", x, step))
            y = self.conv(f"{name}2b", y)
            y = self.conv(f"{name}2c", F.relu(y)) if self.bottleneck else y
            x = F.relu(y + (self.conv(f"{name}1", x, step) if f"{name}1_w" in self.blobs else x))
        return x

    def conv(self, name: str, x: torch.Tensor, stride: int = 1, bn: str | None = None) -> torch.Tensor:
        """Apply a convolution and the affine norm after it."""
        kernel = torch.from_numpy(self.blobs[f"{name}_w"])
        kernel = kernel.unsqueeze(2) if kernel.dim() == 4 else kernel
        padding = tuple(k // 2 for k in kernel.shape[2:])
        y = F.conv3d(x, kernel, stride=(1, stride, stride), padding=padding)
        s, b = (torch.from_numpy(self.blobs[f"{bn or name + '_bn'}_{k}"]) for k in "sb")
        return y * s.view(-1, 1, 1, 1) + b.view(-1, 1, 1, 1)


class DetectAndTrack:
    """Detect-and-Track's R-18 3D C4 model with a keypoint head, up to boxes and heatmaps. Clips are BGR."""

    ANCHORS = 12
    CLASSES = 2
    KEYPOINTS = 5

    def __init__(self) -> None:
        self.body = Caffe2ResNet(18, frames=3)
        self.blobs = {name: blob for name, blob in self.body.blobs.items() if not name.startswith("fc1000")}
        generator = np.random.default_rng(1)

        def layer(name: str, *shape: int, biases: int, gain: float = 1.0) -> None:
            scale = gain / np.prod(shape[1:]) ** 0.5
            self.blobs[f"{name}_w"] = (scale * generator.standard_normal(shape)).astype(np.float32)
            self.blobs[f"{name}_b"] = generator.uniform(-0.1, 0.1, biases).astype(np.float32)

        for block in (0, 1):  # in the box head, res5 has spatial kernels only
            for part in "ab":
                name = f"res5_{block}_branch2{part}_w"
                self.blobs[name] = self.body.blobs[name] = self.blobs[name][:, :, 1]
        layer("conv_rpn", 256, 256, 3, 3, 3, biases=256)
        layer("rpn_cls_logits_1", self.ANCHORS, 256, 1, 1, 1, biases=self.ANCHORS)
        layer("rpn_bbox_pred_1", 4 * self.ANCHORS, 256, 1, 1, 1, biases=4 * self.ANCHORS)
        layer("cls_score_1", self.CLASSES, 512, 1, 1, 1, biases=self.CLASSES)
        layer("bbox_pred_1", 4 * self.CLASSES, 512, 1, 1, 1, biases=4 * self.CLASSES)
        for n in range(1, 9):
            layer(f"conv_fcn{n}", 512, 256 if n == 1 else 512, 3, 3, 3, biases=512, gain=1.4)
        layer("kps_score_lowres", 512, self.KEYPOINTS, 4, 4, biases=self.KEYPOINTS)
        ramp = np.array([0.25, 0.75, 0.75, 0.25], np.float32)
        self.blobs["kps_score_w"] = np.zeros((self.KEYPOINTS, self.KEYPOINTS, 4, 4), np.float32)
        for k in range(self.KEYPOINTS):
            self.blobs["kps_score_w"][k, k] = np.outer(ramp, ramp)
        self.blobs["kps_score_b"] = np.zeros(self.KEYPOINTS, np.float32)
        self.body.blobs.update(self.blobs)

    def blob(self, name: str) -> torch.Tensor:
        return torch.from_numpy(self.blobs[name])

    def linear(self, name: str, x: torch.Tensor) -> torch.Tensor:
        kernel = self.blob(f"{name}_w")
        return F.conv3d(x, kernel, self.blob(f"{name}_b"), padding=tuple(k // 2 for k in kernel.shape[2:]))

    def conv4(self, clip: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.body.conv("conv1", clip, 2, "res_conv1_bn"))
        x = F.max_pool3d(x, (1, 3, 3), (1, 2, 2), (0, 1, 1))
        for stage, stride in ((2, 1), (3, 2), (4, 2)):
            x = self.body.stage(stage, x, stride)
        return x

    def proposals(self, conv4: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return tube logits [N, A, h, w] and box deltas [N, A, T, 4, h, w]."""
        hidden = F.relu(self.linear("conv_rpn", conv4))
        logits = self.linear("rpn_cls_logits_1", hidden).mean(dim=2)
        deltas = self.linear("rpn_bbox_pred_1", hidden)
        return logits, deltas.unflatten(1, (self.ANCHORS, 4)).transpose(2, 3)

    def pool(self, conv4: torch.Tensor, tubes: torch.Tensor, size: int) -> torch.Tensor:
        """Pool features of tubes [R, T, 4] of a single clip; return [R, C, T, size, size]."""
        frames = []
        for t in range(conv4.shape[2]):
            rois = torch.cat([torch.zeros(len(tubes), 1), tubes[:, t]], dim=1)
            frames.append(roi_align(conv4[:, :, t], rois, size, 1 / 16, sampling_ratio=2))
        return torch.stack(frames, dim=2)

    def boxes(self, conv4: torch.Tensor, tubes: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return class logits [R, classes] and box deltas [R, classes, T, 4]."""
        x = self.body.stage(5, self.pool(conv4, tubes, 7), 1).mean(dim=(3, 4), keepdim=True)
        logits = self.linear("cls_score_1", x).mean(dim=(2, 3, 4))
        return logits, self.linear("bbox_pred_1", x)[..., 0, 0].unflatten(1, (self.CLASSES, 4)).transpose(2, 3)

    def heatmaps(self, conv4: torch.Tensor, tubes: torch.Tensor) -> torch.Tensor:
        """Return heatmaps [R, T, K, 56, 56]. As in the original, the deconvolutions treat time as batch."""
        x = self.pool(conv4, tubes, 14)
        for n in range(1, 9):
            x = F.relu(self.linear(f"conv_fcn{n}", x))
        frames = x.transpose(1, 2).flatten(0, 1)
        low = F.conv_transpose2d(
            frames, self.blob("kps_score_lowres_w"), self.blob("kps_score_lowres_b"), stride=2, padding=1
        )
        high = F.conv_transpose2d(low, self.blob("kps_score_w"), self.blob("kps_score_b"), stride=2, padding=1)
        return high.unflatten(0, x.shape[::2][:2])
