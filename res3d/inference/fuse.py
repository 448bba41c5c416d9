"""A network's layers put together: what runs as convolution, norm, ReLU and sum becomes one layer each."""

from collections.abc import Callable, Iterable
from itertools import pairwise

from torch import Tensor, nn

from res3d.backbone.block import ResidualBlock, Stage
from res3d.backbone.convs import FactoredConv, ReplicatedTimeConv3d
from res3d.backbone.shortcuts import ProjectionShortcut
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
        self.owns_input = False  # whether nobody else needs the input any more, which the sum may then be written over

    def forward(self, x: Tensor, *, owned: bool = False) -> Tensor:
        start: Tensor = self.preact(x)
        residual = self.shortcut(start if self.shortcut_takes_preact else x)
        y = self.branch(start)
        owned = owned or self.owns_input
        overwrite = (owned or residual is not x) and residual is not y  # a kernel still reads what goes in
        summed: Tensor = self.last(y, residual, overwrite=overwrite)
        return summed


class FusedStage(Stage):
    """A stage for inference, whose first block may write over a map that was not handed out."""

    def forward(self, x: Tensor, *, owned: bool = False) -> Tensor:
        for number, module in enumerate(self):
            x = module(x, owned=True) if owned and number == 0 and isinstance(module, FusedBlock) else module(x)
        return x


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
    if isinstance(module, Stage):
        stage = FusedStage(*_fuse_chain(_flatten(module.children()), make))
        for before, block in pairwise(stage):
            if isinstance(block, FusedBlock):  # maps may be handed out between stages, never inside one
                block.owns_input = isinstance(before, FusedBlock)
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
