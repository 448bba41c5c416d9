"""The networks that res3d was asked for, against plain networks written here from their descriptions alone.

Weights are copied in the order in which both register them; outputs agree in float32, gradients in float64.
"""

import copy
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
import torchvision
from helpers.parity_peers import assert_close, randomize
from torch import Tensor, nn

import res3d
from res3d.backbone import (
    BackboneSpec,
    BlockSpec,
    ConvSpec,
    NormSpec,
    ResNet3d,
    ShortcutSpec,
    StageSpec,
    StemSpec,
    count_parameters,
    find_spec,
)
from res3d.weights import resolve_spec


def copy_in_order(plain: nn.Module, ours: nn.Module) -> None:
    """All weights of one network into the other; a kernel of an image is one of a single frame."""
    theirs = [t for name, t in plain.state_dict().items() if not name.endswith("num_batches_tracked")]
    mine = [t for name, t in ours.state_dict().items() if not name.endswith("num_batches_tracked")]
    for source, target in zip(theirs, mine, strict=True):
        target.copy_(source.reshape(target.shape))
        kernel = target.shape if target.dim() < 5 else (*target.shape[:2], *target.shape[-2:])
        assert source.shape == target.shape or source.shape == kernel


def as_clip(x: Tensor) -> Tensor:
    return x if x.dim() == 5 else x.unsqueeze(2)


def assert_same_function(plain: nn.Module, ours: nn.Module, x: Tensor) -> None:
    """Equal parameter counts, outputs (float32, ≤ 1e-5 relative) and parameter gradients (float64)."""
    assert count_parameters(ours) == count_parameters(plain)
    randomize(plain)
    copy_in_order(plain, ours.eval())
    with torch.no_grad():
        theirs = plain(x)
        assert_close(ours(as_clip(x)).reshape(theirs.shape), theirs)
    plain, ours = copy.deepcopy(plain).double(), copy.deepcopy(ours).double()
    theirs = plain(x.double())
    loss_weights = torch.randn_like(theirs)
    (theirs * loss_weights).sum().backward()
    (ours(as_clip(x).double()).reshape(theirs.shape) * loss_weights).sum().backward()
    for mine, their in zip(ours.parameters(), plain.parameters(), strict=True):
        assert_close(mine.grad.reshape(their.grad.shape), their.grad, 1e-9)


class LastMap(nn.Module):
    """A backbone's last map as a tensor."""

    def __init__(self, backbone: ResNet3d) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, x: Tensor) -> Tensor:
        (last,) = self.backbone(x).values()
        return last


# S0: ResNet-18 over 1×N sensor windows


