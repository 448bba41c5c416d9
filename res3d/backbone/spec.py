"""A backbone as data: frozen dataclasses that say all there is to say of an architecture, and build nothing.

Triples are in (t, y, x) order everywhere. Stages have the names of the ResNet paper: the stem is its conv1, then
``conv2`` to ``conv5`` (Detectron's res2..res5, torchvision's layer1..layer4).
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

from res3d.backbone.parts import NORMS, SHORTCUTS, Size3, TemporalPadding
from res3d.backbone.yaml_form import dump_dataclass, parse_dataclass

ONE: Size3 = (1, 1, 1)
MAX_STAGES = 4  # conv2 to conv5
MAX_CONVS = 4  # the convolutions of a block are named a, b, c, d


class Window(NamedTuple):
    """Where a convolution or pool looks: what output sizes, strides and receptive fields follow from."""

    kernel: Size3
    stride: Size3
    padding: Size3
    dilation: Size3 = ONE

    def smallest_input(self, output: Size3) -> Size3:
        """The smallest (t, y, x) that gives at least ``output`` positions along each axis."""
        axes = zip(output, self.kernel, self.stride, self.padding, self.dilation, strict=True)
        t, y, x = (max(1, (n - 1) * s + d * (k - 1) + 1 - 2 * p) for n, k, s, p, d in axes)
        return t, y, x


class FeatureInfo(NamedTuple):
    """What is known of a stage's map before anything is built."""

    channels: int
    stride: Size3  # source frames, rows and columns per position


def _check_triple(name: str, value: Size3, *, odd: bool = False) -> None:
    if (
        not isinstance(value, tuple)
        or len(value) != 3
        or any(not isinstance(v, int) or v < 1 or (odd and v % 2 == 0) for v in value)
    ):
        raise ValueError(f"{name} must be three {'odd ' if odd else ''}whole numbers ≥ 1 (t, y, x), not {value!r}")


def _check_choice(name: str, value: str, accepted: Iterable[str]) -> None:
    choices = list(accepted)
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(map(repr, choices))}, not {value!r}")


def _check_width(name: str, value: int) -> None:
    if not isinstance(value, int) or value < 1:
        raise ValueError(f"{name} must be a whole number ≥ 1, not {value!r}")


