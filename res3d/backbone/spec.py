"""A backbone as data: frozen dataclasses that say all there is to say of an architecture, and build nothing.

Triples are in (t, y, x) order everywhere. Stages have the names of the ResNet paper: the stem is its conv1, then
``conv2`` to ``conv5`` (Detectron's res2..res5, torchvision's layer1..layer4).
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
OTHER_NAMES = {  # of stages, in torchvision, timm and Detectron
    "conv1": "stem",
    **{f"layer{number - 1}": f"conv{number}" for number in (2, 3, 4, 5)},
    **{f"res{number}": f"conv{number}" for number in (2, 3, 4, 5)},
}


def stage_hint(name: str, accepted: Sequence[str]) -> str:
    """Return "; did you mean 'conv5'?" for an error message that refuses torchvision's "layer4" or Detectron's "res5".

    "" for names that no library has for one of ``accepted``.
    """
    ours = OTHER_NAMES.get(name)
    return f"; did you mean {ours!r}?" if ours in accepted else ""


def check_stage(argument: str, name: str, accepted: Sequence[str]) -> None:
    """Refuse a stage that is not one of ``accepted``, with a ValueError that names ``argument``."""
    if name not in accepted:
        hint = stage_hint(str(name), accepted)
        raise ValueError(f"{argument} must be one of {', '.join(map(repr, accepted))}, not {name!r}{hint}")


class FeatureInfo(NamedTuple):
    """Channels and stride of a stage's map, which follow from the spec."""

    channels: int
    stride: Size3
    """Source frames, rows and columns per position."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PoolSpec:
    """Max pooling."""

    kernel: Size3
    stride: Size3
    padding: Size3 = (0, 0, 0)
    border: Literal["-inf", "zeros"] = "-inf"
    """Value of the padding. Zeros (Keras) differ from torch's minus infinity where a border window is all negative."""

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
        return Window(self.kernel, self.stride, self.padding)


@dataclass(frozen=True, kw_only=True, slots=True)
class StemSpec:
    """The first convolution, norm and ReLU. What pools after it belongs to ``conv2``."""

    conv: ConvSpec
    width: int = 64
    stride: Size3 = (1, 2, 2)
    norm: bool = True
    """Norm and ReLU after the convolution; pre-activation networks have neither here."""

    def __post_init__(self) -> None:
        check_width("stem width", self.width)
        if self.conv.expand != 1:
            raise ValueError(f"the stem's convolution has the stem's width: expand must be 1, not {self.conv.expand}")
        check_triple("stem stride", self.stride)

    def plan(self, in_channels: int) -> ConvPlan:
        """The stem's convolution with its channels and stride filled in."""
        block = BlockSpec(convs=(self.conv,))
        return block.plan(in_channels, self.width, self.stride)[0]


@dataclass(frozen=True, kw_only=True, slots=True)
class StageSpec:
    """Blocks that share a width. One takes the stride; a pool, where there is one, comes before the first."""

    width: int
    blocks: tuple[BlockSpec, ...]
    stride: Size3 = ONE
    stride_at: Literal["first", "last"] = "first"
    """The block that takes the stride."""
    pool: PoolSpec | None = None

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
        return self.width * self.blocks[0].expansion

    def steps(self) -> Iterator[tuple[BlockSpec, Size3]]:
        """Each block with its stride."""
        strided = 0 if self.stride_at == "first" else len(self.blocks) - 1
        for index, block in enumerate(self.blocks):
            yield block, self.stride if index == strided else ONE

    def windows(self) -> Iterator[Window]:
        """The windows of the main path, layer by layer."""
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
        check_choice("norm", self.kind, NORMS)
        if not isinstance(self.eps, (int, float)) or not 0 <= self.eps < float("inf"):
            raise ValueError(f"norm_eps must be ≥ 0, not {self.eps!r}")
        if not isinstance(self.momentum, (int, float)) or not 0 <= self.momentum <= 1:
            raise ValueError(f"norm momentum must be in [0, 1], not {self.momentum!r}")


@dataclass(frozen=True, kw_only=True, slots=True)
class HeadSpec:
    """Pooling of the last map before a classifier's linear layer: windows, averaged or side by side."""

    pool: Literal["avg", "max"] = "avg"
    window: Size3 | None = None
    """(T, H, W) positions pooled together; None pools all."""
    stride: Size3 = ONE
    """Positions from one window to the next."""
    positions: Size3 | None = None
    """Windows that the linear layer takes, side by side; None averages them, for any number."""

    def __post_init__(self) -> None:
        check_choice("head pool", self.pool, ("avg", "max"))
        for name in ("window", "stride", "positions"):
            value = getattr(self, name)
            if value is not None:
                check_triple(f"head {name}", value)
        if self.window is None and (self.stride != ONE or self.positions is not None):
            raise ValueError("head stride and positions need a head window: without one, all positions are pooled")

    def inputs(self, channels: int) -> int:
        """Inputs of the linear layer."""
        return channels * prod(self.positions or ONE)


@dataclass(frozen=True, kw_only=True, slots=True)
class BackboneSpec:
    """A whole backbone; ``ResNet3d(spec)`` builds it, ``to_yaml`` and ``from_yaml`` write and read it."""

    name: str
    stem: StemSpec
    stages: tuple[StageSpec, ...]
    in_channels: int = 3
    norm: NormSpec = field(default_factory=NormSpec)
    temporal_padding: TemporalPadding = "zeros"
    """"replicate" repeats the border frames."""
    final_norm: bool = False
    """Norm and ReLU after the last stage of the body: pre-activation blocks leave their sums bare."""
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
        """Pools that put zeros around the clip would break what replicated padding is for."""
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
        try:
            for block, stride in stage.steps():
                block.plan(channels, stage.width, stride)
                block.plan_shortcut(channels, stage.width, stride)
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

    def check_size(self, size: Sequence[int]) -> None:
        """Refuse, with a ValueError, clips of (frames, height, width) that are too small for the last stage."""
        if any(given < least for given, least in zip(size, self.min_clip, strict=True)):
            raise ValueError(f"{self.name} needs clips of (T, H, W) ≥ {self.min_clip}, not {tuple(size)}")

    def windows(self) -> Iterator[Window]:
        """The windows of the main path, layer by layer, stem first."""
        yield self.stem.conv.window(self.stem.stride)
        for stage in self.stages:
            yield from stage.windows()

    def receptive_field(self, stage: str) -> Size3:
        """(Frames, rows, columns) of the clip that one position of a stage's map depends on, borders apart.

        Raises ValueError if ``stage`` is not one of ``stage_names``.
        """
        check_stage("stage", stage, self.stage_names)
        until = replace(self, stages=self.stages[: max(1, self.stage_names.index(stage))])
        windows = list(until.windows())
        return receptive_field(windows[:1] if stage == "stem" else windows)

    def split(self, body: str) -> tuple["BackboneSpec", tuple[StageSpec, ...]]:
        """The backbone that ends after stage ``body``, and the stages cut off (an RoI head, in Detect-and-Track's C4).

        With ``final_norm`` the body ends in a norm and ReLU of its own, and the stages cut off expect the map before
        them: a body they are to continue is ``replace(body, final_norm=False)``.

        Raises ValueError if ``body`` is not a stage after the stem.
        """
        check_stage("body", body, self.stage_names[1:])
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


def with_norm_eps(spec: T, eps: float) -> T:
    """The same spec, of a backbone or of a part of any network, with another eps in every ``NormSpec`` in it."""
    changed: T = _change_norms(spec, eps)
    return changed


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