class PlainSensorBlock(nn.Module):
    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, (1, 3), stride=stride, padding=(0, 1), bias=False)
        self.norm1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, (1, 3), padding=(0, 1), bias=False)
        self.norm2 = nn.BatchNorm2d(out)
        self.project = None
        if stride != 1 or channels != out:
            self.project = nn.Sequential(nn.Conv2d(channels, out, 1, stride=stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        return F.relu(y + (self.project(x) if self.project else x))


def plain_sensor() -> nn.Module:
    layers: list[nn.Module] = [nn.Conv2d(1, 64, (1, 3), padding=(0, 1), bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    channels = 64
    for out, stride in ((64, 1), (128, 2), (256, 2), (512, 2)):
        layers += [PlainSensorBlock(channels, out, stride), PlainSensorBlock(out, out, 1)]
        channels = out
    return nn.Sequential(*layers, nn.AvgPool2d((1, 4)), nn.Flatten(), nn.Linear(15_872, 1000))


def test_s0_resnet18_sensor():
    assert_same_function(plain_sensor(), res3d.create_classifier("resnet18_sensor", 1000), torch.randn(2, 1, 1, 1000))


def test_s0_counts_eighteen_weighted_layers():
    model = res3d.create_classifier("resnet18_sensor", 1000)
    weighted = [n for n, m in model.named_modules() if isinstance(m, (nn.Conv3d, nn.Linear)) and "shortcut" not in n]
    assert len(weighted) == 18


# S1: full pre-activation


class PlainPreactBlock(nn.Module):
    """norm, ReLU, conv thrice (basic: twice); the shortcut starts from the normed input in a stack's first block."""

    def __init__(self, channels: int, f: int, out: int, *, first: bool, stride: int, kt: int, nd: int) -> None:
        super().__init__()
        conv, norm = (nn.Conv2d, nn.BatchNorm2d) if nd == 2 else (nn.Conv3d, nn.BatchNorm3d)

        def step(s: int) -> tuple[int, ...]:
            return (1, s, s)[3 - nd :]

        k, p = (kt, 3, 3)[3 - nd :], (kt // 2, 1, 1)[3 - nd :]
        if out == f:
            convs = [
                conv(channels, f, k, stride=step(stride), padding=p, bias=False),
                conv(f, f, k, padding=p, bias=False),
            ]
        else:
            middle = conv(f, f, k, stride=step(stride), padding=p, bias=False)
            convs = [conv(channels, f, 1, bias=False), middle, conv(f, out, 1, bias=False)]
        self.norm0 = norm(channels)
        self.conv0 = convs[0]
        self.rest = nn.ModuleList()
        for c in convs[1:]:
            self.rest += [norm(c.in_channels), c]
        self.project = conv(channels, out, 1, bias=False) if first else None
        self.stride, self.pool = stride, F.max_pool2d if nd == 2 else F.max_pool3d
        self.step = step(stride)

    def forward(self, x: Tensor) -> Tensor:
        start = F.relu(self.norm0(x))
        y = self.conv0(start)
        for norm, conv in zip(self.rest[::2], self.rest[1::2], strict=True):
            y = conv(F.relu(norm(y)))
        if self.project is not None:
            return y + self.project(start)
        return y + (self.pool(x, 1, self.step) if self.stride > 1 else x)


class PlainPreactNet(nn.Module):
    DEPTHS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}  # noqa: RUF012

    def __init__(self, depth: int, nd: int, classes: int | None) -> None:
        super().__init__()
        conv, norm = (nn.Conv2d, nn.BatchNorm2d) if nd == 2 else (nn.Conv3d, nn.BatchNorm3d)
        cut = 3 - nd
        self.stem = conv(3, 64, (1, 7, 7)[cut:], stride=(1, 2, 2)[cut:], padding=(0, 3, 3)[cut:], bias=True)
        maker = nn.MaxPool2d if nd == 2 else nn.MaxPool3d
        self.pool = maker((1, 3, 3)[cut:], (1, 2, 2)[cut:], (0, 1, 1)[cut:])
        blocks, channels = [], 64
        for stack, (f, count) in enumerate(zip((64, 128, 256, 512), self.DEPTHS[depth], strict=True)):
            out = f if depth < 50 else 4 * f
            for i in range(count):
                stride = 2 if i == count - 1 and stack < 3 else 1
                kt = 3 if stack > 0 else 1
                blocks.append(PlainPreactBlock(channels, f, out, first=i == 0, stride=stride, kt=kt, nd=nd))
                channels = out
        self.blocks = nn.Sequential(*blocks)
        self.norm = norm(channels)
        self.fc = nn.Linear(channels, classes) if classes else None

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.blocks(self.pool(self.stem(x)))))
        return self.fc(x.flatten(2).mean(2)) if self.fc else x


@pytest.mark.parametrize("depth", [18, 50])
def test_s1_resnet_v2_of_images(depth):
    ours = res3d.create_classifier(f"resnet{depth}v2_3d", 100, temporal_kernel=1)
    assert_same_function(PlainPreactNet(depth, 2, classes=100), ours, torch.randn(2, 3, 75, 61))


@pytest.mark.parametrize("depth", [18, 50])
def test_s1_resnet_v2_of_clips(depth):
    ours = LastMap(res3d.create_backbone(f"resnet{depth}v2_3d"))
    assert_same_function(PlainPreactNet(depth, 3, classes=None), ours, torch.randn(1, 3, 3, 45, 61))


def test_s1_has_the_described_number_of_parameters():
    with torch.device("meta"):
        assert count_parameters(res3d.create_classifier("resnet50v2_3d", 1000, temporal_kernel=1)) == 25_549_416


class PlainKerasBlock(PlainPreactBlock):
    """Keras' block: biases on the projection and on the last 1×1."""

    def __init__(self, channels: int, f: int, *, first: bool, stride: int) -> None:
        super().__init__(channels, f, 4 * f, first=first, stride=stride, kt=1, nd=2)
        self.rest[-1] = nn.Conv2d(f, 4 * f, 1)
        if first:
            self.project = nn.Conv2d(channels, 4 * f, 1)


def test_s1_keras_own_network_differs_in_data_alone(thin_spec):
    spec = resolve_spec(thin_spec.parent / "resnet50v2_keras.yaml")
    assert spec.norm.eps == 1.001e-5
    plain = PlainPreactNet(50, 2, classes=1000)
    channels, blocks = 64, []
    for f, count, last in ((64, 3, 2), (128, 4, 2), (256, 6, 2), (512, 3, 1)):
        for i in range(count):
            blocks.append(PlainKerasBlock(channels, f, first=i == 0, stride=last if i == count - 1 else 1))
            channels = 4 * f
    plain.blocks = nn.Sequential(*blocks)
    plain.pool = nn.Sequential(nn.ZeroPad2d(1), nn.MaxPool2d(3, 2))
    for module in plain.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 1.001e-5
    ours = res3d.create_classifier(spec, 1000)
    assert count_parameters(ours) == 25_568_360
    assert_same_function(plain, ours, torch.randn(2, 3, 64, 49))


def test_s1_without_preactivation_of_the_stem():
    """``preact`` off: norm and ReLU in the stem."""
    spec = find_spec("resnet18v2_3d")
    ours = LastMap(ResNet3d(replace(spec, stem=replace(spec.stem, norm=True))))
    plain = PlainPreactNet(18, 3, classes=None)
    plain.stem = nn.Sequential(plain.stem, nn.BatchNorm3d(64), nn.ReLU())
    assert_same_function(plain, ours, torch.randn(1, 3, 2, 33, 47))


# S2: the configurable block

BN = nn.BatchNorm2d
RELU = nn.ReLU


class PlainBlock(nn.Module):
    """relu(branch(x) + shortcut(x)); what a case leaves out is None."""

    def __init__(self, branch: list[nn.Module], shortcut: nn.Module | None, *, last_relu: bool = True) -> None:
        super().__init__()
        self.branch = nn.Sequential(*branch)
        self.shortcut = shortcut
        self.last_relu = last_relu

    def forward(self, x: Tensor) -> Tensor:
        y = self.branch(x)
        y = y if self.shortcut is None else y + self.shortcut(x)
        return F.relu(y) if self.last_relu else y


def c2(i: int, o: int, k: int | tuple[int, int], s: int | tuple[int, int] = 1, d: int = 1, g: int = 1) -> nn.Conv2d:
    pad = k // 2 * d if isinstance(k, int) else (k[0] // 2 * d, k[1] // 2 * d)
    return nn.Conv2d(i, o, k, stride=s, padding=pad, dilation=d, groups=g, bias=False)


def c3(i: int, o: int, k: tuple[int, int, int], s: tuple[int, int, int] = (1, 1, 1)) -> nn.Conv3d:
    return nn.Conv3d(i, o, k, stride=s, padding=tuple(n // 2 for n in k), bias=False)


def b3() -> nn.BatchNorm3d:
    return nn.BatchNorm3d(8)


def conv(*kernel: int, **options) -> ConvSpec:
    return ConvSpec(kernel=kernel, **options)


def twice(c: ConvSpec, **options) -> BlockSpec:
    return BlockSpec(convs=(c, c), **options)


def plain_two(i: int, o: int, k: int = 3, s: int = 1, d: int = 1) -> list[nn.Module]:
    return [c2(i, o, k, s, d), BN(o), RELU(), c2(o, o, k, 1, d), BN(o)]


class AddChannels(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        x = F.avg_pool2d(x, 1, 2)
        return torch.cat([x, torch.zeros_like(x)], dim=1)


class PlainExcited(PlainBlock):
    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.branch(x) + x)


S3 = conv(1, 3, 3)
POINT = conv(1, 1, 1)
# what: (block of ours, channels in, width, stride, plain block)
BLOCKS = {
    "basic": (twice(S3), 8, 8, 1, lambda: PlainBlock(plain_two(8, 8), nn.Identity())),
    "projection with stride": (
        twice(S3),
        6,
        8,
        2,
        lambda: PlainBlock(plain_two(6, 8, s=2), nn.Sequential(c2(6, 8, 1, 2), BN(8))),
    ),
    "projection of 3x3": (
        twice(S3, shortcut=ShortcutSpec(kernel=(1, 3, 3))),
        6,
        8,
        2,
        lambda: PlainBlock(plain_two(6, 8, s=2), nn.Sequential(c2(6, 8, 3, 2), BN(8))),
    ),
    "projection even where nothing changes": (
        twice(S3, shortcut=ShortcutSpec(where="always")),
        8,
        8,
        1,
        lambda: PlainBlock(plain_two(8, 8), nn.Sequential(c2(8, 8, 1), BN(8))),
    ),
    "kernels of 5": (twice(conv(1, 5, 5)), 8, 8, 1, lambda: PlainBlock(plain_two(8, 8, k=5), nn.Identity())),
    "no shortcut, no padding": (
        twice(conv(1, 3, 3, padding="none"), shortcut=ShortcutSpec(kind="none")),
        6,
        8,
        2,
        lambda: PlainBlock(
            [nn.Conv2d(6, 8, 3, 2, bias=False), BN(8), RELU(), nn.Conv2d(8, 8, 3, bias=False), BN(8)], None
        ),
    ),
    "max-pooled shortcut of the block's kernel": (
        twice(S3, shortcut=ShortcutSpec(kind="max_pool", kernel=(1, 3, 3))),
        8,
        8,
        2,
        lambda: PlainBlock(plain_two(8, 8, s=2), nn.MaxPool2d(3, 2, 1)),
    ),
    "average-pooled shortcut of the block's kernel": (
        twice(S3, shortcut=ShortcutSpec(kind="avg_pool", kernel=(1, 3, 3))),
        8,
        8,
        2,
        lambda: PlainBlock(plain_two(8, 8, s=2), nn.AvgPool2d(3, 2, 1)),
    ),
    "zero-padded shortcut": (
        twice(S3, shortcut=ShortcutSpec(kind="pool_pad")),
        8,
        16,
        2,
        lambda: PlainBlock(plain_two(8, 16, s=2), AddChannels()),
    ),
    "dilated": (
        twice(conv(1, 3, 3, dilation=(1, 2, 2))),
        8,
        8,
        1,
        lambda: PlainBlock(plain_two(8, 8, d=2), nn.Identity()),
    ),
    "depthwise second convolution, last ReLU left out": (
        BlockSpec(convs=(S3, conv(1, 3, 3, groups="depthwise")), last_act=False),
        8,
        8,
        1,
        lambda: PlainBlock([c2(8, 8, 3), BN(8), RELU(), c2(8, 8, 3, g=8), BN(8)], nn.Identity(), last_relu=False),
    ),
    "spatially separable second convolution": (
        BlockSpec(convs=(S3, conv(1, 3, 3, factor="separable", middle="out"))),
        8,
        8,
        1,
        lambda: PlainBlock([c2(8, 8, 3), BN(8), RELU(), c2(8, 8, (3, 1)), c2(8, 8, (1, 3)), BN(8)], nn.Identity()),
    ),
    "separable and strided": (
        BlockSpec(convs=(conv(1, 5, 5, factor="separable", middle=7), S3)),
        6,
        8,
        2,
        lambda: PlainBlock(
            [c2(6, 7, (5, 1), (2, 1)), c2(7, 8, (1, 5), (1, 2)), BN(8), RELU(), c2(8, 8, 3), BN(8)],
            nn.Sequential(c2(6, 8, 1, 2), BN(8)),
        ),
    ),
    "bottleneck with its stride on the 1x1": (
        BlockSpec(convs=(POINT, S3, conv(1, 1, 1, expand=4)), stride_on="1x1"),
        6,
        8,
        2,
        lambda: PlainBlock(
            [c2(6, 8, 1, 2), BN(8), RELU(), c2(8, 8, 3), BN(8), RELU(), c2(8, 32, 1), BN(32)],
            nn.Sequential(c2(6, 32, 1, 2), BN(32)),
        ),
    ),
    "squeeze and excitation": (
        twice(S3, attention="squeeze_excite"),
        32,
        32,
        1,
        lambda: PlainExcited([*plain_two(32, 32), torchvision.ops.SqueezeExcitation(32, 2)], None),
    ),
    "space alone, then time alone": (
        BlockSpec(convs=(S3, conv(3, 1, 1))),
        8,
        8,
        1,
        lambda: PlainBlock([c3(8, 8, (1, 3, 3)), b3(), RELU(), c3(8, 8, (3, 1, 1)), b3()], nn.Identity()),
    ),
    "(2+1)D with 5 channels between": (
        twice(conv(3, 3, 3, factor="2plus1d", middle=5), shortcut=ShortcutSpec(kernel=(3, 3, 3))),
        6,
        8,
        2,
        lambda: PlainBlock(
            [
                *[c3(6, 5, (1, 3, 3), (1, 2, 2)), nn.BatchNorm3d(5), RELU(), c3(5, 8, (3, 1, 1)), b3(), RELU()],
                *[c3(8, 5, (1, 3, 3)), nn.BatchNorm3d(5), RELU(), c3(5, 8, (3, 1, 1)), b3()],
            ],
            nn.Sequential(c3(6, 8, (3, 3, 3), (1, 2, 2)), b3()),
        ),
    ),
    "separable in three": (
        BlockSpec(convs=(S3, conv(3, 3, 3, factor="separable", middle="2x"))),
        8,
        8,
        1,
        lambda: PlainBlock(
            [
                *[c3(8, 8, (1, 3, 3)), b3(), RELU()],
                *[c3(8, 16, (1, 3, 1)), c3(16, 16, (1, 1, 3)), c3(16, 8, (3, 1, 1)), b3()],
            ],
            nn.Identity(),
        ),
    ),
}  # fmt: skip


def block_of(block: BlockSpec, channels: int, width: int, stride: int, norm: NormSpec | None = None) -> nn.Module:
    stage = StageSpec(width=width, blocks=(block,), stride=(1, stride, stride))
    stem = StemSpec(conv=ConvSpec(kernel=(1, 1, 1)), width=channels)
    return ResNet3d(BackboneSpec(name="one", stem=stem, stages=(stage,), norm=norm or NormSpec())).conv2[0]


@pytest.mark.parametrize("name", BLOCKS)
def test_s2_blocks_of_exchanged_parts(name):
    block, channels, width, stride, make = BLOCKS[name]
    plain = make()
    is_3d = any(isinstance(m, nn.Conv3d) for m in plain.modules())
    x = torch.randn(2, channels, 5, 9, 11) if is_3d else torch.randn(2, channels, 13, 11)
    assert_same_function(plain, block_of(block, channels, width, stride), x)


def test_s2_norm_momentum_is_how_fast_statistics_follow():
    plain = PlainBlock(plain_two(8, 8), nn.Identity())
    ours = block_of(twice(S3), 8, 8, 1, NormSpec(momentum=0.3))
    for module in plain.modules():
        if isinstance(module, BN):
            module.momentum = 0.3
    randomize(plain)
    copy_in_order(plain, ours)
    x = torch.randn(2, 8, 9, 11)
    assert_close(ours.train()(x.unsqueeze(2))[:, :, 0], plain.train()(x))
    for mine, theirs in zip(ours.buffers(), plain.buffers(), strict=True):
        torch.testing.assert_close(mine, theirs)
    assert res3d.create_backbone("resnet18_3d", width=0.125, norm_momentum=0.3).conv5[0].branch.b.norm.momentum == 0.3


# S3: Detect-and-Track's body


class PlainDetectAndTrackBlock(nn.Module):
    def __init__(self, channels: int, width: int, stride: int, kt: int, bottleneck: bool) -> None:
        super().__init__()
        out = 4 * width if bottleneck else width
        k = (kt, 3, 3)
        if bottleneck:
            middle = c3(width, width, k, (1, stride, stride))
            convs = [c3(channels, width, (1, 1, 1)), middle, c3(width, out, (1, 1, 1))]
        else:
            convs = [c3(channels, width, k, (1, stride, stride)), c3(width, width, k)]
        self.layers = nn.ModuleList(m for c in convs for m in (c, nn.BatchNorm3d(c.out_channels)))
        self.project = None
        if channels != out:
            project = c3(channels, out, (1, 1, 1), (1, stride, stride))
            self.project = nn.Sequential(project, nn.BatchNorm3d(out))

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for i, layer in enumerate(self.layers):
            y = layer(y)
            if i % 2 == 1 and i + 1 < len(self.layers):
                y = F.relu(y)
        return F.relu(y + (x if self.project is None else self.project(x)))


def plain_detect_and_track(bottleneck: bool, stages: int) -> nn.Module:
    stem = nn.Conv3d(3, 64, (1, 7, 7), (1, 2, 2), (0, 3, 3), bias=False)
    layers: list[nn.Module] = [stem, nn.BatchNorm3d(64), nn.ReLU(), nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1))]
    channels = 64
    for stage, width in enumerate((64, 128, 256, 512)[:stages]):
        for block in range(2):
            stride = 2 if stage > 0 and block == 0 else 1
            layers.append(PlainDetectAndTrackBlock(channels, width, stride, 3 if stage > 0 else 1, bottleneck))
            channels = 4 * width if bottleneck else width
    return nn.Sequential(*layers)


@pytest.mark.parametrize(("body", "stages"), [("conv4", 3), ("conv5", 4)])
@pytest.mark.parametrize(("name", "bottleneck"), [("resnet18_3d", False), ("resnet18_3d_bottleneck", True)])
def test_s3_resnet18_3d(name, bottleneck, body, stages):
    ours = LastMap(res3d.create_backbone(name, body=body))
    assert_same_function(plain_detect_and_track(bottleneck, stages), ours, torch.randn(1, 3, 4, 45, 61))


def test_s3_with_detect_and_tracks_defaults_has_no_gradient_before_conv3():
    """Frozen affine norms, and the gradient stopped after the second stage."""
    ours = res3d.create_backbone("resnet18_3d", norm="frozen_batch", freeze_at=2)
    plain = plain_detect_and_track(bottleneck=False, stages=4)
    randomize(plain)
    copy_in_order(plain, ours)
    clip = torch.randn(1, 3, 3, 45, 61)
    assert_close(ours.train()(clip)["conv5"], plain(clip))
    ours(clip)["conv5"].sum().backward()
    stages = {
        name.split(".")[0] for name, p in ours.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0
    }
    assert stages == {"conv3", "conv4", "conv5"}


# S4: CIFAR-10


class PlainCifarBlock(nn.Module):
    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*plain_two(channels, out, s=stride))
        self.project = nn.Sequential(c2(channels, out, 3, stride), BN(out)) if channels != out else None

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + (x if self.project is None else self.project(x)))


def test_s4_resnet14_cifar():
    layers: list[nn.Module] = [c2(3, 16, 3), BN(16), nn.ReLU()]
    for channels, out, stride in ((16, 16, 1), (16, 32, 2), (32, 64, 2)):
        layers += [PlainCifarBlock(channels, out, stride), PlainCifarBlock(out, out, 1)]
    plain = nn.Sequential(*layers, nn.AvgPool2d(8), nn.Flatten(), nn.Linear(64, 10))
    assert count_parameters(plain) == 195_738
    assert_same_function(plain, res3d.create_classifier("resnet14_cifar", 10), torch.randn(3, 3, 32, 32))
