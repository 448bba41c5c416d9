"""Fusion of layers: each convolution becomes one layer with the norm, residual sum and ReLU behind it."""

from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise

from torch import Tensor, nn

from res3d.backbone import (
    FactoredConv,
    ProjectionShortcut,
    ReplicatedTimeConv3d,
    ResidualBlock,
    ResNet3d,
    Stage,
    StagedNetwork,
)
from res3d.inference.fold import is_fixed_norm
from res3d.inference.fused_conv import FusedConv
from res3d.inference.winograd import WinogradConv

FusedLayer = FusedConv | WinogradConv
MakeConv = Callable[[nn.Conv3d, nn.Module | None, bool], FusedLayer]  # (convolution, norm, rectified)

CHAINS = (nn.Sequential, FactoredConv, ProjectionShortcut)  # they only run their children in order
CONVOLUTIONS = (nn.Conv3d, ReplicatedTimeConv3d)  # exact types: other subclasses may compute differently


class FusedBlock(nn.Module):
    """Residual block for inference, whose last convolution adds the shortcut and applies the ReLU.

    Shape: as the original ``ResidualBlock``.

    Args:
        preact: the norm and ReLU before the branch of a pre-activation block; otherwise the identity.
        branch: the fused convolutions except the last.
        last: the last fused convolution.
        shortcut: the fused shortcut.
        shortcut_takes_preact: True if the shortcut reads the output of ``preact``, False if it reads the block's input.
    """

    def __init__(
        self,
        preact: nn.Module,
        branch: nn.Sequential,
        last: FusedLayer,
        shortcut: nn.Module,
        *,
        shortcut_takes_preact: bool,
    ) -> None:
        super().__init__()
        self.preact = preact
        self.branch = branch
        self.last = last
        self.shortcut = shortcut
        self.shortcut_takes_preact = shortcut_takes_preact
        self.overwrites_input = False
        """True if the block may always write its output over its input, because no other module reads the input."""

    def forward(self, x: Tensor, *, overwrite_input: bool = False) -> Tensor:
        start: Tensor = self.preact(x)
        residual = self.shortcut(start if self.shortcut_takes_preact else x)
        y = self.branch(start)
        overwrite_input = overwrite_input or self.overwrites_input
        # The last convolution reads y while it overwrites the residual, so the two must be different tensors.
        overwrite = (overwrite_input or residual is not x) and residual is not y
        summed: Tensor = self.last(y, residual, overwrite=overwrite)
        return summed


class FusedStage(nn.Sequential):
    """Stage for inference. Its first block overwrites the input if the caller of ``forward`` allows it.

    Shape: as the original ``Stage``.
    """

    def forward(self, x: Tensor, *, overwrite_input: bool = False) -> Tensor:
        for number, module in enumerate(self):
            may_overwrite = overwrite_input and number == 0 and isinstance(module, FusedBlock)
            x = module(x, overwrite_input=True) if may_overwrite else module(x)
        return x


class FusedResNet3d(StagedNetwork):
    """A ``ResNet3d`` for inference, with fused stages that overwrite feature maps that are not returned.

    Args:
        backbone: the network in eval mode. It cannot be used afterwards: its layers move into this network.
        make: function that builds a fused layer.
    """

    def __init__(self, backbone: ResNet3d, make: MakeConv) -> None:
        super().__init__(backbone.spec, backbone.out_features)
        for name in backbone.spec.stage_names:
            self.add_module(name, fuse(backbone.stage(name), make))

    def compute_maps(self, x: Tensor, stages: Sequence[str], wanted: Sequence[str]) -> dict[str, Tensor]:
        maps: dict[str, Tensor] = {}
        may_overwrite = False  # the input belongs to the caller
        for name in stages:
            if len(maps) == len(wanted):
                break
            before, x = x, self.stage(name)(x, overwrite_input=may_overwrite)
            may_overwrite = name not in wanted and x is not before
            if name in wanted:
                maps[name] = x
        return maps


def fuse(module: nn.Module, make: MakeConv) -> nn.Module:
    """Return ``module`` with its layers fused. ``module`` cannot be used afterwards.

    Two kinds of norms are not fused: norms that depend on the input, and norms without a convolution directly before
    them (the first norm of a pre-activation block).

    Args:
        module: a module in eval mode.
        make: function that builds a fused layer from a convolution, its norm or None, and whether a ReLU follows.
    """
    if type(module) in CONVOLUTIONS:
        assert isinstance(module, nn.Conv3d)
        return make(module, None, False)
    if type(module) in CHAINS:
        return nn.Sequential(*_fuse_chain(_flatten([module]), make))
    if isinstance(module, ResNet3d):
        return FusedResNet3d(module, make)
    if isinstance(module, Stage):
        stage = FusedStage(*_fuse_chain(_flatten(module.children()), make))
        for before, block in pairwise(stage):
            if isinstance(block, FusedBlock):  # feature maps inside a stage are never returned
                block.overwrites_input = isinstance(before, FusedBlock)
        return stage
    if isinstance(module, ResidualBlock):
        return _fuse_block(module, make)
    for name, child in list(module.named_children()):
        setattr(module, name, fuse(child, make))
    return module


def _flatten(modules: Iterable[nn.Module]) -> list[nn.Module]:
    flat: list[nn.Module] = []
    for module in modules:
        if type(module) in CHAINS:
            flat += _flatten(module.children())
        elif not isinstance(module, nn.Identity):
            flat.append(module)
    return flat


def _fuse_chain(modules: list[nn.Module], make: MakeConv) -> list[nn.Module]:
    """Fuse modules that run one after the other: each convolution with a norm and a ReLU directly behind it."""
    fused: list[nn.Module] = []
    queue = list(modules)
    while queue:
        module = queue.pop(0)
        if type(module) not in CONVOLUTIONS:
            fused.append(fuse(module, make))
            continue
        assert isinstance(module, nn.Conv3d)
        norm = queue.pop(0) if queue and is_fixed_norm(queue[0]) else None
        rectified = bool(queue) and isinstance(queue[0], nn.ReLU)
        if rectified:
            queue.pop(0)
        fused.append(make(module, norm, rectified))
    return fused


def _fuse_block(block: ResidualBlock, make: MakeConv) -> nn.Module:
    preact, shortcut = fuse(block.preact, make), fuse(block.shortcut, make)
    *branch, last = _fuse_chain(_flatten([block.branch]), make)
    last_adds = block.is_residual and isinstance(block.attention, nn.Identity)
    if last_adds and isinstance(last, FusedLayer) and not last.rectified:
        last.rectified = isinstance(block.act, nn.ReLU)
        takes_preact = block.shortcut_takes_preact
        return FusedBlock(preact, nn.Sequential(*branch), last, shortcut, shortcut_takes_preact=takes_preact)
    block.shortcut, block.branch = shortcut, nn.Sequential(*branch, last)
    setattr(block, "preact", preact)  # noqa: B010 (the attribute has a narrower type)
    block.attention = fuse(block.attention, make)
    return block
