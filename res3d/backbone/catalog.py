"""The named backbones. A new variant is a few lines of data here and nothing anywhere else."""

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
    """A convolution with kernel (t, y, x)."""
    return ConvSpec(kernel=(t, y, x), **options)


def basic(kernel: ConvSpec, **options: Value) -> BlockSpec:
    """Two convolutions of one kind; ``options`` are those of ``BlockSpec``."""
    return BlockSpec(convs=(kernel, kernel), **options)


def wide_bottleneck(expand: int, groups: int = 1) -> Callable[[ConvSpec], BlockSpec]:
    """Bottlenecks with ``expand`` times the usual inner width in ``groups``: Wide ResNets and ResNeXts."""
    return lambda b: bottleneck(replace(b, expand=expand, groups=groups), a=conv(1, 1, 1, expand=expand))


def bottleneck(b: ConvSpec, a: ConvSpec | None = None, **options: Value) -> BlockSpec:
    """1×1×1 (or ``a``), ``b``, 1×1×1 to four times the width."""
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
    """A backbone of four stages, each of one kind of block, or of some kinds in turn."""
    rows = zip(WIDTHS, blocks, depths, strides, pools, strict=True)
    stages = tuple(
        StageSpec(width=width, blocks=repeat(block, depth), stride=stride, pool=pool)
        for width, block, depth, stride, pool in rows
    )
    return BackboneSpec(name=name, stem=stem, stages=stages, **options)


def repeat(blocks: BlockSpec | Sequence[BlockSpec], depth: int) -> tuple[BlockSpec, ...]:
    """``depth`` blocks, taking the given ones in turn."""
    kinds = (blocks,) if isinstance(blocks, BlockSpec) else tuple(blocks)
    return tuple(kinds[index % len(kinds)] for index in range(depth))


# Bottlenecks with their temporal kernel on the first 1×1 (Feichtenhofer et al. 2019, SlowFast), and without any.
TEMPORAL = bottleneck(conv(1, 3, 3), a=conv(3, 1, 1))
SPATIAL = bottleneck(conv(1, 3, 3))
IMAGE_POOL = PoolSpec(kernel=(1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1))  # after the stem of every image ResNet
HALVE_TIME = PoolSpec(kernel=(2, 1, 1), stride=(2, 1, 1))
SPACE_STRIDES = (ONE, (1, 2, 2), (1, 2, 2), (1, 2, 2))
CUBE_STRIDES = (ONE, (2, 2, 2), (2, 2, 2), (2, 2, 2))


def detect_and_track(name: str, block: Callable[[ConvSpec], BlockSpec], depth: int) -> BackboneSpec:
    """Detect-and-Track's bodies (Girdhar et al. 2018, ResNet3D.py).

    conv1 and conv2 see single frames, from conv3 on every 3×3 has a temporal kernel of 3, and time is never strided.
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
    """torchvision's video ResNets of depth 18 (Tran et al. 2018): no pool, conv3 to conv5 strided by ``stride``."""
    strides = [ONE, stride, stride, stride]
    return resnet(name, StemSpec(conv=stem), [basic(kernel) for kernel in kernels], DEPTHS[18], strides=strides)


def slow(name: str, depth: int) -> BackboneSpec:
    """PyTorchVideo's Slow: temporal kernels in conv4 and conv5 only, time never strided."""
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
    """PyTorchVideo's C2D and I3D of depth 50: time is halved before conv3."""
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
    """3D-ResNets (Hara et al., CVPR 2018): every kernel and stride a cube; ``shortcut="pool_pad"`` is their type A."""
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
    """hassony2's inflated image ResNets: every 3×3, the stem and the pool span 3 frames, strides are cubes."""
    return resnet(
        f"i3resnet{depth}",
        StemSpec(conv=conv(3, 7, 7)),
        [bottleneck(conv(3, 3, 3))] * 4,
        DEPTHS[depth],
        strides=CUBE_STRIDES,
        pools=[PoolSpec(kernel=(3, 3, 3), stride=(2, 2, 2), padding=(1, 1, 1)), None, None, None],
    )


def mmaction2_i3d() -> BackboneSpec:
    """MMAction2's ``i3d_r50`` recipe: stem and pool stride time by 2 each, every other block spans time."""
    return resnet(
        "mmaction2_i3d_r50",
        StemSpec(conv=conv(5, 7, 7), stride=(2, 2, 2)),
        [TEMPORAL, [TEMPORAL, SPATIAL], [TEMPORAL, SPATIAL], [SPATIAL, TEMPORAL]],
        DEPTHS[50],
        strides=SPACE_STRIDES,
        pools=[PoolSpec(kernel=(1, 3, 3), stride=(2, 2, 2), padding=(0, 1, 1)), HALVE_TIME, None, None],
    )


def r2plus1d_r50() -> BackboneSpec:
    """PyTorchVideo's R(2+1)D of depth 50: bottlenecks whose 3×3×3 is factored, the temporal factor first."""
    return resnet(
        "r2plus1d_r50",
        StemSpec(conv=conv(1, 7, 7)),
        [bottleneck(conv(3, 3, 3, factor="1plus2d", middle="out"))] * 4,
        DEPTHS[50],
        strides=[(1, 2, 2), (1, 2, 2), (2, 2, 2), (2, 2, 2)],
        head=HeadSpec(window=(4, 7, 7)),
    )


def csn_r101() -> BackboneSpec:
    """PyTorchVideo's channel-separated network of depth 101 (Tran et al., ICCV 2019): the 3×3×3 is depthwise."""
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
    """Pre-activation networks, "V2" (He et al. 2016), with temporal kernels where Detect-and-Track's bodies have them.

    As Keras builds them: the last block of a stage takes the stride, around which its input is max-pooled; the first
    block's projection starts from the normed input; the stem's convolution has a bias and no norm.
    """
    block = basic if depth < 50 else bottleneck
    spatial, temporal = conv(1, 3, 3), conv(3, 3, 3)

    def stage(width: int, kernel: ConvSpec, blocks: int, stride: Size3, pool: PoolSpec | None) -> StageSpec:
        first = block(kernel, order="pre", shortcut=ShortcutSpec(source="preact", where="always"))
        other = block(kernel, order="pre", shortcut=ShortcutSpec(kind="max_pool"))
        kinds = (first, *repeat(other, blocks - 1))
        return StageSpec(width=width, blocks=kinds, stride=stride, stride_at="last", pool=pool)

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
    """ResNet-18 over windows of one sensor, [N, 1, 1, 1, W], with W = 1000 for the classifier; kernels look along W."""
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
    """A small image network for 32×32 pixels: three stages, projections of 3×3."""
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
    """Names of the catalogued backbones that match a shell-style ``pattern``, sorted."""
    return sorted(name for name in CATALOG if fnmatchcase(name, pattern))


def resolve_spec(model: str | Path | BackboneSpec) -> BackboneSpec:
    """The spec that a catalog name or a YAML file stands for.

    Raises:
        ValueError: an unknown name, or a file that is missing or no spec.
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
    """The catalogued spec of this name.

    Raises:
        ValueError: no such name.
    """
    if name not in CATALOG:
        hint = did_you_mean(name, CATALOG)
        raise ValueError(f"no backbone is called {name!r}{hint} (accepted: {', '.join(list_backbones())})")
    return CATALOG[name]
