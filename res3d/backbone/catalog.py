"""The named backbones. A new variant is a few lines of data here and nothing anywhere else."""

import difflib
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Any

from res3d.backbone.parts import Size3
from res3d.backbone.spec import BackboneSpec, BlockSpec, ConvSpec, PoolSpec, StageSpec, StemSpec

DEPTHS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
WIDTHS = (64, 128, 256, 512)


def conv(t: int, y: int, x: int, **options: Any) -> ConvSpec:
    """A convolution with kernel (t, y, x)."""
    return ConvSpec(kernel=(t, y, x), **options)


def basic(kernel: ConvSpec, **options: Any) -> BlockSpec:
    """Two convolutions of one kind."""
    return BlockSpec(convs=(kernel, kernel), **options)


def bottleneck(b: ConvSpec, a: ConvSpec | None = None, **options: Any) -> BlockSpec:
    """1×1×1 (or ``a``), ``b``, 1×1×1 to four times the width."""
    return BlockSpec(convs=(a or conv(1, 1, 1), b, conv(1, 1, 1, expand=4)), **options)


def resnet(
    name: str,
    stem: StemSpec,
    blocks: Sequence[BlockSpec],
    depths: Sequence[int],
    *,
    strides: Sequence[Size3],
    pools: Sequence[PoolSpec | None] = (None, None, None, None),
) -> BackboneSpec:
    """A backbone of four stages, each of one kind of block."""
    rows = zip(WIDTHS, blocks, depths, strides, pools, strict=True)
    stages = tuple(
        StageSpec(width=width, blocks=(block,) * depth, stride=stride, pool=pool)
        for width, block, depth, stride, pool in rows
    )
    return BackboneSpec(name=name, stem=stem, stages=stages)


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
        strides=[(1, 1, 1), (1, 2, 2), (1, 2, 2), (1, 2, 2)],
        pools=[PoolSpec(kernel=(1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1)), None, None, None],
    )


def torchvision_video(name: str, stem: ConvSpec, kernels: Sequence[ConvSpec], stride: Size3) -> BackboneSpec:
    """torchvision's video ResNets of depth 18 (Tran et al. 2018): no pool, conv3 to conv5 strided by ``stride``."""
    strides = [(1, 1, 1), stride, stride, stride]
    return resnet(name, StemSpec(conv=stem), [basic(kernel) for kernel in kernels], DEPTHS[18], strides=strides)


_FACTORED = conv(3, 3, 3, factor="2plus1d", middle="block")

_SPECS = [
    detect_and_track("resnet18_3d", basic, 18),
    detect_and_track("resnet18_3d_bottleneck", bottleneck, 18),
    detect_and_track("resnet34_3d", basic, 34),
    detect_and_track("resnet50_3d", bottleneck, 50),
    detect_and_track("resnet101_3d", bottleneck, 101),
    detect_and_track("resnet152_3d", bottleneck, 152),
    torchvision_video("r3d_18", conv(3, 7, 7), [conv(3, 3, 3)] * 4, (2, 2, 2)),
    torchvision_video("mc3_18", conv(3, 7, 7), [conv(3, 3, 3)] + [conv(1, 3, 3)] * 3, (1, 2, 2)),
    torchvision_video("r2plus1d_18", conv(3, 7, 7, factor="2plus1d", middle=45), [_FACTORED] * 4, (2, 2, 2)),
]
CATALOG = {spec.name: spec for spec in _SPECS}


def list_backbones(pattern: str = "*") -> list[str]:
    """Names of the catalogued backbones that match a shell-style ``pattern``, sorted."""
    return sorted(name for name in CATALOG if fnmatchcase(name, pattern))


def find_spec(name: str) -> BackboneSpec:
    """The catalogued spec of this name.

    Raises:
        ValueError: no such name.
    """
    if name not in CATALOG:
        near = difflib.get_close_matches(name, CATALOG, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"no backbone is called {name!r}{hint} (accepted: {', '.join(list_backbones())})")
    return CATALOG[name]
