"""Residual networks of five kinds, compared with plain networks that are written here from their descriptions.

Weights are copied in the order in which both networks register them. Outputs agree in float32, gradients in float64;
they are compared at an eighth of the width. At full width the numbers of parameters are compared.
"""

import copy
from collections.abc import Callable
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
    apply_overrides,
    count_parameters,
    find_spec,
)
from res3d.weights import resolve_spec


def copy_in_order(plain: nn.Module, model: nn.Module) -> None:
    """Copy all weights of ``plain`` to ``model``; a 2D kernel becomes a 3D kernel of one frame."""
    sources = [t for name, t in plain.state_dict().items() if not name.endswith("num_batches_tracked")]
    targets = [t for name, t in model.state_dict().items() if not name.endswith("num_batches_tracked")]
    for source, target in zip(sources, targets, strict=True):
        target.copy_(source.reshape(target.shape))
        kernel = target.shape if target.dim() < 5 else (*target.shape[:2], *target.shape[-2:])
        assert source.shape == target.shape or source.shape == kernel


def as_clip(x: Tensor) -> Tensor:
    return x if x.dim() == 5 else x.unsqueeze(2)


def assert_same_function(plain: nn.Module, model: nn.Module, x: Tensor) -> None:
    """Assert equal parameter counts, outputs (float32, 1e-5 relative) and parameter gradients (float64)."""
    assert count_parameters(model) == count_parameters(plain)
    randomize(plain)
    copy_in_order(plain, model.eval())
    with torch.no_grad():
        expected = plain(x)
        assert_close(model(as_clip(x)).reshape(expected.shape), expected)
    plain, model = copy.deepcopy(plain).double(), copy.deepcopy(model).double()
    expected = plain(x.double())
    loss_weights = torch.randn_like(expected)
    (expected * loss_weights).sum().backward()
    (model(as_clip(x).double()).reshape(expected.shape) * loss_weights).sum().backward()
    for parameter, plain_parameter in zip(model.parameters(), plain.parameters(), strict=True):
        assert_close(parameter.grad.reshape(plain_parameter.grad.shape), plain_parameter.grad, 1e-9)


def assert_same_network(
    make_plain: Callable[[int], nn.Module], make_model: Callable[[float], nn.Module], x: Tensor
) -> None:
    """Assert the same parameter counts at full width, and the same function at an eighth of it.

    ``make_plain`` is called with the width of the stem, ``make_model`` with the factor of the width.
    """
    with torch.device("meta"):
        assert count_parameters(make_model(1)) == count_parameters(make_plain(64))
    assert_same_function(make_plain(8), make_model(0.125), x)


class LastMap(nn.Module):
    """Returns a backbone's last map as a tensor."""

    def __init__(self, backbone: ResNet3d) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, x: Tensor) -> Tensor:
        (last,) = self.backbone(x).values()
        return last


# ResNet-18 for 1×N sensor windows


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


def plain_sensor(width: int) -> nn.Module:
    layers: list[nn.Module] = [nn.Conv2d(1, width, (1, 3), padding=(0, 1), bias=False), nn.BatchNorm2d(width)]
    layers.append(nn.ReLU())
    channels = width
    for out, stride in ((width, 1), (2 * width, 2), (4 * width, 2), (8 * width, 2)):
        layers += [PlainSensorBlock(channels, out, stride), PlainSensorBlock(out, out, 1)]
        channels = out
    return nn.Sequential(*layers, nn.AvgPool2d((1, 4)), nn.Flatten(), nn.Linear(31 * channels, 1000))


@pytest.mark.slow
def test_resnet18_sensor():
    def make_model(width: float) -> nn.Module:
        return res3d.create_classifier("resnet18_sensor", 1000, width=width)

    assert_same_network(plain_sensor, make_model, torch.randn(2, 1, 1, 1000))


def test_resnet18_sensor_has_eighteen_weighted_layers():
    with torch.device("meta"):
        model = res3d.create_classifier("resnet18_sensor", 1000)
    weighted = [n for n, m in model.named_modules() if isinstance(m, (nn.Conv3d, nn.Linear)) and "shortcut" not in n]
    assert len(weighted) == 18


# Pre-activation networks