@dataclass(frozen=True, kw_only=True, slots=True)
class ConvSpec:
    """One convolution of a block or of the stem, without bias, padded to ceil(size / stride) positions."""

    kernel: Size3
    expand: int = 1  # output channels, as a multiple of the stage's width
    factor: Literal["full", "2plus1d", "1plus2d"] = "full"
    """"full" is one convolution; "2plus1d" a spatial, then a temporal one with norm and ReLU between; "1plus2d" the
    temporal one first, as PyTorchVideo has them."""
    middle: int | Literal["conv", "block", "out", "2x"] = "conv"
    """Channels between the two factors. "conv" keeps the parameter count of the full convolution (the R(2+1)D paper's
    rule, per convolution); "block" applies that rule once, to the block's input and width, as torchvision does; "out"
    is the convolution's output channels, "2x" twice as many (any plain convolution
    fits into that); a number states it."""
    groups: int | Literal["depthwise"] = 1  # "depthwise": one group a channel
    dilation: Size3 = ONE

    def __post_init__(self) -> None:
        _check_triple("kernel", self.kernel, odd=True)
        _check_triple("dilation", self.dilation)
        _check_width("expand", self.expand)
        _check_choice("factor", self.factor, ("full", "2plus1d", "1plus2d"))
        for name, words in (("middle", ("conv", "block", "out", "2x")), ("groups", ("depthwise",))):
            value = getattr(self, name)
            if isinstance(value, str):
                _check_choice(name, value, words)
            else:
                _check_width(name, value)
        if self.factor != "full" and self.groups != 1:
            raise ValueError(f"factor {self.factor!r} takes no groups, not {self.groups!r}")

    def window(self, stride: Size3) -> Window:
        t, y, x = (d * (k // 2) for d, k in zip(self.dilation, self.kernel, strict=True))
        return Window(self.kernel, stride, (t, y, x), self.dilation)

    def equal_parameters_middle(self, in_channels: int, out_channels: int) -> int:
        """Channels between the factors such that both have the full convolution's parameters, rounded down."""
        t, y, x = self.kernel
        return (in_channels * out_channels * t * y * x) // (in_channels * y * x + t * out_channels)


class ConvPlan(NamedTuple):
    """A convolution with all its numbers, ready to build."""

    spec: ConvSpec
    in_channels: int
    middle: int
    out_channels: int
    groups: int
    stride: Size3


@dataclass(frozen=True, kw_only=True, slots=True)
class BlockSpec:
    """A residual block: its convolutions, each followed by norm and all but the last by ReLU, and its shortcut."""

    convs: tuple[ConvSpec, ...]
    stride_on: Literal["3x3", "1x1"] = "3x3"
    """Which convolution takes the block's stride: the first with a spatial kernel, or the block's first (a 1×1 in
    bottlenecks: Caffe2's placement). The shapes are the same, the function is not."""
    shortcut: str = "project"  # what stands in where stride or channels change; elsewhere it is the identity

    def __post_init__(self) -> None:
        if not 1 <= len(self.convs) <= MAX_CONVS:
            raise ValueError(f"a block has 1 to {MAX_CONVS} convolutions, not {len(self.convs)}")
        _check_choice("stride_on", self.stride_on, ("3x3", "1x1"))
        _check_choice("shortcut", self.shortcut, SHORTCUTS)
        if self.stride_on == "1x1" and self._spatial_index() == 0:
            raise ValueError("stride_on='1x1' needs a block that begins with a 1x1 convolution (a bottleneck)")

    @property
    def expansion(self) -> int:
        """Output channels as a multiple of the stage's width."""
        return self.convs[-1].expand

    def _spatial_index(self) -> int:
        return next((i for i, conv in enumerate(self.convs) if max(conv.kernel[1:]) > 1), 0)

    @property
    def strided_index(self) -> int:
        """Which of ``convs`` takes the stride."""
        return 0 if self.stride_on == "1x1" else self._spatial_index()

    def plan(self, in_channels: int, width: int, stride: Size3) -> list[ConvPlan]:
        """The convolutions with their channels and strides filled in."""
        plans, channels = [], in_channels
        for index, conv in enumerate(self.convs):
            out = width * conv.expand
            rules = {
                "conv": conv.equal_parameters_middle(channels, out),
                "block": conv.equal_parameters_middle(in_channels, width),
                "out": out,
                "2x": 2 * out,
            }
            middle = rules[conv.middle] if isinstance(conv.middle, str) else conv.middle
            groups = channels if conv.groups == "depthwise" else conv.groups
            if channels % groups or out % groups:
                raise ValueError(
                    f"groups={groups} must divide the channels {channels} and {out} of convolution {index}"
                )
            step = stride if index == self.strided_index else ONE
            plans.append(ConvPlan(conv, channels, middle, out, groups, step))
            channels = out
        return plans


@dataclass(frozen=True, kw_only=True, slots=True)
class PoolSpec:
    """Max pooling, padded with minus infinity."""

    kernel: Size3
    stride: Size3
    padding: Size3 = (0, 0, 0)

    def __post_init__(self) -> None:
        _check_triple("kernel", self.kernel)
        _check_triple("stride", self.stride)
        if len(self.padding) != 3 or any(not 0 <= p <= k // 2 for p, k in zip(self.padding, self.kernel, strict=False)):
            raise ValueError(
                f"pool padding must be (t, y, x) from 0 to half the kernel {self.kernel}, not {self.padding}"
            )

    def window(self) -> Window:
        return Window(self.kernel, self.stride, self.padding)


@dataclass(frozen=True, kw_only=True, slots=True)
class StemSpec:
    """The first convolution, norm and ReLU. What pools after it belongs to ``conv2``."""

    conv: ConvSpec
    width: int = 64
    stride: Size3 = (1, 2, 2)

    def __post_init__(self) -> None:
        _check_width("stem width", self.width)
        _check_triple("stem stride", self.stride)

    def plan(self, in_channels: int) -> ConvPlan:
        """The stem's convolution with its channels and stride filled in."""
        block = BlockSpec(convs=(self.conv,))
        return block.plan(in_channels, self.width, self.stride)[0]


@dataclass(frozen=True, kw_only=True, slots=True)
class StageSpec:
    """Blocks that share a width. The first takes the stride; a pool, where there is one, comes before it."""

    width: int
    blocks: tuple[BlockSpec, ...]
    stride: Size3 = ONE
    pool: PoolSpec | None = None

    def __post_init__(self) -> None:
        _check_width("stage width", self.width)
        _check_triple("stage stride", self.stride)
        if not self.blocks:
            raise ValueError("a stage needs at least one block")
        if len({block.expansion for block in self.blocks}) > 1:
            raise ValueError(f"the blocks of a stage must agree in expansion, not {[b.expansion for b in self.blocks]}")

    @property
    def out_channels(self) -> int:
        return self.width * self.blocks[0].expansion

    def steps(self) -> Iterator[tuple[BlockSpec, Size3]]:
        """Each block with its stride."""
        for index, block in enumerate(self.blocks):
            yield block, self.stride if index == 0 else ONE

    def windows(self) -> Iterator[Window]:
        """What the main path looks at, layer by layer."""
        if self.pool:
            yield self.pool.window()
        for block, stride in self.steps():
            for index, conv in enumerate(block.convs):
                yield conv.window(stride if index == block.strided_index else ONE)


@dataclass(frozen=True, kw_only=True, slots=True)
class NormSpec:
    """The norm that follows every convolution.

    ``kind``: "batch"; "frozen_batch", a fixed affine map; "group"; "sync_batch", statistics over all processes.
    ``eps`` is data because a checkpoint trained with another one loads in silence and computes something else.
    """

    kind: str = "batch"
    eps: float = 1e-5
    momentum: float = 0.1

    def __post_init__(self) -> None:
        _check_choice("norm", self.kind, NORMS)
        if not isinstance(self.eps, (int, float)) or not 0 <= self.eps < float("inf"):
            raise ValueError(f"norm_eps must be ≥ 0, not {self.eps!r}")
        if not 0 <= self.momentum <= 1:
            raise ValueError(f"norm momentum must be in [0, 1], not {self.momentum!r}")


@dataclass(frozen=True, kw_only=True, slots=True)
class BackboneSpec:
    """A whole backbone; ``ResNet3d(spec)`` builds it, ``to_yaml`` and ``from_yaml`` write and read it."""

    name: str
    stem: StemSpec
    stages: tuple[StageSpec, ...]
    in_channels: int = 3
    norm: NormSpec = field(default_factory=NormSpec)
    temporal_padding: TemporalPadding = "zeros"  # "replicate" repeats the border frames
    head_window: Size3 | None = None
    """What a classifier averages the last map over: windows of this many positions, in steps of one, and then those
    averages (PyTorchVideo); None takes all positions at once."""

    def __post_init__(self) -> None:
        _check_width("in_channels", self.in_channels)
        _check_choice("temporal_padding", self.temporal_padding, ("zeros", "replicate"))
        if not 1 <= len(self.stages) <= MAX_STAGES:
            raise ValueError(
                f"a backbone needs 1 to {MAX_STAGES} stages after the stem (conv2 to conv5), not {len(self.stages)}"
            )
        channels = self.stem.width
        for name, stage in zip(self.stage_names[1:], self.stages, strict=True):
            if stage.blocks[0].shortcut == "pool_pad" and stage.out_channels < channels:
                raise ValueError(
                    f"{name}: shortcut 'pool_pad' adds channels, but {channels} shrink to {stage.out_channels}"
                )
            self._check_plans(name, stage, channels)
            channels = stage.out_channels
        if self.head_window is not None:
            _check_triple("head_window", self.head_window)

    @staticmethod
    def _check_plans(name: str, stage: StageSpec, channels: int) -> None:
        try:
            for block, stride in stage.steps():
                block.plan(channels, stage.width, stride)
                channels = stage.out_channels
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None

    @property
    def stage_names(self) -> tuple[str, ...]:
        """``("stem", "conv2", ...)``."""
        return ("stem", *(f"conv{number}" for number in range(2, 2 + len(self.stages))))

    @property
    def feature_info(self) -> dict[str, FeatureInfo]:
        """Channels and (t, y, x) stride of every stage's map."""
        info = {"stem": FeatureInfo(self.stem.width, self.stem.stride)}
        stride = self.stem.stride
        for name, stage in zip(self.stage_names[1:], self.stages, strict=True):
            for step in (stage.pool.stride if stage.pool else ONE, stage.stride):
                stride = (stride[0] * step[0], stride[1] * step[1], stride[2] * step[2])
            info[name] = FeatureInfo(stage.out_channels, stride)
        return info

    @property
    def min_clip(self) -> Size3:
        """The smallest (frames, height, width) that every stage gives at least one position for."""
        size = ONE
        for window in reversed(list(self.windows())):
            size = window.smallest_input(size)
        return size

    def windows(self) -> Iterator[Window]:
        """What the main path looks at, layer by layer, stem first."""
        yield self.stem.conv.window(self.stem.stride)
        for stage in self.stages:
            yield from stage.windows()

    def split(self, body: str) -> tuple["BackboneSpec", tuple[StageSpec, ...]]:
        """The backbone that ends after stage ``body``, and the stages cut off (an RoI head, in Detect-and-Track's C4).

        Raises ValueError if ``body`` is not a stage after the stem.
        """
        _check_choice("body", body, self.stage_names[1:])
        depth = self.stage_names.index(body)
        return replace(self, stages=self.stages[:depth]), self.stages[depth:]

    def to_yaml(self) -> str:
        """This spec as YAML: fields at their default are left out, equal blocks in a row come once, with ``repeat``."""
        return dump_dataclass(self)

    @classmethod
    def from_yaml(cls, text: str) -> "BackboneSpec":
        """The spec that ``to_yaml`` wrote, or that someone wrote by hand.

        Raises ValueError for a key, type or value that has no place in a spec, naming where it stands.
        """
        return parse_dataclass(cls, text, root="spec")
