"""Catalog of named backbones. A new variant is a few lines of data in this module."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

from res3d.backbone.block_spec import BlockSpec, ConvSpec, ShortcutSpec
from res3d.backbone.convs import ONE, Size3
from res3d.backbone.spec import BackboneSpec, HeadSpec, PoolSpec, StageSpec, StemSpec
from res3d.settings import did_you_mean
from res3d.settings.types import Value

DEPTHS = {
    10: (1, 1, 1, 1),
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
    200: (3, 24, 36, 3),
}
WIDTHS = (64, 128, 256, 512)


def conv(t: int, y: int, x: int, **options: Value) -> ConvSpec:
    """Return a convolution with kernel (t, y, x); ``options`` are fields of ``ConvSpec``."""
    return ConvSpec(kernel=(t, y, x), **options)


def basic(kernel: ConvSpec, **options: Value) -> BlockSpec:
    """Return a block of two equal convolutions; ``options`` are fields of ``BlockSpec``."""
    return BlockSpec(convs=(kernel, kernel), **options)


def wide_bottleneck(expand: int, groups: int = 1) -> Callable[[ConvSpec], BlockSpec]:
    """Return a constructor of bottlenecks with ``expand`` times the usual inner width (Wide ResNet, ResNeXt).

    The constructor takes the middle convolution, which gets ``groups`` groups of channels.
    """
    return lambda b: bottleneck(replace(b, expand=expand, groups=groups), a=conv(1, 1, 1, expand=expand))


def bottleneck(b: ConvSpec, a: ConvSpec | None = None, **options: Value) -> BlockSpec:
    """Return a block of a 1×1×1 convolution (or ``a``), ``b``, and a 1×1×1 convolution to four times the width."""
    return BlockSpec(convs=(a or conv(1, 1, 1), b, conv(1, 1, 1, expand=4)), **options)


def resnet(
    name: str,
    stem: StemSpec,
    blocks: Sequence[BlockSpec | Sequence[BlockSpec]],
    depths: Sequence[int],
    *,
    strides: Sequence[Size3],
    pools: Sequence[PoolSpec | None] = (None, None, None, None),
    **options: Value,
) -> BackboneSpec:
    """Return a backbone of four stages.

    Args:
        name: name of the spec.
        stem: first convolution.
        blocks: for each stage, its block, or several that it repeats in turn.
        depths: blocks per stage.
        strides: (t, y, x) per stage.
        pools: max pool at the start of each stage.
        options: fields of ``BackboneSpec``.
    """
    stages = tuple(
        StageSpec(width=width, blocks=repeat(block, depth), stride=stride, pool=pool)
        for width, block, depth, stride, pool in zip(WIDTHS, blocks, depths, strides, pools, strict=True)
    )
    return BackboneSpec(name=name, stem=stem, stages=stages, **options)


def repeat(blocks: BlockSpec | Sequence[BlockSpec], depth: int) -> tuple[BlockSpec, ...]:
    """Return ``depth`` blocks that cycle through ``blocks``."""
    cycle = (blocks,) if isinstance(blocks, BlockSpec) else tuple(blocks)
    return tuple(cycle[index % len(cycle)] for index in range(depth))


# Bottlenecks with a temporal kernel on the first 1×1 (Feichtenhofer et al. 2019, SlowFast), and without one.
TEMPORAL = bottleneck(conv(1, 3, 3), a=conv(3, 1, 1))
SPATIAL = bottleneck(conv(1, 3, 3))
IMAGE_POOL = PoolSpec(kernel=(1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1))  # after the stem of every image ResNet
HALVE_TIME = PoolSpec(kernel=(2, 1, 1), stride=(2, 1, 1))
SPACE_STRIDES = (ONE, (1, 2, 2), (1, 2, 2), (1, 2, 2))
CUBE_STRIDES = (ONE, (2, 2, 2), (2, 2, 2), (2, 2, 2))


def detect_and_track(name: str, block: Callable[[ConvSpec], BlockSpec], depth: int) -> BackboneSpec:
    """Return a body of Detect-and-Track (Girdhar et al. 2018, ResNet3D.py).

    The stem and conv2 are frame-wise; from conv3 on every 3×3 has a temporal kernel of 3. No stride is temporal.
    (The paper's text gives conv1 a temporal kernel; its code and configs do not.)
    """
    spatial, temporal = block(conv(1, 3, 3)), block(conv(3, 3, 3))
    return resnet(
        name,
        StemSpec(conv=conv(1, 7, 7)),
        [spatial, temporal, temporal, temporal],
        DEPTHS[depth],
        strides=SPACE_STRIDES,
        pools=[IMAGE_POOL, None, None, None],
    )


def torchvision_video(name: str, stem: ConvSpec, kernels: Sequence[ConvSpec], stride: Size3) -> BackboneSpec:
    """Return a video ResNet of depth 18 of torchvision (Tran et al. 2018): no pool, ``stride`` in conv3 to conv5."""
    strides = [ONE, stride, stride, stride]
    return resnet(name, StemSpec(conv=stem), [basic(kernel) for kernel in kernels], DEPTHS[18], strides=strides)


def slow(name: str, depth: int) -> BackboneSpec:
    """Return a Slow network of PyTorchVideo: temporal kernels in conv4 and conv5 only, no temporal stride."""
    return resnet(
        name,
        StemSpec(conv=conv(1, 7, 7)),
        [SPATIAL, SPATIAL, TEMPORAL, TEMPORAL],
        DEPTHS[depth],
        strides=SPACE_STRIDES,
        pools=[IMAGE_POOL, None, None, None],
        head=HeadSpec(window=(8, 7, 7)),
    )


def pooled_time(name: str, stem: ConvSpec, blocks: Sequence[BlockSpec | Sequence[BlockSpec]]) -> BackboneSpec:
    """Return C2D or I3D of depth 50 of PyTorchVideo: a pool before conv3 halves the number of frames."""
    return resnet(
        name,
        StemSpec(conv=stem),
        blocks,
        DEPTHS[50],
        strides=SPACE_STRIDES,
        pools=[IMAGE_POOL, HALVE_TIME, None, None],
        head=HeadSpec(window=(4, 7, 7)),
    )


def hara(depth: int) -> BackboneSpec:
    """Return a 3D-ResNet of Hara et al. (CVPR 2018).

    All kernels are equal in time and space, and so are all strides but the stem's, which has no temporal stride.
    ``shortcut="pool_pad"`` is their shortcut type A.
    """
    block = basic(conv(3, 3, 3)) if depth < 50 else bottleneck(conv(3, 3, 3))
    return resnet(
        f"hara_resnet{depth}",
        StemSpec(conv=conv(7, 7, 7)),
        [block] * 4,
        DEPTHS[depth],
        strides=CUBE_STRIDES,
        pools=[PoolSpec(kernel=(3, 3, 3), stride=(2, 2, 2), padding=(1, 1, 1)), None, None, None],
    )


def i3resnet(depth: int) -> BackboneSpec:
    """Return an inflated image ResNet of hassony2: every 3×3, the stem and the pool span 3 frames.

    The strides of conv3 to conv5 and of the pool are equal in time and space.
    """
    return resnet(
        f"i3resnet{depth}",
        StemSpec(conv=conv(3, 7, 7)),
        [bottleneck(conv(3, 3, 3))] * 4,
        DEPTHS[depth],
        strides=CUBE_STRIDES,
        pools=[PoolSpec(kernel=(3, 3, 3), stride=(2, 2, 2), padding=(1, 1, 1)), None, None, None],
    )


def mmaction2_i3d() -> BackboneSpec:
    """Return the network of MMAction2's ``i3d_r50`` recipe.

    Stem and pool have a temporal stride of 2 each. All blocks of conv2 and every other block of the later stages have a
    temporal kernel of 3.
    """
    return resnet(
        "mmaction2_i3d_r50",
        StemSpec(conv=conv(5, 7, 7), stride=(2, 2, 2)),
        [TEMPORAL, [TEMPORAL, SPATIAL], [TEMPORAL, SPATIAL], [SPATIAL, TEMPORAL]],
        DEPTHS[50],
        strides=SPACE_STRIDES,
        pools=[PoolSpec(kernel=(1, 3, 3), stride=(2, 2, 2), padding=(0, 1, 1)), HALVE_TIME, None, None],
    )


def r2plus1d_r50() -> BackboneSpec:
    """Return R(2+1)D of depth 50 of PyTorchVideo: bottlenecks with a factored 3×3×3, the temporal factor first."""
    return resnet(
        "r2plus1d_r50",
        StemSpec(conv=conv(1, 7, 7)),
        [bottleneck(conv(3, 3, 3, factor="1plus2d", middle="out"))] * 4,
        DEPTHS[50],
        strides=[(1, 2, 2), (1, 2, 2), (2, 2, 2), (2, 2, 2)],
        head=HeadSpec(window=(4, 7, 7)),
    )


def csn_r101() -> BackboneSpec:
    """Return the channel-separated network of depth 101 of PyTorchVideo: bottlenecks with a depthwise 3×3×3.

    Architecture: Tran et al., ICCV 2019.
    """
    return resnet(
        "csn_r101",
        StemSpec(conv=conv(3, 7, 7)),
        [bottleneck(conv(3, 3, 3, groups="depthwise"))] * 4,
        DEPTHS[101],
        strides=CUBE_STRIDES,
        pools=[IMAGE_POOL, None, None, None],
        head=HeadSpec(window=(4, 7, 7)),
    )


def preactivation(depth: int) -> BackboneSpec:
    """Return a pre-activation network, "V2" (He et al. 2016), with the temporal kernels of Detect-and-Track's bodies.

    The layers are those of Keras: the last block of a stage takes the stride, with a max pool as its shortcut; the
    projection of the first block starts after the first norm and ReLU; the stem's convolution has a bias and no norm.
    """
    block = basic if depth < 50 else bottleneck
    spatial, temporal = conv(1, 3, 3), conv(3, 3, 3)

    def stage(width: int, kernel: ConvSpec, num_blocks: int, stride: Size3, pool: PoolSpec | None) -> StageSpec:
        first = block(kernel, order="pre", shortcut=ShortcutSpec(source="preact", where="always"))
        other = block(kernel, order="pre", shortcut=ShortcutSpec(kind="max_pool"))
        blocks = (first, *repeat(other, num_blocks - 1))
        return StageSpec(width=width, blocks=blocks, stride=stride, stride_at="last", pool=pool)

    strides = [(1, 2, 2), (1, 2, 2), (1, 2, 2), ONE]
    pools = [IMAGE_POOL, None, None, None]
    kernels = [spatial, temporal, temporal, temporal]
    return BackboneSpec(
        name=f"resnet{depth}v2_3d",
        stem=StemSpec(conv=conv(1, 7, 7, bias=True), norm=False),
        stages=tuple(map(stage, WIDTHS, kernels, DEPTHS[depth], strides, pools)),
        final_norm=True,
    )


def resnet18_sensor() -> BackboneSpec:
    """Return a ResNet-18 for windows of one sensor, [N, 1, 1, 1, W]: all kernels extend along W alone.

    The classifier needs W = 1000.
    """
    return resnet(
        "resnet18_sensor",
        StemSpec(conv=conv(1, 1, 3), stride=ONE),
        [basic(conv(1, 1, 3))] * 4,
        DEPTHS[18],
        strides=[ONE, (1, 1, 2), (1, 1, 2), (1, 1, 2)],
        in_channels=1,
        head=HeadSpec(window=(1, 1, 4), stride=(1, 1, 4), positions=(1, 1, 31)),
    )


def resnet14_cifar() -> BackboneSpec:
    """Return a small image network for 32×32 pixels: three stages, shortcuts with 3×3 projections."""
    block = basic(conv(1, 3, 3), shortcut=ShortcutSpec(kernel=(1, 3, 3)))
    strides = [ONE, (1, 2, 2), (1, 2, 2)]
    stages = [StageSpec(width=w, blocks=repeat(block, 2), stride=s) for w, s in zip((16, 32, 64), strides, strict=True)]
    return BackboneSpec(
        name="resnet14_cifar",
        stem=StemSpec(conv=conv(1, 3, 3), width=16, stride=ONE),
        stages=tuple(stages),
        head=HeadSpec(window=(1, 8, 8), stride=(1, 8, 8)),
    )


_FACTORED = conv(3, 3, 3, factor="2plus1d", middle="block")

_SPECS = [
    detect_and_track("resnet18_3d", basic, 18),
    detect_and_track("resnet18_3d_bottleneck", bottleneck, 18),
    detect_and_track("resnet34_3d", basic, 34),
    detect_and_track("resnet50_3d", bottleneck, 50),
    detect_and_track("resnet101_3d", bottleneck, 101),
    detect_and_track("resnet152_3d", bottleneck, 152),
    # The same bodies for torchvision's ResNeXts and Wide ResNets (Xie et al. 2017; Zagoruyko & Komodakis 2016).
    detect_and_track("resnext50_32x4d_3d", wide_bottleneck(2, groups=32), 50),
    detect_and_track("resnext101_32x8d_3d", wide_bottleneck(4, groups=32), 101),
    detect_and_track("resnext101_64x4d_3d", wide_bottleneck(4, groups=64), 101),
    detect_and_track("wide_resnet50_2_3d", wide_bottleneck(2), 50),
    detect_and_track("wide_resnet101_2_3d", wide_bottleneck(2), 101),
    torchvision_video("r3d_18", conv(3, 7, 7), [conv(3, 3, 3)] * 4, (2, 2, 2)),
    torchvision_video("mc3_18", conv(3, 7, 7), [conv(3, 3, 3)] + [conv(1, 3, 3)] * 3, (1, 2, 2)),
    torchvision_video("r2plus1d_18", conv(3, 7, 7, factor="2plus1d", middle=45), [_FACTORED] * 4, (2, 2, 2)),
    pooled_time("c2d_r50", conv(1, 7, 7), [SPATIAL] * 4),
    pooled_time("i3d_r50", conv(5, 7, 7), [TEMPORAL, [TEMPORAL, SPATIAL], [TEMPORAL, SPATIAL], [SPATIAL, TEMPORAL]]),
    slow("slow_r50", 50),
    slow("slow_r101", 101),
    r2plus1d_r50(),
    csn_r101(),
    *(hara(depth) for depth in (10, 18, 34, 50, 101, 152, 200)),
    *(i3resnet(depth) for depth in (50, 101, 152)),
    mmaction2_i3d(),
    *(preactivation(depth) for depth in (18, 34, 50, 101, 152)),
    resnet18_sensor(),
    resnet14_cifar(),
]
CATALOG = {spec.name: spec for spec in _SPECS}


def list_backbones(pattern: str = "*") -> list[str]:
    """Return the names in the catalog that match a shell-style ``pattern``, sorted."""
    return sorted(name for name in CATALOG if fnmatchcase(name, pattern))


def resolve_spec(model: str | Path | BackboneSpec) -> BackboneSpec:
    """Return the spec of a catalog name or a YAML file; a spec is returned as it is.

    Raises:
        ValueError: an unknown name, or a file that is missing, unreadable or not a valid spec.
    """
    if isinstance(model, BackboneSpec):
        return model
    if Path(model).suffix not in (".yaml", ".yml"):
        return find_spec(str(model))
    try:
        return BackboneSpec.from_yaml(Path(model).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{model}: not a readable spec file ({error})") from None
    except ValueError as error:
        raise ValueError(f"{model}: {error}") from None


def find_spec(name: str) -> BackboneSpec:
    """Return the spec called ``name`` in the catalog.

    Raises:
        ValueError: the catalog has no such name.
    """
    if name not in CATALOG:
        hint = did_you_mean(name, CATALOG)
        raise ValueError(f"no backbone is called {name!r}{hint} (accepted: {', '.join(list_backbones())})")
    return CATALOG[name]