class PlainPreactBlock(nn.Module):
    """norm, ReLU and conv, three times (basic: twice); the first block of a stage projects the normalized input."""

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

    def __init__(self, depth: int, nd: int, classes: int | None, width: int) -> None:
        super().__init__()
        conv, norm = (nn.Conv2d, nn.BatchNorm2d) if nd == 2 else (nn.Conv3d, nn.BatchNorm3d)
        cut = 3 - nd
        self.stem = conv(3, width, (1, 7, 7)[cut:], stride=(1, 2, 2)[cut:], padding=(0, 3, 3)[cut:], bias=True)
        max_pool = nn.MaxPool2d if nd == 2 else nn.MaxPool3d
        self.pool = max_pool((1, 3, 3)[cut:], (1, 2, 2)[cut:], (0, 1, 1)[cut:])
        blocks, channels = [], width
        for stack, count in enumerate(self.DEPTHS[depth]):
            f = width * 2**stack
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
def test_preactivation_classifier_of_images(depth):
    def make_plain(width: int) -> nn.Module:
        return PlainPreactNet(depth, 2, 100, width)

    def make_model(width: float) -> nn.Module:
        return res3d.create_classifier(f"resnet{depth}v2_3d", 100, temporal_kernel=1, width=width)

    assert_same_network(make_plain, make_model, torch.randn(2, 3, 75, 61))


@pytest.mark.parametrize("depth", [18, 50])
def test_preactivation_backbone_of_clips(depth):
    def make_plain(width: int) -> nn.Module:
        return PlainPreactNet(depth, 3, None, width)

    def make_model(width: float) -> nn.Module:
        return LastMap(res3d.create_backbone(f"resnet{depth}v2_3d", width=width))

    assert_same_network(make_plain, make_model, torch.randn(1, 3, 3, 45, 61))


def test_preactivation_classifier_has_the_described_number_of_parameters():
    with torch.device("meta"):
        assert count_parameters(res3d.create_classifier("resnet50v2_3d", 1000, temporal_kernel=1)) == 25_549_416


class PlainKerasBlock(PlainPreactBlock):
    """Keras's block: the projection and the last 1×1 have biases."""

    def __init__(self, channels: int, f: int, *, first: bool, stride: int) -> None:
        super().__init__(channels, f, 4 * f, first=first, stride=stride, kt=1, nd=2)
        self.rest[-1] = nn.Conv2d(f, 4 * f, 1)
        if first:
            self.project = nn.Conv2d(channels, 4 * f, 1)


def plain_keras_resnet50(width: int) -> nn.Module:
    plain = PlainPreactNet(50, 2, 1000, width)
    channels, blocks = width, []
    for stack, (count, last) in enumerate(((3, 2), (4, 2), (6, 2), (3, 1))):
        f = width * 2**stack
        for i in range(count):
            blocks.append(PlainKerasBlock(channels, f, first=i == 0, stride=last if i == count - 1 else 1))
            channels = 4 * f
    plain.blocks = nn.Sequential(*blocks)
    plain.pool = nn.Sequential(nn.ZeroPad2d(1), nn.MaxPool2d(3, 2))
    for module in plain.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 1.001e-5
    return plain


def test_resnet50v2_of_keras_is_a_spec_file(thin_spec):
    spec = resolve_spec(thin_spec.parent / "resnet50v2_keras.yaml")
    assert spec.norm.eps == 1.001e-5
    with torch.device("meta"):
        assert count_parameters(res3d.create_classifier(spec, 1000)) == 25_568_360

    def make_model(width: float) -> nn.Module:
        return res3d.create_classifier(spec, 1000, width=width)

    assert_same_network(plain_keras_resnet50, make_model, torch.randn(2, 3, 64, 49))


def test_preactivation_backbone_with_norm_and_relu_in_the_stem():
    def make_plain(width: int) -> nn.Module:
        plain = PlainPreactNet(18, 3, None, width)
        plain.stem = nn.Sequential(plain.stem, nn.BatchNorm3d(width), nn.ReLU())
        return plain

    def make_model(width: float) -> nn.Module:
        spec = apply_overrides(find_spec("resnet18v2_3d"), width=width)
        return LastMap(ResNet3d(replace(spec, stem=replace(spec.stem, norm=True))))

    assert_same_network(make_plain, make_model, torch.randn(1, 3, 2, 33, 47))


# Variants of one block

BN = nn.BatchNorm2d
RELU = nn.ReLU


