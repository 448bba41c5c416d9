"""Helpers of parity tests, and reference models that no installable package provides, with the originals' key names.

The models are written from papers, configurations and checkpoint layouts, independently of res3d.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@torch.no_grad()
def randomize(model: nn.Module, seed: int = 1) -> nn.Module:
    """Set all parameters and statistics to random values far from defaults that hide errors; return in eval mode."""
    generator = torch.Generator().manual_seed(seed)
    for name, tensor in model.state_dict().items():
        if name.endswith("running_var"):
            tensor.uniform_(0.5, 2, generator=generator)
        elif tensor.dim() == 1 and tensor.is_floating_point():
            tensor.uniform_(0.2, 1.2, generator=generator)
        elif tensor.is_floating_point():
            fan = tensor[0].numel()
            tensor.normal_(0, (2 / fan) ** 0.5, generator=generator)
    return model.eval()


def assert_close(actual: Tensor, expected: Tensor, tolerance: float = 1e-5) -> None:
    """Assert max|actual − expected| ≤ tolerance · max|expected|, equal shapes, and finite values that are not all 0."""
    assert actual.shape == expected.shape
    assert torch.isfinite(expected).all()
    assert expected.abs().max() > 0
    assert (actual - expected).abs().max() <= tolerance * expected.abs().max()


class HaraBlock(nn.Module):
    """Basic or bottleneck block of 3D-ResNets-PyTorch (Hara et al. 2018) with shortcut type A or B."""

    def __init__(self, inplanes: int, planes: int, stride: int, bottleneck: bool, kind: str) -> None:
        super().__init__()
        out = planes * 4 if bottleneck else planes
        sizes = [(inplanes, planes, 1, 1), (planes, planes, 3, stride), (planes, out, 1, 1)]
        if not bottleneck:
            sizes = [(inplanes, planes, 3, stride), (planes, planes, 3, 1)]
        self.depth = len(sizes)
        for i, (a, b, k, s) in enumerate(sizes, 1):
            self.add_module(f"conv{i}", nn.Conv3d(a, b, k, stride=s, padding=k // 2, bias=False))
            self.add_module(f"bn{i}", nn.BatchNorm3d(b))
        self.kind, self.stride, self.extra = kind, stride, out - inplanes
        self.needs_shortcut = stride != 1 or inplanes != out
        if self.needs_shortcut and kind == "B":
            self.downsample = nn.Sequential(nn.Conv3d(inplanes, out, 1, stride=stride, bias=False), nn.BatchNorm3d(out))

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for i in range(1, self.depth + 1):
            y = getattr(self, f"bn{i}")(getattr(self, f"conv{i}")(y))
            y = F.relu(y) if i < self.depth else y
        if self.needs_shortcut:
            if self.kind == "B":
                x = self.downsample(x)
            else:
                x = F.avg_pool3d(x, kernel_size=1, stride=self.stride)
                x = torch.cat([x, x.new_zeros(x.shape[0], self.extra, *x.shape[2:])], dim=1)
        return F.relu(y + x)


class HaraResNet(nn.Module):
    """ResNet of 3D-ResNets-PyTorch."""

    DEPTHS = {  # noqa: RUF012
        10: (1, 1, 1, 1),
        18: (2, 2, 2, 2),
        34: (3, 4, 6, 3),
        50: (3, 4, 6, 3),
        101: (3, 4, 23, 3),
        152: (3, 8, 36, 3),
        200: (3, 24, 36, 3),
    }

    def __init__(self, depth: int, kind: str, classes: int, width: int = 64) -> None:
        super().__init__()
        bottleneck = depth >= 50
        self.conv1 = nn.Conv3d(3, width, 7, stride=(1, 2, 2), padding=3, bias=False)
        self.bn1 = nn.BatchNorm3d(width)
        self.maxpool = nn.MaxPool3d(3, stride=2, padding=1)
        channels = width
        for i, count in enumerate(self.DEPTHS[depth]):
            planes = width * 2**i
            blocks = []
            for j in range(count):
                blocks.append(HaraBlock(channels, planes, 2 if i and not j else 1, bottleneck, kind))
                channels = planes * 4 if bottleneck else planes
            self.add_module(f"layer{i + 1}", nn.Sequential(*blocks))
        self.fc = nn.Linear(channels, classes)

    def trunk(self, x: Tensor) -> Tensor:
        x = self.maxpool(F.relu(self.bn1(self.conv1(x))))
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(F.adaptive_avg_pool3d(self.trunk(x), 1).flatten(1))


class I3Block(nn.Module):
    """Bottleneck of hassony2's I3ResNet; the middle convolution is 3×3×3 and has the same stride in time and space."""

    def __init__(self, inplanes: int, planes: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(inplanes, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm3d(planes)
        self.conv2 = nn.Conv3d(planes, planes, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm3d(planes)
        self.conv3 = nn.Conv3d(planes, planes * 4, 1, bias=False)
        self.bn3 = nn.BatchNorm3d(planes * 4)
        if stride != 1 or inplanes != planes * 4:
            self.downsample = nn.Sequential(
                nn.Conv3d(inplanes, planes * 4, 1, stride=stride, bias=False), nn.BatchNorm3d(planes * 4)
            )
        else:
            self.downsample = None

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class I3ResNet(nn.Module):
    """I3ResNet of hassony2 with a convolution as classifier."""

    def __init__(self, counts: tuple[int, ...], classes: int, width: int = 64) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(3, width, (3, 7, 7), stride=(1, 2, 2), padding=(1, 3, 3), bias=False)
        self.bn1 = nn.BatchNorm3d(width)
        self.maxpool = nn.MaxPool3d(3, stride=2, padding=1)
        channels = width
        for i, count in enumerate(counts):
            planes = width * 2**i
            blocks = [I3Block(channels if not j else planes * 4, planes, 2 if i and not j else 1) for j in range(count)]
            channels = planes * 4
            self.add_module(f"layer{i + 1}", nn.Sequential(*blocks))
        self.classifier = nn.Conv3d(channels, classes, 1, bias=True)

    def trunk(self, x: Tensor) -> Tensor:
        x = self.maxpool(F.relu(self.bn1(self.conv1(x))))
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(F.adaptive_avg_pool3d(self.trunk(x), 1)).flatten(1)


class ConvModule(nn.Module):
    """Convolution and norm of mmcv, optionally with ReLU."""

    def __init__(self, a: int, b: int, kernel: tuple[int, ...], stride: tuple[int, ...], act: bool) -> None:
        super().__init__()
        self.conv = nn.Conv3d(a, b, kernel, stride=stride, padding=tuple(k // 2 for k in kernel), bias=False)
        self.bn = nn.BatchNorm3d(b)
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn(self.conv(x))
        return F.relu(y) if self.act else y


class MMBlock(nn.Module):
    """Bottleneck3d of MMAction2 with style pytorch and inflate_style 3x1x1."""

    def __init__(self, inplanes: int, planes: int, stride: int, inflate: int) -> None:
        super().__init__()
        self.conv1 = ConvModule(inplanes, planes, (3 if inflate else 1, 1, 1), (1, 1, 1), True)
        self.conv2 = ConvModule(planes, planes, (1, 3, 3), (1, stride, stride), True)
        self.conv3 = ConvModule(planes, planes * 4, (1, 1, 1), (1, 1, 1), False)
        self.downsample = None
        if stride != 1 or inplanes != planes * 4:
            self.downsample = ConvModule(inplanes, planes * 4, (1, 1, 1), (1, stride, stride), False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv3(self.conv2(self.conv1(x)))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class MMAction2I3D(nn.Module):
    """ResNet3d and I3DHead of MMAction2's ``i3d_r50`` recipe, with the key names of its checkpoints."""

    INFLATE = ((1, 1, 1), (1, 0, 1, 0), (1, 0, 1, 0, 1, 0), (0, 1, 0))

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.backbone = nn.Module()
        self.backbone.conv1 = ConvModule(3, 64, (5, 7, 7), (2, 2, 2), True)
        channels = 64
        for i, row in enumerate(self.INFLATE):
            planes, blocks = 64 * 2**i, []
            for j, inflate in enumerate(row):
                blocks.append(MMBlock(channels, planes, 2 if i and not j else 1, inflate))
                channels = planes * 4
            self.backbone.add_module(f"layer{i + 1}", nn.Sequential(*blocks))
        self.cls_head = nn.Module()
        self.cls_head.fc_cls = nn.Linear(channels, classes)

    def trunk(self, x: Tensor) -> Tensor:
        b = self.backbone
        x = F.max_pool3d(b.conv1(x), (1, 3, 3), stride=(2, 2, 2), padding=(0, 1, 1))
        x = F.max_pool3d(b.layer1(x), (2, 1, 1), stride=(2, 1, 1))
        return b.layer4(b.layer3(b.layer2(x)))

    def forward(self, x: Tensor) -> Tensor:
        return self.cls_head.fc_cls(F.adaptive_avg_pool3d(self.trunk(x), 1).flatten(1))
