"""A residual block as data: its convolutions, its shortcut, and the order in which its parts run."""

from dataclasses import dataclass, field
from math import prod
from typing import Literal, NamedTuple

from res3d.backbone.attention import ATTENTIONS
from res3d.backbone.convs import FACTORINGS, ONE, Size3, equal_parameters_middle
from res3d.backbone.shortcuts import NO_SHORTCUT, SHORTCUTS, ShortcutPlan
from res3d.backbone.windows import Window
from res3d.settings import check_choice, check_triple, check_width

MAX_CONVS = 4  # the convolutions of a block are named a, b, c, d


@dataclass(frozen=True, kw_only=True, slots=True)
class ConvSpec:
    """One convolution of a block or of the stem."""

    kernel: Size3
    expand: int = 1
    """Output channels, as a multiple of the stage's width."""
    factor: str = "full"
    """"full" is one convolution; "2plus1d" a spatial, then a temporal one with norm and ReLU between; "1plus2d" the
    temporal one first, as PyTorchVideo has them; "separable" k×1, 1×k and t×1×1 with nothing between."""
    middle: int | Literal["conv", "block", "out", "2x"] = "conv"
    """Channels between the factors. "conv" keeps the parameter count of the full convolution (the R(2+1)D paper's
    rule, per convolution); "block" applies that rule once, to the block's input and width, as torchvision does; "out"
    is the convolution's output channels, "2x" twice as many (any plain convolution
    fits into that); a number states it."""
    groups: int | Literal["depthwise"] = 1
    """"depthwise" is one group per channel."""
    dilation: Size3 = ONE
    padding: Literal["half", "none"] = "half"
    """"half" is half the dilated kernel: ceil(size / stride) positions come out."""
    bias: bool = False

    def __post_init__(self) -> None:
        check_triple("kernel", self.kernel, odd=True)
        check_triple("dilation", self.dilation)
        check_width("expand", self.expand)
        check_choice("factor", self.factor, ("full", *FACTORINGS))
        check_choice("padding", self.padding, ("half", "none"))
        for name, words in (("middle", ("conv", "block", "out", "2x")), ("groups", ("depthwise",))):
            value = getattr(self, name)
            if isinstance(value, str):
                check_choice(name, value, words)
            else:
                check_width(name, value)
        if self.factor != "full" and self.groups != 1:
            raise ValueError(f"factor {self.factor!r} takes no groups, not {self.groups!r}")

    @property
    def pads(self) -> Size3:
        """Zeros (or repeated frames) on either side along (t, y, x)."""
        t, y, x = (d * (k // 2) for d, k in zip(self.dilation, self.kernel, strict=True))
        return (t, y, x) if self.padding == "half" else (0, 0, 0)

    @property
    def is_pointwise(self) -> bool:
        """True if it sees one position of one frame."""
        return prod(self.kernel) == 1

    def window(self, stride: Size3) -> Window:
        return Window(self.kernel, stride, self.pads, self.dilation)

    def equal_parameters_middle(self, in_channels: int, out_channels: int) -> int:
        """Channels between the factors such that all have the full convolution's parameters, rounded down."""
        sizes = [size for _, size in FACTORINGS[self.factor].of(self.kernel)] if self.factor != "full" else []
        if len(sizes) < 2:
            return out_channels
        return equal_parameters_middle(sizes, self.kernel, in_channels, out_channels)


class ConvPlan(NamedTuple):
    """A convolution with all its numbers, ready to build."""

    spec: ConvSpec
    in_channels: int
    middle: int
    out_channels: int
    groups: int
    stride: Size3


@dataclass(frozen=True, kw_only=True, slots=True)
class ShortcutSpec:
    """The path around a block's branch."""

    kind: str = "project"
    """"project", a convolution; "max_pool", "avg_pool"; "pool_pad", pooling and new channels of zeros (type A);
    "identity"; or "none": the block is its branch alone."""
    kernel: Size3 = ONE
    """Kernel of the convolution or pool."""
    bias: bool = False
    """Bias of the convolution."""
    source: Literal["input", "preact"] = "input"
    """"preact" is the input after a pre-activation block's first norm and ReLU."""
    where: Literal["change", "always"] = "change"
    """"change": only where stride or channels change, else the identity."""

    def __post_init__(self) -> None:
        check_choice("shortcut", self.kind, (*SHORTCUTS, NO_SHORTCUT))
        check_triple("shortcut kernel", self.kernel, odd=True)
        check_choice("shortcut source", self.source, ("input", "preact"))
        check_choice("shortcut where", self.where, ("change", "always"))
        takes = frozenset() if self.kind == NO_SHORTCUT else SHORTCUTS[self.kind].takes
        for setting, given in (("kernel", self.kernel != ONE), ("bias", self.bias)):
            if given and setting not in takes:
                raise ValueError(f"shortcut {self.kind!r} has no {setting}, not {getattr(self, setting)!r}")


@dataclass(frozen=True, kw_only=True, slots=True)
class BlockSpec:
    """A residual block: its convolutions with norms and ReLUs, and its shortcut."""

    convs: tuple[ConvSpec, ...]
    order: Literal["post", "pre"] = "post"
    """"post": every convolution is followed by its norm and ReLU, the last ReLU comes after the sum (He et al. 2015);
    "pre": norm and ReLU come before every convolution, and nothing after the sum (He et al. 2016)."""
    stride_on: Literal["3x3", "1x1"] = "3x3"
    """The convolution that takes the block's stride: the first with a spatial kernel, or the block's first (a 1×1 in
    bottlenecks: Caffe2's placement). The shapes are the same, the function is not."""
    shortcut: ShortcutSpec = field(default_factory=ShortcutSpec)
    attention: str = "none"
    """"none", or "squeeze_excite", which rescales the branch before the sum."""
    last_act: bool = True
    """The ReLU after the sum."""

    def __post_init__(self) -> None:
        if not 1 <= len(self.convs) <= MAX_CONVS:
            raise ValueError(f"a block has 1 to {MAX_CONVS} convolutions, not {len(self.convs)}")
        check_choice("order", self.order, ("post", "pre"))
        check_choice("stride_on", self.stride_on, ("3x3", "1x1"))
        check_choice("attention", self.attention, ATTENTIONS)
        if self.stride_on == "1x1" and self._spatial_index() == 0:
            raise ValueError("stride_on='1x1' needs a block that begins with a 1x1 convolution (a bottleneck)")
        if self.order == "pre" and not self.last_act:
            raise ValueError("last_act=False: a pre-activation block has no ReLU after the sum to leave out")
        if self.order == "post" and self.shortcut.source == "preact":
            raise ValueError("shortcut source 'preact' needs order='pre': nothing comes before the first convolution")
        shrinks = [conv.kernel for conv in self.convs if conv.padding == "none" and not conv.is_pointwise]
        if shrinks and self.is_residual:
            raise ValueError(
                f"a {shrinks[0]} convolution with padding='none' makes the branch smaller than any shortcut: "
                f"padding='half', or a shortcut of kind {NO_SHORTCUT!r}"
            )

    @property
    def is_residual(self) -> bool:
        """True if it has a shortcut."""
        return self.shortcut.kind != NO_SHORTCUT

    @property
    def expansion(self) -> int:
        """Output channels as a multiple of the stage's width."""
        return self.convs[-1].expand

    def _spatial_index(self) -> int:
        return next((i for i, conv in enumerate(self.convs) if max(conv.kernel[1:]) > 1), 0)

    @property
    def strided_index(self) -> int:
        """Index in ``convs`` of the one that takes the stride."""
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

    def plan_shortcut(self, in_channels: int, width: int, stride: Size3) -> ShortcutPlan | None:
        """The shortcut with its numbers filled in; None where it is the identity, or where there is none.

        Raises ValueError if it cannot lead from the block's input to its output.
        """
        spec, out = self.shortcut, width * self.expansion
        changes = stride != ONE or in_channels != out
        if not self.is_residual or not (changes or spec.where == "always"):
            return None
        plan = ShortcutPlan(in_channels, out, stride, spec.kernel, spec.bias, normed=self.order == "post")
        reason = SHORTCUTS[spec.kind].refuse(plan)
        if reason:
            raise ValueError(f"shortcut {spec.kind!r} {reason}")
        return plan
