"""Modules of a network: conv-norm-act layers, residual blocks, and stages that can be frozen or checkpointed."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from res3d.backbone.attention import ATTENTIONS
from res3d.backbone.block_spec import BlockSpec, ConvPlan
from res3d.backbone.convs import FACTORINGS, FactoredConv, Size3, TemporalPadding, full_conv
from res3d.backbone.norms import NORMS
from res3d.backbone.shortcuts import SHORTCUTS
from res3d.backbone.spec import BackboneSpec, NormSpec, PoolSpec, StageSpec


class LayerFactory:
    """Builds the layers of one network, which share the kind of norm and the temporal padding."""

    def __init__(self, norm: NormSpec, temporal_padding: TemporalPadding) -> None:
        self.norm_spec = norm
        self.temporal_padding: TemporalPadding = temporal_padding

    def norm(self, channels: int) -> nn.Module:
        """Return a norm of ``channels`` channels."""
        return NORMS[self.norm_spec.kind](channels, self.norm_spec.eps, self.norm_spec.momentum)

    def conv(self, plan: ConvPlan) -> nn.Module:
        """Return the convolution that ``plan`` describes, full or factored."""
        spec = plan.spec
        if spec.factor == "full":
            return full_conv(
                plan.in_channels,
                plan.out_channels,
                spec.kernel,
                stride=plan.stride,
                padding=spec.pads,
                dilation=spec.dilation,
                groups=plan.groups,
                bias=spec.bias,
                temporal_padding=self.temporal_padding,
            )
        return FactoredConv(
            FACTORINGS[spec.factor],
            plan.in_channels,
            plan.middle,
            plan.out_channels,
            spec.kernel,
            stride=plan.stride,
            padding=spec.pads,
            dilation=spec.dilation,
            bias=spec.bias,
            norm=self.norm,
            temporal_padding=self.temporal_padding,
        )

    def norm_act(self, channels: int) -> dict[str, nn.Module]:
        """Return a norm and a ReLU under their child names, ``norm`` and ``act``."""
        return {"norm": self.norm(channels), "act": nn.ReLU(inplace=True)}


def _sequence(*parts: dict[str, nn.Module]) -> nn.Sequential:
    """Join modules into one sequence, as children under their names."""
    sequence = nn.Sequential()
    for part in parts:
        for name, module in part.items():
            sequence.add_module(name, module)
    return sequence


class ResidualBlock(nn.Module):
    """Residual block: ``y = relu(branch(x) + shortcut(x))`` (He et al. 2015).

    A pre-activation block (He et al. 2016) applies norm and ReLU to ``x`` first, and no ReLU to the sum.

    Children: ``preact`` (norm and act; the identity unless the block is a pre-activation block), ``branch`` (a, b, ...
    each with conv, norm and act in the block's order), ``attention``, ``shortcut``, ``act``.

    Shape: [N, in_channels, T, H, W] -> [N, width * spec.expansion, T/t, H/y, W/x] for stride (t, y, x).
    """

    def __init__(self, spec: BlockSpec, in_channels: int, width: int, *, stride: Size3, layers: LayerFactory) -> None:
        super().__init__()
        plans = spec.plan(in_channels, width, stride)
        is_pre = spec.order == "pre"
        self.preact = _sequence(layers.norm_act(in_channels)) if is_pre else nn.Identity()
        self.branch = nn.Sequential()
        for name, plan in zip("abcd", plans, strict=False):
            conv = {"conv": layers.conv(plan)}
            if is_pre:
                layer = _sequence({} if plan is plans[0] else layers.norm_act(plan.in_channels), conv)
            else:
                layer = _sequence(conv, layers.norm_act(plan.out_channels))
                if plan is plans[-1]:
                    del layer.act  # the last ReLU follows the sum
            self.branch.add_module(name, layer)
        self.attention = ATTENTIONS[spec.attention](width * spec.expansion)
        self.is_residual = spec.is_residual
        self.shortcut: nn.Module = nn.Identity()
        shortcut = spec.plan_shortcut(in_channels, width, stride)
        if shortcut:
            self.shortcut = SHORTCUTS[spec.shortcut.kind].make(shortcut, layers.norm, layers.temporal_padding)
        self.shortcut_takes_preact = shortcut is not None and spec.shortcut.source == "preact"
        self.act = nn.ReLU(inplace=True) if spec.last_act and not is_pre else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        start = self.preact(x)
        y: Tensor = self.attention(self.branch(start))
        if self.is_residual:
            y += self.shortcut(start if self.shortcut_takes_preact else x)
        activated: Tensor = self.act(y)
        return activated


class ZeroPaddedMaxPool3d(nn.MaxPool3d):
    """Max pooling with zero padding, as in Keras; ``nn.MaxPool3d`` pads with minus infinity.

    Shape: [N, C, T, H, W] -> [N, C, T', H', W'], as ``nn.MaxPool3d`` with the same padding.
    """

    def __init__(self, kernel: Size3, stride: Size3, padding: Size3) -> None:
        super().__init__(kernel, stride, padding)
        t, y, x = padding
        self.border = (x, x, y, y, t, t)

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool3d(F.pad(x, self.border), self.kernel_size, self.stride)


def build_pool(spec: PoolSpec) -> nn.Module:
    """Return the max pool that ``spec`` describes."""
    pool_class = ZeroPaddedMaxPool3d if spec.border == "zeros" else nn.MaxPool3d
    return pool_class(spec.kernel, spec.stride, spec.padding)


class Stage(nn.Sequential):
    """A sequence of modules that are frozen or checkpointed together.

    A frozen stage gets no gradient and passes none on, has fixed norm statistics and builds no graph; ``train()`` does
    not change that. A checkpointed stage does not store its inner activations for the backward pass, but computes them
    again (Chen et al. 2016).
    """

    def __init__(self, *modules: nn.Module) -> None:
        super().__init__(*modules)
        self.frozen = False
        self.checkpointed = False

    def freeze(self, frozen: bool) -> None:
        """Freeze or unfreeze the stage. Freezing deletes the gradients of its parameters."""
        self.frozen = frozen
        for parameter in self.parameters():
            parameter.requires_grad_(not frozen)
            if frozen:
                parameter.grad = None  # an optimizer would still apply the gradient of an earlier step

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

    @torch.compiler.disable  # type: ignore[untyped-decorator]  # torch.compile does not support context_fn
    def _run_checkpointed(self, x: Tensor) -> Tensor:
        output: Tensor = checkpoint(self._run, x, use_reentrant=False, context_fn=self._checkpoint_contexts)
        return output

    def _run(self, x: Tensor) -> Tensor:
        for module in self:
            x = module(x)
        return x

    def _checkpoint_contexts(self) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), self._preserve_statistics()

    @contextmanager
    def _preserve_statistics(self) -> Iterator[None]:
        """Let norms update copies of their running statistics: the first forward pass has updated the originals."""
        norms = [(module, dict(module._buffers)) for module in self.modules() if isinstance(module, _BatchNorm)]
        for module, buffers in norms:
            module._buffers.update({name: None if b is None else b.clone() for name, b in buffers.items()})
        try:
            yield
        finally:
            for module, buffers in norms:
                module._buffers.update(buffers)

    def extra_repr(self) -> str:
        flags = [("frozen", self.frozen), ("checkpointed", self.checkpointed)]
        return ", ".join(name for name, is_set in flags if is_set)


def build_stem(spec: BackboneSpec, layers: LayerFactory) -> Stage:
    """Build the stem. Its children are conv, and norm and act if the stem has a norm.

    Shape: [N, spec.in_channels, T, H, W] -> [N, spec.stem.width, T/t, H/y, W/x] for stride (t, y, x).
    """
    stem = Stage()
    plan = spec.stem.plan(spec.in_channels)
    parts = {"conv": layers.conv(plan), **(layers.norm_act(plan.out_channels) if spec.stem.norm else {})}
    for name, module in parts.items():
        stem.add_module(name, module)
    return stem


def build_stage(spec: StageSpec, in_channels: int, layers: LayerFactory, *, final_norm: bool = False) -> Stage:
    """Build a stage.

    Its children are pool (if the stage has one), the blocks 0, 1, ..., and with ``final_norm`` norm and act.

    Shape: [N, in_channels, T, H, W] -> [N, spec.out_channels, T/t, H/y, W/x] for stride (t, y, x) of pool and stage.
    """
    stage = Stage()
    if spec.pool:
        stage.add_module("pool", build_pool(spec.pool))
    channels = in_channels
    for index, (block, stride) in enumerate(spec.steps()):
        stage.add_module(str(index), ResidualBlock(block, channels, spec.width, stride=stride, layers=layers))
        channels = spec.out_channels
    for name, module in (layers.norm_act(channels) if final_norm else {}).items():
        stage.add_module(name, module)
    return stage