class PlainBlock(nn.Module):
    """relu(branch(x) + shortcut(x)), or without shortcut or last ReLU."""

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
# case: (block spec, input channels, width, stride, constructor of the plain block)
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
    "projection with equal size and channels": (
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
    "depthwise second convolution, no last ReLU": (
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
    "spatial, then temporal convolution": (
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
    "separable into three factors": (
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
def test_block_variants(name):
    block, channels, width, stride, make = BLOCKS[name]
    plain = make()
    is_3d = any(isinstance(m, nn.Conv3d) for m in plain.modules())
    x = torch.randn(2, channels, 5, 9, 11) if is_3d else torch.randn(2, channels, 13, 11)
    assert_same_function(plain, block_of(block, channels, width, stride), x)


def test_norm_momentum_is_that_of_batch_norm():
    plain = PlainBlock(plain_two(8, 8), nn.Identity())
    model = block_of(twice(S3), 8, 8, 1, NormSpec(momentum=0.3))
    for module in plain.modules():
        if isinstance(module, BN):
            module.momentum = 0.3
    randomize(plain)
    copy_in_order(plain, model)
    x = torch.randn(2, 8, 9, 11)
    assert_close(model.train()(x.unsqueeze(2))[:, :, 0], plain.train()(x))
    for buffer, expected in zip(model.buffers(), plain.buffers(), strict=True):
        torch.testing.assert_close(buffer, expected)
    assert res3d.create_backbone("resnet18_3d", width=0.125, norm_momentum=0.3).conv5[0].branch.b.norm.momentum == 0.3


# Detect-and-Track's body


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


def plain_detect_and_track(bottleneck: bool, stages: int, width: int) -> nn.Module:
    stem = nn.Conv3d(3, width, (1, 7, 7), (1, 2, 2), (0, 3, 3), bias=False)
    layers: list[nn.Module] = [stem, nn.BatchNorm3d(width), nn.ReLU(), nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1))]
    channels = width
    for stage in range(stages):
        inner = width * 2**stage
        for block in range(2):
            stride = 2 if stage > 0 and block == 0 else 1
            layers.append(PlainDetectAndTrackBlock(channels, inner, stride, 3 if stage > 0 else 1, bottleneck))
            channels = 4 * inner if bottleneck else inner
    return nn.Sequential(*layers)


@pytest.mark.parametrize(("body", "stages"), [("conv4", 3), ("conv5", 4)])
@pytest.mark.parametrize(("name", "bottleneck"), [("resnet18_3d", False), ("resnet18_3d_bottleneck", True)])
def test_detect_and_track_body(name, bottleneck, body, stages):
    def make_plain(width: int) -> nn.Module:
        return plain_detect_and_track(bottleneck, stages, width)

    def make_model(width: float) -> nn.Module:
        return LastMap(res3d.create_backbone(name, body=body, width=width))

    assert_same_network(make_plain, make_model, torch.randn(1, 3, 4, 45, 61))


def test_detect_and_track_body_with_its_defaults_has_no_gradient_before_conv3():
    """By default Detect-and-Track has frozen affine norms and stops the gradient after the second stage."""
    model = res3d.create_backbone("resnet18_3d", norm="frozen_batch", freeze_at=2, width=0.125)
    plain = plain_detect_and_track(bottleneck=False, stages=4, width=8)
    randomize(plain)
    copy_in_order(plain, model)
    clip = torch.randn(1, 3, 3, 45, 61)
    assert_close(model.train()(clip)["conv5"], plain(clip))
    model(clip)["conv5"].sum().backward()
    stages = {
        name.split(".")[0] for name, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0
    }
    assert stages == {"conv3", "conv4", "conv5"}


# CIFAR-10


class PlainCifarBlock(nn.Module):
    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*plain_two(channels, out, s=stride))
        self.project = nn.Sequential(c2(channels, out, 3, stride), BN(out)) if channels != out else None

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body(x) + (x if self.project is None else self.project(x)))


def test_resnet14_cifar():
    layers: list[nn.Module] = [c2(3, 16, 3), BN(16), nn.ReLU()]
    for channels, out, stride in ((16, 16, 1), (16, 32, 2), (32, 64, 2)):
        layers += [PlainCifarBlock(channels, out, stride), PlainCifarBlock(out, out, 1)]
    plain = nn.Sequential(*layers, nn.AvgPool2d(8), nn.Flatten(), nn.Linear(64, 10))
    assert count_parameters(plain) == 195_738
    assert_same_function(plain, res3d.create_classifier("resnet14_cifar", 10), torch.randn(3, 3, 32, 32))
