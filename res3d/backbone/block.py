"""What a spec is built of: conv-norm-act layers, residual blocks, and stages that can be frozen or checkpointed."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from res3d.backbone.parts import NORMS, SHORTCUTS, FactoredConv, Size3, TemporalPadding, full_conv
from res3d.backbone.spec import ONE, BackboneSpec, BlockSpec, ConvPlan, NormSpec, StageSpec


class LayerFactory:
    """Makes the layers of one network: they share its norm and its padding in time."""

    def __init__(self, norm: NormSpec, temporal_padding: TemporalPadding) -> None:
        self.norm_spec = norm
        self.temporal_padding: TemporalPadding = temporal_padding

    def norm(self, channels: int) -> nn.Module:
        return NORMS[self.norm_spec.kind](channels, self.norm_spec.eps, self.norm_spec.momentum)

    def conv(self, plan: ConvPlan) -> nn.Module:
        spec = plan.spec
        if spec.factor == "full":
            return full_conv(
                plan.in_channels,
                plan.out_channels,
                spec.kernel,
                stride=plan.stride,
                dilation=spec.dilation,
                groups=plan.groups,
                temporal_padding=self.temporal_padding,
            )
        return FactoredConv(
            plan.in_channels,
            plan.middle,
            plan.out_channels,
            spec.kernel,
            spatial_first=spec.factor == "2plus1d",
            stride=plan.stride,
            dilation=spec.dilation,
            norm=self.norm,
            temporal_padding=self.temporal_padding,
        )

    def conv_norm_act(self, plan: ConvPlan, *, act: bool = True) -> nn.Sequential:
        """[N, plan.in_channels, T, H, W] -> [N, plan.out_channels, T/t, H/y, W/x]; children conv, norm and act."""
        layer = nn.Sequential()
        layer.add_module("conv", self.conv(plan))
        layer.add_module("norm", self.norm(plan.out_channels))
        if act:
            layer.add_module("act", nn.ReLU(inplace=True))
        return layer


class ResidualBlock(nn.Module):
    """``y = relu(branch(x) + shortcut(x))`` (He et al. 2015).

    Shape: [N, in_channels, T, H, W] -> [N, width * spec.expansion, T/t, H/y, W/x] for stride (t, y, x).
    """

    def __init__(self, spec: BlockSpec, in_channels: int, width: int, *, stride: Size3, layers: LayerFactory) -> None:
        super().__init__()
        self.branch = nn.Sequential()
        plans = spec.plan(in_channels, width, stride)
        for name, plan in zip("abcd", plans, strict=False):
            self.branch.add_module(name, layers.conv_norm_act(plan, act=plan is not plans[-1]))
        out_channels = width * spec.expansion
        self.shortcut: nn.Module = nn.Identity()
        if stride != ONE or in_channels != out_channels:
            self.shortcut = SHORTCUTS[spec.shortcut](in_channels, out_channels, stride, layers.norm)
        self.act = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.branch(x)
        y += self.shortcut(x)
        activated: Tensor = self.act(y)
        return activated


class Stage(nn.Sequential):
    """Modules in a row that are frozen together and, if asked, recomputed in the backward pass.

    Frozen: no gradient into or through it, norm statistics fixed, no graph kept; ``train()`` does not undo it.
    Checkpointed: its inner activations are not kept for the backward pass but computed again (Chen et al. 2016).
    """

    def __init__(self, *modules: nn.Module) -> None:
        super().__init__(*modules)
        self.frozen = False
        self.checkpointed = False

    def freeze(self, frozen: bool) -> None:
        """Freeze or unfreeze; either way gradients start anew."""
        self.frozen = frozen
        for parameter in self.parameters():
            parameter.requires_grad_(not frozen)
            if frozen:
                parameter.grad = None  # an optimizer would still step along a gradient left from before

    def train(self, mode: bool = True) -> "Stage":
        super().train(mode and not self.frozen)
        return self

    def forward(self, x: Tensor) -> Tensor:
        if self.frozen:
            with torch.no_grad():
                return self._run(x)
        if self.checkpointed and torch.is_grad_enabled():
            recomputed: Tensor = self._run_checkpointed(x)
            return recomputed
        return self._run(x)

    @torch.compiler.disable  # type: ignore[untyped-decorator]  # torch.compile takes no context function
    def _run_checkpointed(self, x: Tensor) -> Tensor:
        kept: Tensor = checkpoint(self._run, x, use_reentrant=False, context_fn=self._checkpoint_contexts)
        return kept

    def _run(self, x: Tensor) -> Tensor:
        for module in self:
            x = module(x)
        return x

    def _checkpoint_contexts(self) -> tuple[Any, Any]:
        return nullcontext(), self._spare_statistics()

    @contextmanager
    def _spare_statistics(self) -> Iterator[None]:
        """While recomputing, norms update copies of their running statistics: the first run has updated them."""
        kept = [(module, dict(module._buffers)) for module in self.modules() if isinstance(module, _BatchNorm)]
        for module, buffers in kept:
            module._buffers.update({name: None if b is None else b.clone() for name, b in buffers.items()})
        try:
            yield
        finally:
            for module, buffers in kept:
                module._buffers.update(buffers)

    def extra_repr(self) -> str:
        return ", ".join(word for word, on in [("frozen", self.frozen), ("checkpointed", self.checkpointed)] if on)


def build_stem(spec: BackboneSpec, layers: LayerFactory) -> Stage:
    """[N, spec.in_channels, T, H, W] -> [N, spec.stem.width, T/t, H/y, W/x]; children conv, norm and act."""
    stem = Stage()
    for name, module in layers.conv_norm_act(spec.stem.plan(spec.in_channels)).named_children():
        stem.add_module(name, module)
    return stem


def build_stage(spec: StageSpec, in_channels: int, layers: LayerFactory) -> Stage:
    """[N, in_channels, T, H, W] -> [N, spec.out_channels, T/t, H/y, W/x]; children pool (if any), 0, 1, ..."""
    stage = Stage()
    if spec.pool:
        stage.add_module("pool", nn.MaxPool3d(spec.pool.kernel, spec.pool.stride, spec.pool.padding))
    channels = in_channels
    for index, (block, stride) in enumerate(spec.steps()):
        stage.add_module(str(index), ResidualBlock(block, channels, spec.width, stride=stride, layers=layers))
        channels = spec.out_channels
    return stage
