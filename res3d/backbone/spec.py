"""Specs of backbones: frozen dataclasses that describe an architecture completely, independent of modules and weights.

Triples are in (t, y, x) order. Stages have the names of the ResNet paper: ``stem`` (its conv1), then ``conv2`` to
``conv5`` (Detectron: res2 to res5; torchvision: layer1 to layer4).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from math import prod
from typing import Literal, NamedTuple, TypeVar

from res3d.backbone.block_spec import BlockSpec, ConvPlan, ConvSpec
from res3d.backbone.convs import ONE, Size3, TemporalPadding
from res3d.backbone.norms import NORMS
from res3d.backbone.windows import Window, receptive_field
from res3d.settings import check_choice, check_triple, check_width, dump_dataclass, parse_dataclass
from res3d.settings.types import Value

T = TypeVar("T")
MAX_STAGES = 4  # conv2 to conv5
OTHER_NAMES = {  # stage names of torchvision, timm and Detectron, and ours
    "conv1": "stem",
    **{f"layer{number - 1}": f"conv{number}" for number in (2, 3, 4, 5)},
    **{f"res{number}": f"conv{number}" for number in (2, 3, 4, 5)},
}


def stage_hint(name: str, accepted: Sequence[str]) -> str:
    """Return the end of an error message about the stage ``name``, such as "; did you mean 'conv5'?" for "layer4".

    "" unless ``name`` is torchvision's, timm's or Detectron's name of a stage in ``accepted``.
    """
    stage = OTHER_NAMES.get(name)
    return f"; did you mean {stage!r}?" if stage in accepted else ""


def check_stage(argument: str, name: str, accepted: Sequence[str]) -> None:
    """Raise ValueError unless ``name`` is a stage in ``accepted``; the message names ``argument``."""
    if name not in accepted:
        hint = stage_hint(str(name), accepted)
        raise ValueError(f"{argument} must be one of {', '.join(map(repr, accepted))}, not {name!r}{hint}")


class FeatureInfo(NamedTuple):
    """Channels and stride of a stage's feature map."""

    channels: int
    stride: Size3
    """Frames, rows and columns of the clip per position."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PoolSpec:
    """Max pooling."""

    kernel: Size3
    stride: Size3
    padding: Size3 = (0, 0, 0)
    border: Literal["-inf", "zeros"] = "-inf"
    """Value of the padding: minus infinity (torch) or zeros (Keras). The results differ where all values of a window at
    the border are negative."""

    def __post_init__(self) -> None:
        check_triple("kernel", self.kernel)
        check_triple("stride", self.stride)
        check_choice("pool border", self.border, ("-inf", "zeros"))
        if (
            not isinstance(self.padding, tuple)
            or len(self.padding) != 3
            or any(
                not isinstance(p, int) or not 0 <= p <= k // 2 for p, k in zip(self.padding, self.kernel, strict=True)
            )
        ):
            raise ValueError(
                f"pool padding must be (t, y, x) from 0 to half the kernel {self.kernel}, not {self.padding}"
            )

    def window(self) -> Window:
        """Return the window of this pool."""
        return Window(self.kernel, self.stride, self.padding)


@dataclass(frozen=True, kw_only=True, slots=True)
class StemSpec:
    """The first convolution with its norm and ReLU. The pool that follows it belongs to ``conv2``."""

    conv: ConvSpec
    width: int = 64
    """Output channels."""
    stride: Size3 = (1, 2, 2)
    norm: bool = True
    """Add norm and ReLU after the convolution; False for pre-activation networks."""

    def __post_init__(self) -> None:
        check_width("stem width", self.width)
        if self.conv.expand != 1:
            raise ValueError(
                f"expand of the stem's convolution must be 1, not {self.conv.expand}: its channels are the stem's width"
            )
        check_triple("stem stride", self.stride)

    def plan(self, in_channels: int) -> ConvPlan:
        """Return the stem's convolution with its channels, groups and stride resolved.

        Raises:
            ValueError: groups that do not divide the channels.
        """
        block = BlockSpec(convs=(self.conv,))
        return block.plan(in_channels, self.width, self.stride)[0]


@dataclass(frozen=True, kw_only=True, slots=True)
class StageSpec:
    """Blocks that share a width; one of them takes the stage's stride."""

    width: int
    """Channels inside the blocks; the map has ``BlockSpec.expansion`` times as many."""
    blocks: tuple[BlockSpec, ...]
    stride: Size3 = ONE
    stride_at: Literal["first", "last"] = "first"
    """The block that takes the stride."""
    pool: PoolSpec | None = None
    """Max pool before the first block."""

    def __post_init__(self) -> None:
        check_width("stage width", self.width)
        check_triple("stage stride", self.stride)
        check_choice("stride_at", self.stride_at, ("first", "last"))
        if not self.blocks:
            raise ValueError("a stage needs at least one block")
        if len({block.expansion for block in self.blocks}) > 1:
            raise ValueError(f"the blocks of a stage must agree in expansion, not {[b.expansion for b in self.blocks]}")

    @property
    def out_channels(self) -> int:
        """Channels of the stage's map."""
        return self.width * self.blocks[0].expansion

    def steps(self) -> Iterator[tuple[BlockSpec, Size3]]:
        """Yield each block with its stride."""
        strided_index = 0 if self.stride_at == "first" else len(self.blocks) - 1
        for index, block in enumerate(self.blocks):
            yield block, self.stride if index == strided_index else ONE

    def windows(self) -> Iterator[Window]:
        """Yield the windows of the pool and of the blocks' branches, layer by layer."""
        if self.pool:
            yield self.pool.window()
        for block, stride in self.steps():
            for index, conv in enumerate(block.convs):
                yield conv.window(stride if index == block.strided_index else ONE)


