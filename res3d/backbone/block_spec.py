"""Specs of a residual block: its convolutions, its shortcut, and the order of convolutions, norms and ReLUs."""

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
    """(t, y, x), odd numbers."""
    expand: int = 1
    """Output channels, as a multiple of the stage's width."""
    factor: str = "full"
    """"full": one convolution. "2plus1d": a spatial and a temporal convolution, with norm and ReLU between them.
    "1plus2d": the same with the temporal convolution first, as in PyTorchVideo. "separable": convolutions of 1×k×1,
    1×1×k and t×1×1, with nothing between them."""
    middle: int | Literal["conv", "block", "out", "2x"] = "conv"
    """Channels between the factors: a number or a rule. "conv" gives the factors the parameter count of the full
    convolution, for each convolution alone (the rule of the R(2+1)D paper). "block" applies that rule once, to the
    block's input channels and width, as torchvision does. "out" is the convolution's output channels; "2x" is twice as
    many, which is enough to represent any unfactored spatial convolution."""
    groups: int | Literal["depthwise"] = 1
    """Groups of channels; "depthwise" is one group per channel."""
    dilation: Size3 = ONE
    padding: Literal["half", "none"] = "half"
    """"half": half the dilated kernel on each side, so that the output has ceil(size / stride) positions. "none": no
    padding."""
    bias: bool = False

    def __post_init__(self) -> None:
        check_triple("kernel", self.kernel, odd=True)
        check_triple("dilation", self.dilation)
        check_width("expand", self.expand)
        check_choice("factor", self.factor, ("full", *FACTORINGS))
        check_choice("padding", self.padding, ("half", "none"))
        for name, choices in (("middle", ("conv", "block", "out", "2x")), ("groups", ("depthwise",))):
            value = getattr(self, name)
            if isinstance(value, str):
                check_choice(name, value, choices)
            else:
                check_width(name, value)
        if self.factor != "full" and self.groups != 1:
            raise ValueError(f"groups must be 1 with factor {self.factor!r}, not {self.groups!r}")

    @property
    def pads(self) -> Size3:
        """Padding on each side along (t, y, x), in positions."""
        t, y, x = (d * (k // 2) for d, k in zip(self.dilation, self.kernel, strict=True))
        return (t, y, x) if self.padding == "half" else (0, 0, 0)

    @property
    def is_pointwise(self) -> bool:
        """True if the kernel is 1×1×1."""
        return prod(self.kernel) == 1

    def window(self, stride: Size3) -> Window:
        """Return the window of the full convolution with ``stride``."""
        return Window(self.kernel, stride, self.pads, self.dilation)

    def equal_parameters_middle(self, in_channels: int, out_channels: int) -> int:
        """Return the number of channels between factors that gives them the parameter count of the full convolution.

        Rounded down; ``out_channels`` if the convolution has fewer than two factors.
        """
        sizes = [size for _, size in FACTORINGS[self.factor].of(self.kernel)] if self.factor != "full" else []
        if len(sizes) < 2:
            return out_channels
        return equal_parameters_middle(sizes, self.kernel, in_channels, out_channels)


class ConvPlan(NamedTuple):
    """A convolution with its channels, groups and stride resolved, ready to build."""

    spec: ConvSpec
    in_channels: int
    middle: int
    """Channels between the factors of a factored convolution."""
    out_channels: int
    groups: int
    stride: Size3


@dataclass(frozen=True, kw_only=True, slots=True)
class ShortcutSpec:
    """The path around a block's branch."""

    kind: str = "project"
    """"project": a convolution. "max_pool", "avg_pool": a pool. "pool_pad": average pooling, with new channels filled
    with zeros (option A of He et al. 2015). "identity". "none": no shortcut, the block is its branch alone."""
    kernel: Size3 = ONE
    """Kernel of the convolution or pool."""
    bias: bool = False
    """Bias of the convolution."""
    source: Literal["input", "preact"] = "input"
    """Tensor that the shortcut starts from. "input": the block's input. "preact": the input after the first norm and
    ReLU of a pre-activation block."""
    where: Literal["change", "always"] = "change"
    """Blocks that have this shortcut. "change": blocks that change the size or the channels; the others have the
    identity. "always": all blocks."""

    def __post_init__(self) -> None:
        check_choice("shortcut", self.kind, (*SHORTCUTS, NO_SHORTCUT))
        check_triple("shortcut kernel", self.kernel, odd=True)
        check_choice("shortcut source", self.source, ("input", "preact"))
        check_choice("shortcut where", self.where, ("change", "always"))
        options = frozenset() if self.kind == NO_SHORTCUT else SHORTCUTS[self.kind].options
        for name, default in (("kernel", ONE), ("bias", False)):
            value = getattr(self, name)
            if value != default and name not in options:
                raise ValueError(f"{name} must be {default} with shortcut {self.kind!r}, not {value!r}")


@dataclass(frozen=True, kw_only=True, slots=True)
class BlockSpec:
    """A residual block: its convolutions with their norms and ReLUs, and its shortcut."""

    convs: tuple[ConvSpec, ...]
    """One to four convolutions of the branch, in the order in which they run."""
    order: Literal["post", "pre"] = "post"
    """"post": norm and ReLU follow every convolution, and the last ReLU follows the sum (He et al. 2015). "pre": norm
    and ReLU precede every convolution, and nothing follows the sum (He et al. 2016)."""
    stride_on: Literal["3x3", "1x1"] = "3x3"
    """The convolution that takes the block's stride. "3x3": the first one with a spatial kernel. "1x1": the first one
    of the block, a 1×1 in bottlenecks (as in Caffe2). Both have weights of the same shapes, but compute different
    outputs."""
    shortcut: ShortcutSpec = field(default_factory=ShortcutSpec)
    attention: str = "none"
    """Module that rescales the branch before the sum: "none" or "squeeze_excite"."""
    last_act: bool = True
    """Apply a ReLU after the sum."""

    def __post_init__(self) -> None:
        if not 1 <= len(self.convs) <= MAX_CONVS:
            raise ValueError(f"a block has 1 to {MAX_CONVS} convolutions, not {len(self.convs)}")
        check_choice("order", self.order, ("post", "pre"))
        check_choice("stride_on", self.stride_on, ("3x3", "1x1"))
        check_choice("attention", self.attention, ATTENTIONS)
        if self.stride_on == "1x1" and self._spatial_index() == 0:
            raise ValueError("stride_on='1x1' needs a block that begins with a 1x1 convolution (a bottleneck)")
        if self.order == "pre" and not self.last_act:
            raise ValueError("last_act must be True with order='pre': no ReLU follows the sum of such a block")
        if self.order == "post" and self.shortcut.source == "preact":
            raise ValueError(
                "shortcut source 'preact' needs order='pre': no norm precedes the first convolution with order='post'"
            )
        unpadded = [conv.kernel for conv in self.convs if conv.padding == "none" and not conv.is_pointwise]
        if unpadded and self.is_residual:
            raise ValueError(
                f"a {unpadded[0]} convolution with padding='none' makes the branch smaller than any shortcut: "
                f"use padding='half' or shortcut kind {NO_SHORTCUT!r}"
            )

    @property
    def is_residual(self) -> bool:
        """True if the block has a shortcut."""
        return self.shortcut.kind != NO_SHORTCUT

    @property
    def expansion(self) -> int:
        """Output channels as a multiple of the stage's width."""
        return self.convs[-1].expand

    def _spatial_index(self) -> int:
        """Return the index of the first convolution with a spatial kernel, 0 without one."""
        return next((i for i, conv in enumerate(self.convs) if max(conv.kernel[1:]) > 1), 0)

    @property
    def strided_index(self) -> int:
        """Index in ``convs`` of the convolution that takes the stride."""
        return 0 if self.stride_on == "1x1" else self._spatial_index()

    def plan(self, in_channels: int, width: int, stride: Size3) -> list[ConvPlan]:
        """Return the convolutions with their channels, groups and strides resolved.

        Raises:
            ValueError: groups that do not divide the channels.
        """
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
        """Return the shortcut with its channels and stride resolved; None for the identity and for no shortcut.

        Raises:
            ValueError: a kind of shortcut that does not support the block's change of size or channels.
        """
        spec, out = self.shortcut, width * self.expansion
        changes = stride != ONE or in_channels != out
        if not self.is_residual or not (changes or spec.where == "always"):
            return None
        plan = ShortcutPlan(in_channels, out, stride, spec.kernel, spec.bias, normed=self.order == "post")
        problem = SHORTCUTS[spec.kind].find_problem(plan)
        if problem:
            raise ValueError(f"shortcut {spec.kind!r} {problem}")
        return plan
