"""Fusion of a network's layers: each convolution with its norm, ReLU and sum becomes one layer."""

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
MakeConv = Callable[[nn.Conv3d, nn.Module | None, bool], FusedLayer]  # convolution, norm, rectified

CHAINS = (nn.Sequential, FactoredConv, ProjectionShortcut)  # run their children in order, and do nothing else
CONVOLUTIONS = (nn.Conv3d, ReplicatedTimeConv3d)  # other subclasses compute in their own way


class FusedBlock(nn.Module):
    """A residual block whose last convolution adds the shortcut and rectifies the sum.

    Shape: as the ``ResidualBlock`` that it was.
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
        """True if the block may always write the sum over its input, because only this block reads that."""

    def forward(self, x: Tensor, *, overwrite_input: bool = False) -> Tensor:
        start: Tensor = self.preact(x)
        residual = self.shortcut(start if self.shortcut_takes_preact else x)
        y = self.branch(start)
        overwrite_input = overwrite_input or self.overwrites_input
        # The kernel that adds the residual still reads y, so that must be another tensor.
        overwrite = (overwrite_input or residual is not x) and residual is not y
        summed: Tensor = self.last(y, residual, overwrite=overwrite)
        return summed


class FusedStage(nn.Sequential):
    """Inference stage. Its first block may reuse its input buffer where no caller keeps that map.

    Shape: as the ``Stage`` that it was.
    """

    def forward(self, x: Tensor, *, overwrite_input: bool = False) -> Tensor:
        for number, module in enumerate(self):
            first = overwrite_input and number == 0 and isinstance(module, FusedBlock)
            x = module(x, overwrite_input=True) if first else module(x)
        return x


class FusedResNet3d(StagedNetwork):
    """A ``ResNet3d`` for inference: fused stages, which write over the maps that are not returned.

    Args:
        backbone: the network in eval mode; its stages' layers are moved over.
        make: makes a fused layer.
    """

    def __init__(self, backbone: ResNet3d, make: MakeConv) -> None:
        super().__init__(backbone.spec, backbone.out_features)
        for name in backbone.spec.stage_names:
            self.add_module(name, fuse(backbone.stage(name), make))

    def compute_maps(self, x: Tensor, stages: Sequence[str], wanted: Sequence[str]) -> dict[str, Tensor]:
        maps: dict[str, Tensor] = {}
        is_ours = False  # whether x is a map that nobody else reads; what was given is the caller's
        for name in stages:
            if len(maps) == len(wanted):
                break
            before, x = x, self.stage(name)(x, overwrite_input=is_ours)
            is_ours = name not in wanted and x is not before
            if name in wanted:
                maps[name] = x
        return maps


def fuse(module: nn.Module, make: MakeConv) -> nn.Module:
    """``module`` in eval mode with its layers fused, by ``make``; children that are not fused are moved over.

    What stays as it is: norms that depend on the input, and norms that no convolution comes right before (the first of
    a pre-activation block).
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
            if isinstance(block, FusedBlock):  # maps are returned between stages, never inside one
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
    """Modules that run one after the other, each convolution with the norm and ReLU right behind it."""
    fused: list[nn.Module] = []
    rest = list(modules)
    while rest:
        first = rest.pop(0)
        if type(first) not in CONVOLUTIONS:
            fused.append(fuse(first, make))
            continue
        assert isinstance(first, nn.Conv3d)
        norm = rest.pop(0) if rest and is_fixed_norm(rest[0]) else None
        rectified = bool(rest) and isinstance(rest[0], nn.ReLU)
        if rectified:
            rest.pop(0)
        fused.append(make(first, norm, rectified))
    return fused


def _fuse_block(block: ResidualBlock, make: MakeConv) -> nn.Module:
    preact, shortcut = fuse(block.preact, make), fuse(block.shortcut, make)
    *branch, last = _fuse_chain(_flatten([block.branch]), make)
    sums = block.is_residual and isinstance(block.attention, nn.Identity)
    if sums and isinstance(last, FusedLayer) and not last.rectified:
        last.rectified = isinstance(block.act, nn.ReLU)
        takes_preact = block.shortcut_takes_preact
        return FusedBlock(preact, nn.Sequential(*branch), last, shortcut, shortcut_takes_preact=takes_preact)
    block.shortcut, block.branch = shortcut, nn.Sequential(*branch, last)
    setattr(block, "preact", preact)  # noqa: B010 (typed as what the block itself may put there)
    block.attention = fuse(block.attention, make)
    return block