@dataclass(frozen=True, kw_only=True, slots=True)
class NormSpec:
    """The kind of norm of a network, and its numbers."""

    kind: str = "batch"
    """"batch"; "frozen_batch": a fixed affine map; "group"; "sync_batch": batch norm over all processes."""
    eps: float = 1e-5
    """Number ≥ 0 added to the variance. It is not in a state dict: a checkpoint that was trained with another eps loads
    without error, but the network then computes other outputs."""
    momentum: float = 0.1
    """Weight of a new batch in the running statistics, 0 to 1."""

    def __post_init__(self) -> None:
        check_choice("norm", self.kind, NORMS)
        if not isinstance(self.eps, (int, float)) or not 0 <= self.eps < float("inf"):
            raise ValueError(f"norm_eps must be ≥ 0, not {self.eps!r}")
        if not isinstance(self.momentum, (int, float)) or not 0 <= self.momentum <= 1:
            raise ValueError(f"norm momentum must be in [0, 1], not {self.momentum!r}")


@dataclass(frozen=True, kw_only=True, slots=True)
class HeadSpec:
    """Pooling of the last map before a classifier's linear layer."""

    pool: Literal["avg", "max"] = "avg"
    window: Size3 | None = None
    """Size of a pooling window, (T, H, W) positions; None pools all positions."""
    stride: Size3 = ONE
    """Positions from one window to the next, (T, H, W)."""
    positions: Size3 | None = None
    """Number of windows, (T, H, W), whose pooled values are concatenated for the linear layer. None averages the
    windows; their number is then free."""

    def __post_init__(self) -> None:
        check_choice("head pool", self.pool, ("avg", "max"))
        for name in ("window", "stride", "positions"):
            value = getattr(self, name)
            if value is not None:
                check_triple(f"head {name}", value)
        if self.window is None and (self.stride != ONE or self.positions is not None):
            raise ValueError("head stride and positions need a head window: without one, all positions are pooled")

    def inputs(self, channels: int) -> int:
        """Return the number of inputs of the linear layer for a map of ``channels`` channels."""
        return channels * prod(self.positions or ONE)


@dataclass(frozen=True, kw_only=True, slots=True)
class BackboneSpec:
    """Architecture of a backbone. ``ResNet3d(spec)`` builds it; ``to_yaml`` and ``from_yaml`` write and read it.

    Raises:
        ValueError: fields out of range, or stages that do not fit together.
    """

    name: str
    stem: StemSpec
    stages: tuple[StageSpec, ...]
    """The one to four stages after the stem: conv2 to conv5."""
    in_channels: int = 3
    """Channels of clips."""
    norm: NormSpec = field(default_factory=NormSpec)
    temporal_padding: TemporalPadding = "zeros"
    """Padding of convolutions in time: "zeros", or "replicate", copies of the border frames."""
    final_norm: bool = False
    """Add norm and ReLU after the last stage, for pre-activation blocks, which end with the sum."""
    head: HeadSpec = field(default_factory=HeadSpec)

    def __post_init__(self) -> None:
        check_width("in_channels", self.in_channels)
        check_choice("temporal_padding", self.temporal_padding, ("zeros", "replicate"))
        if not 1 <= len(self.stages) <= MAX_STAGES:
            raise ValueError(
                f"a backbone needs 1 to {MAX_STAGES} stages after the stem (conv2 to conv5), not {len(self.stages)}"
            )
        self.stem.plan(self.in_channels)
        if self.temporal_padding == "replicate":
            self._check_zeros_in_time()
        channels = self.stem.width
        for name, stage in zip(self.stage_names[1:], self.stages, strict=True):
            self._check_plans(name, stage, channels)
            channels = stage.out_channels

    def _check_zeros_in_time(self) -> None:
        """Raise ValueError for pools that pad time with zeros: with them, equal frames would not stay equal."""
        for stage in self.stages:
            if stage.pool and stage.pool.border == "zeros" and stage.pool.padding[0]:
                raise ValueError("temporal_padding='replicate': a pool with border='zeros' pads time with zeros")
            for block in stage.blocks:
                if block.shortcut.kind in ("avg_pool", "pool_pad") and block.shortcut.kernel[0] > 1:
                    raise ValueError(
                        f"temporal_padding='replicate': a {block.shortcut.kind!r} shortcut of kernel "
                        f"{block.shortcut.kernel} pads time with zeros"
                    )

    @staticmethod
    def _check_plans(name: str, stage: StageSpec, channels: int) -> None:
        """Raise ValueError, with the stage's name, if convolutions or shortcuts do not fit together."""
        try:
            for block, stride in stage.steps():
                block.plan(channels, stage.width, stride)
                block.plan_shortcut(channels, stage.width, stride)
                channels = stage.out_channels
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None

    @property
    def stage_names(self) -> tuple[str, ...]:
        """Names of the stages in order: ``("stem", "conv2", ...)``."""
        return ("stem", *(f"conv{number}" for number in range(2, 2 + len(self.stages))))

    @property
    def feature_info(self) -> dict[str, FeatureInfo]:
        """Channels and (t, y, x) stride of the map of every stage."""
        info = {"stem": FeatureInfo(self.stem.width, self.stem.stride)}
        stride = self.stem.stride
        for name, stage in zip(self.stage_names[1:], self.stages, strict=True):
            for step in (stage.pool.stride if stage.pool else ONE, stage.stride):
                stride = (stride[0] * step[0], stride[1] * step[1], stride[2] * step[2])
            info[name] = FeatureInfo(stage.out_channels, stride)
        return info

    @property
    def min_clip(self) -> Size3:
        """Smallest clip, (frames, height, width), for which every stage has at least one output position."""
        size = ONE
        for window in reversed(list(self.windows())):
            size = window.smallest_input(size)
        return size

    def check_size(self, size: Sequence[int]) -> None:
        """Raise ValueError if clips of ``size`` (frames, height, width) are smaller than ``min_clip``."""
        if any(length < minimum for length, minimum in zip(size, self.min_clip, strict=True)):
            raise ValueError(f"{self.name} needs clips of (T, H, W) ≥ {self.min_clip}, not {tuple(size)}")

    def windows(self) -> Iterator[Window]:
        """Yield the windows of the stem, the pools and the blocks' branches, layer by layer."""
        yield self.stem.conv.window(self.stem.stride)
        for stage in self.stages:
            yield from stage.windows()

    def receptive_field(self, stage: str) -> Size3:
        """Return the (frames, rows, columns) of the clip that one position of a stage's map depends on.

        This is for positions away from the clip's borders.

        Raises:
            ValueError: ``stage`` is not one of ``stage_names``.
        """
        check_stage("stage", stage, self.stage_names)
        leading = replace(self, stages=self.stages[: max(1, self.stage_names.index(stage))])
        windows = list(leading.windows())
        return receptive_field(windows[:1] if stage == "stem" else windows)

    def split(self, body: str) -> tuple["BackboneSpec", tuple[StageSpec, ...]]:
        """Return the backbone that ends after stage ``body``, and the stages after it.

        Detect-and-Track's C4 detectors use these later stages as an RoI head. With ``final_norm``, the returned body
        ends with norm and ReLU, but the later stages take the map without them; build the body from
        ``replace(body, final_norm=False)`` if they are to continue it.

        Raises:
            ValueError: ``body`` is not a stage after the stem.
        """
        check_stage("body", body, self.stage_names[1:])
        depth = self.stage_names.index(body)
        return replace(self, stages=self.stages[:depth]), self.stages[depth:]

    def to_yaml(self) -> str:
        """Return this spec as YAML.

        Fields with their default value are left out; consecutive equal blocks are written once, with ``repeat``.
        """
        return dump_dataclass(self)

    @classmethod
    def from_yaml(cls, text: str) -> "BackboneSpec":
        """Return the spec that a YAML text describes, in the form of ``to_yaml``.

        Raises:
            ValueError: invalid YAML, or an unknown key or a wrong type or value; the message names its location.
        """
        return parse_dataclass(cls, text, root="spec")


def with_norm_eps(spec: T, eps: float) -> T:
    """Return a spec, of a backbone or of any network, with ``eps`` in every ``NormSpec`` that it contains."""
    spec_with_eps: T = _change_norms(spec, eps)
    return spec_with_eps


def _change_norms(value: Value, eps: float) -> Value:
    if isinstance(value, NormSpec):
        return replace(value, eps=eps)
    if isinstance(value, tuple):
        return tuple(_change_norms(item, eps) for item in value)
    if not is_dataclass(value):
        return value
    old = {f.name: getattr(value, f.name) for f in fields(value)}
    new = {name: _change_norms(item, eps) for name, item in old.items()}
    return value if new == old else replace(value, **new)  # type: ignore[type-var]
