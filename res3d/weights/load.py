"""Weights of any origin into a model that exists: worked out as a whole first, so a refused file changes nothing."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn

from res3d.backbone import BackboneSpec, BlockSpec
from res3d.weights.download import fetch_weights
from res3d.weights.inflation import (
    CHANNELS,
    INFLATIONS,
    Channels,
    Inflation,
    MiddleTooNarrowError,
    change_channels,
    factor_spatial_first,
    factor_temporal_first,
    inflate_kernel,
)
from res3d.weights.kinds import ModelKind, kind_of, kind_of_file
from res3d.weights.layouts import IGNORED, Layout, recognise
from res3d.weights.reading import read_checkpoint, unwrap
from res3d.weights.registry import find_weights, is_registered
from res3d.weights.report import LoadReport, WeightsError

STATISTICS = ("running_mean", "running_var")
COUNTER = "num_batches_tracked"
FIRST_CONVS = ("stem.conv.weight", "stem.conv.spatial.weight")  # what takes the input's channels


def load_weights(
    model: nn.Module,
    source: str | Path | Mapping[str, Tensor],
    *,
    inflate: Inflation = "center",
    strict: bool = True,
    norm_eps: float | None = None,
    channels: Channels = "keep",
) -> LoadReport:
    """Copy weights into ``model``, all or nothing.

    The origin of a checkpoint is recognised from its keys (``res3d.weights.layouts``). Kernels of images are inflated
    to the model's temporal size; plain convolutions enter factored (2+1)D ones so that the network computes the same.

    Args:
        model: a backbone, classifier or detector. What a checkpoint has of other heads, and of stages beyond the body,
            is left aside.
        source: a registered name (``list_weights()``), a file, or a state dict with anyone's names.
        inflate: how a 2D kernel becomes a 3D one, see ``inflate_kernel``.
        strict: refuse missing and unexpected tensors.
        norm_eps: sets the eps of the model's norms; a checkpoint does not say what it was trained with.
        channels: what to do with the first convolution's input channels, see ``change_channels``; BGR weights
            (Detectron's) are not turned unless ``"reverse"`` asks for it, and the report says that they are BGR.

    Raises:
        FileNotFoundError: no such file.
        WeightsError: an unreadable file, unknown names, a tensor of another shape, strides in another place, or
            (strict) missing or unexpected tensors.
        ValueError: an unknown ``inflate`` or ``channels``, or a negative ``norm_eps``.
    """
    if inflate not in INFLATIONS:
        raise ValueError(f"inflate must be one of {', '.join(map(repr, INFLATIONS))}, not {inflate!r}")
    if channels not in CHANNELS:
        raise ValueError(f"channels must be one of {', '.join(map(repr, CHANNELS))}, not {channels!r}")
    if norm_eps is not None and not norm_eps >= 0:
        raise ValueError(f"norm_eps must be ≥ 0, not {norm_eps!r}")
    kind = kind_of(model)
    origin = read_source(source)
    norm_eps = origin.norm_eps if norm_eps is None else norm_eps
    spec = kind.backbone_spec(model)
    try:
        layout = recognise(origin.tensors, kind.layouts)
        saved = _saved_spec(origin.metadata)
        _check_order(layout, spec)
        _check_strides(layout, saved, spec)
        if saved is not None:
            _check_saved(saved, spec, norm_eps)
            described = json.loads(origin.metadata or "{}")
            if described["kind"] == kind.name:
                kind.check_saved(model, described)
        eps = spec.norm.eps if norm_eps is None else norm_eps
        plan = _Plan(model, kind, layout, origin.tensors, eps=eps, inflate=inflate, channels=channels)
        plan.fill()
    except ValueError as error:
        raise WeightsError(f"{origin.name}: {error}") from None
    if strict and (plan.missing or plan.unexpected):
        kinds = [("missing", plan.missing), ("unexpected", plan.unexpected)]
        what = "; ".join(f"{len(keys)} {kind}, first {keys[0]!r}" for kind, keys in kinds if keys)
        raise WeightsError(f"{origin.name}: {layout.name} weights, but not of this {spec.name} ({what})")
    with torch.no_grad():
        for key, tensor in plan.filled.items():
            plan.own[key].copy_(tensor)
    if norm_eps is not None:
        kind.set_norm_eps(model, norm_eps)
    return plan.report(origin.name)


class Origin(NamedTuple):
    """What ``source`` names."""

    name: str
    tensors: Mapping[str, Tensor]
    metadata: str | None = None  # of a file that res3d wrote
    norm_eps: float | None = None  # where it is known


def read_source(source: str | Path | Mapping[str, Tensor]) -> Origin:
    """The tensors of a registered name, a file, or a state dict.

    Raises:
        FileNotFoundError: no such file.
        WeightsError: an unreadable file.
    """
    if isinstance(source, Mapping):
        return Origin("a state dict", unwrap(source))
    if is_registered(source):
        entry = find_weights(str(source))
        return Origin(entry.name, *read_checkpoint(fetch_weights(entry)), entry.norm_eps)
    return Origin(str(source), *read_checkpoint(source))


class _Theirs(NamedTuple):
    key: str
    tensor: Tensor


@dataclass
class _Plan:
    """What goes where. Names are the model's, less the prefixes of its kind; ``report`` puts them back."""

    model: nn.Module
    kind: ModelKind
    layout: Layout
    tensors: Mapping[str, Tensor]
    eps: float
    inflate: Inflation
    channels: Channels
    own: dict[str, Tensor] = field(default_factory=dict)
    filled: dict[str, Tensor] = field(default_factory=dict)
    loaded: list[str] = field(default_factory=list)
    inflated: list[str] = field(default_factory=list)
    initialized: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._full = {self._short(key): key for key in self.model.state_dict()}
        self.own = {self._short(key): tensor for key, tensor in self.model.state_dict().items()}
        self._theirs: dict[str, _Theirs] = {}
        self._modules = {self._short(name): module for name, module in self.model.named_modules()}

    def _short(self, key: str) -> str:
        for prefix in self.kind.prefixes:
            key = key.removeprefix(prefix)
        return key

    def fill(self) -> None:
        """Work out every tensor of the model, and account for every one of the checkpoint."""
        self._rename()
        used: set[str] = set()
        for layer in self._factored_layers():
            used |= self._fill_factored(layer)
        for ours, mine in self.own.items():
            if ours in self.filled:
                continue
            source = self._source_of(ours)
            if theirs := self._theirs.get(source):
                used.add(source)
                self._fill_one(ours, mine, theirs)
            elif (
                self.layout.affine_norm and self._sibling(ours, "weight") in self._theirs and ours.endswith(STATISTICS)
            ):
                self._initialize(ours, self._identity(ours))
            elif ours in self.layout.neutral:
                self._initialize(ours, torch.full(mine.shape, self.layout.neutral[ours]))
            elif not ours.endswith(COUNTER):
                self.missing.append(ours)
        stages = {key.split(".")[0] for key in self.own}
        for ours, theirs in self._theirs.items():
            if ours not in used:
                spare = ours.split(".")[0] not in stages or ours.endswith(COUNTER)
                (self.ignored if spare else self.unexpected).append(theirs.key)

    def report(self, source: str) -> LoadReport:
        def full(names: list[str]) -> tuple[str, ...]:
            return tuple(self._full[name] for name in names)

        return LoadReport(
            source=source,
            layout=self.layout.name,
            channel_order=self.layout.channel_order,
            norm_eps=self.eps,
            loaded=full(self.loaded),
            inflated=full(self.inflated),
            initialized=full(self.initialized),
            missing=full(self.missing),
            unexpected=tuple(self.unexpected),
            ignored=tuple(self.ignored),
        )

    def _rename(self) -> None:
        for key, tensor in self.tensors.items():
            ours = self.layout.rename(key)
            if ours is None:
                self.unexpected.append(key)
            elif ours == IGNORED:
                self.ignored.append(key)
            elif ours in self._theirs:
                raise WeightsError(f"{self._theirs[ours].key} and {key} both mean {ours}")
            else:
                self._theirs[ours] = _Theirs(key, tensor)

    def _source_of(self, ours: str) -> str:
        """Which tensor fills ``ours``: its namesake, but for the final norm of a pre-activation body that ends early.

        There it is the first norm of the block that came next, which normalised the same map.
        """
        last = self.kind.backbone_spec(self.model).stage_names[-1]
        if ours in self._theirs or not ours.startswith(f"{last}.norm."):
            return ours
        following = f"conv{int(last.removeprefix('conv')) + 1}"
        return ours.replace(f"{last}.norm.", f"{following}.0.preact.norm.")

    def _fill_one(self, ours: str, mine: Tensor, theirs: _Theirs) -> None:
        tensor, changed = theirs.tensor, False
        if ours in FIRST_CONVS and self.channels != "keep":
            tensor, changed = change_channels(tensor, mine.shape[1], self.channels), True
        if mine.dim() == 5 and tensor.dim() == 2 and tensor.numel() * mine.shape[2] == mine.numel():
            tensor = tensor.reshape(*mine.shape[:2], *mine.shape[3:])  # a linear layer over all places of a window
        if mine.dim() == 5 and _frames(tensor) == 1 and (tensor.dim() == 4 or mine.shape[2] > 1):
            image = _as_image(tensor)
            self._check_shape(ours, mine, theirs.key, image, ignore_frames=True)
            tensor, changed = inflate_kernel(image, mine.shape[2], self.inflate), True
        elif ours.startswith("fc.") and tensor.dim() == 5 and tensor.shape[2:] == (1, 1, 1):
            tensor = tensor[:, :, 0, 0, 0]
        self._check_shape(ours, mine, theirs.key, tensor)
        self.filled[ours] = tensor
        (self.inflated if changed else self.loaded).append(ours)

    def _check_shape(self, ours: str, mine: Tensor, key: str, tensor: Tensor, *, ignore_frames: bool = False) -> None:
        wanted = tuple(mine.shape)
        compared = (*wanted[:2], *wanted[3:]) if ignore_frames else wanted
        if tuple(tensor.shape) == compared:
            return
        depthwise = len(wanted) == 5 and wanted[1] == 1 < tensor.shape[1] and wanted[0] == tensor.shape[0]
        why = ": a dense kernel cannot enter a depthwise convolution" if depthwise else ""
        raise WeightsError(f"{key} is {tuple(tensor.shape)}, the model's {ours} {wanted}{why}")

    def _factored_layers(self) -> list[str]:
        """Layers that are factored in the model and plain in the checkpoint, like ``conv2.0.branch.a``."""
        ends = ".conv.spatial.weight"
        layers = [key.removesuffix(ends) for key in self.own if key.endswith(ends)]
        return [layer for layer in layers if f"{layer}.conv.weight" in self._theirs]

    def _fill_factored(self, layer: str) -> set[str]:
        """The two factors and two norms of a layer from a plain convolution and its norm; returns what was used."""
        theirs = self._theirs[f"{layer}.conv.weight"]
        spatial, temporal = self.own[f"{layer}.conv.spatial.weight"], self.own[f"{layer}.conv.temporal.weight"]
        kernel = theirs.tensor
        if layer == "stem" and self.channels != "keep":
            kernel = change_channels(kernel, spatial.shape[1], self.channels)
        if _frames(kernel) != 1:
            raise WeightsError(
                f"{theirs.key} spans {_frames(kernel)} frames, which no (2+1)D convolution can take over"
            )
        kernel = _as_image(kernel).float()
        if f"{layer}.norm.running_mean" not in self.own:
            raise WeightsError(f"{theirs.key} can enter a (2+1)D convolution only if the model has batch norm")
        outer = {leaf: self._theirs[f"{layer}.norm.{leaf}"].tensor.float() for leaf in self._norm_leaves(layer)}
        spatial_first = next(self._modules[f"{layer}.conv"].named_children())[0] == "spatial"
        signed = layer != "stem" and self._is_last_of_branch(layer)
        if layer == "stem" and not spatial_first:
            raise WeightsError(
                f"{theirs.key} cannot enter a stem whose temporal factor comes first: its input is signed"
            )
        out, channels = (temporal, spatial) if spatial_first else (spatial, temporal)
        plain = spatial.new_empty((out.shape[0], channels.shape[1], 1, *spatial.shape[3:]))
        self._check_shape(f"{layer}.conv", plain, theirs.key, kernel, ignore_frames=True)
        try:
            if spatial_first:
                first, second = factor_spatial_first(kernel, spatial.shape[0], temporal.shape[2], signed=signed)
                self._put_kernels(layer, spatial=first, temporal=second)
                self._put_norm(f"{layer}.conv.norm", outer, copies=2 if signed else 1)
                self._put_norm(f"{layer}.norm", {})
            else:
                first, second = factor_temporal_first(kernel, temporal.shape[0], temporal.shape[2])
                self._put_kernels(layer, temporal=first, spatial=second)
                self._put_norm(f"{layer}.conv.norm", {})
                self._put_norm(f"{layer}.norm", outer)
        except MiddleTooNarrowError as error:
            hint = "middle='2x' makes the model wide enough"
            raise WeightsError(f"{theirs.key} cannot enter the (2+1)D convolution {layer}: {error} ({hint})") from None
        return {f"{layer}.conv.weight", *(f"{layer}.norm.{leaf}" for leaf in self._norm_leaves(layer))}

    def _norm_leaves(self, layer: str) -> list[str]:
        return [leaf for leaf in ("weight", "bias", *STATISTICS) if f"{layer}.norm.{leaf}" in self._theirs]

    def _is_last_of_branch(self, layer: str) -> bool:
        branch, name = layer.rsplit(".", 1)
        last: str = [child for child, _ in self._modules[branch].named_children()][-1]
        return last == name

    def _put_kernels(self, layer: str, *, spatial: Tensor, temporal: Tensor) -> None:
        for factor, kernel in (("spatial", spatial), ("temporal", temporal)):
            self.filled[f"{layer}.conv.{factor}.weight"] = kernel
            self.inflated.append(f"{layer}.conv.{factor}.weight")

    def _put_norm(self, norm: str, values: Mapping[str, Tensor], copies: int = 1) -> None:
        """A norm with ``values`` in its first channels, negated in as many more for 2 copies, else the identity."""
        for leaf in ("weight", "bias", *STATISTICS):
            ours = f"{norm}.{leaf}"
            filled = self._identity(ours)
            if leaf in values:
                size = len(values[leaf])
                filled[:size] = values[leaf]
                if copies == 2:
                    filled[size : 2 * size] = values[leaf] if leaf in ("weight", "running_var") else -values[leaf]
            self._initialize(ours, filled)

    def _identity(self, ours: str) -> Tensor:
        """The value at which a norm lets everything through: variance and eps make one."""
        value = {"weight": 1.0, "bias": 0.0, "running_mean": 0.0, "running_var": 1.0 - self.eps}[ours.rsplit(".", 1)[1]]
        return torch.full(self.own[ours].shape, value)

    def _initialize(self, ours: str, tensor: Tensor) -> None:
        self.filled[ours] = tensor
        self.initialized.append(ours)

    @staticmethod
    def _sibling(ours: str, leaf: str) -> str:
        return f"{ours.rsplit('.', 1)[0]}.{leaf}"


def _frames(kernel: Tensor) -> int:
    """How many frames a convolution's kernel spans; 0 for anything else."""
    if kernel.dim() == 5:
        return kernel.shape[2]
    return 1 if kernel.dim() == 4 else 0


def _as_image(kernel: Tensor) -> Tensor:
    return kernel if kernel.dim() == 4 else kernel[:, :, 0]


def _saved_spec(metadata: str | None) -> BackboneSpec | None:
    """The backbone that a res3d file's tensors belong to."""
    if metadata is None:
        return None
    kind, described = kind_of_file(metadata)
    return kind.saved_spec(described)


def _check_saved(saved: BackboneSpec, spec: BackboneSpec, norm_eps: float | None) -> None:
    """Refuse a res3d file whose model computes something else with the same tensors."""
    if norm_eps is None and saved.norm.eps != spec.norm.eps:
        raise WeightsError(
            f"was saved with norm eps {saved.norm.eps:g}, and the model's is {spec.norm.eps:g} "
            f"(norm_eps={saved.norm.eps:g} sets it)"
        )
    if saved.temporal_padding != spec.temporal_padding:
        raise WeightsError(f"was saved with temporal_padding={saved.temporal_padding!r}, not {spec.temporal_padding!r}")
    for name, theirs, ours in zip(spec.stage_names[1:], saved.stages, spec.stages, strict=False):
        _check_same(name, {s: (getattr(theirs, s), getattr(ours, s)) for s in ("pool", "stride_at")})
        for index, (their, our) in enumerate(zip(theirs.blocks, ours.blocks, strict=False)):
            pairs = {s: (getattr(their, s), getattr(our, s)) for s in ("order", "last_act")}
            pairs |= {"shortcut": (their.shortcut.kind, our.shortcut.kind)}
            pairs |= {
                f"shortcut {s}": (getattr(their.shortcut, s), getattr(our.shortcut, s)) for s in ("kernel", "source")
            }
            _check_same(f"{name}.{index}", pairs)


def _check_same(where: str, settings: Mapping[str, tuple[object, object]]) -> None:
    for setting, (saved, wanted) in settings.items():
        if saved != wanted:
            raise WeightsError(f"was saved with {setting}={saved!r} in {where}, not {wanted!r}")


def _check_order(layout: Layout, spec: BackboneSpec) -> None:
    """Refuse the weights of other libraries' networks, whose blocks all end in a ReLU, for pre-activation blocks."""
    if layout.order and any(block.order != layout.order for stage in spec.stages for block in stage.blocks):
        raise WeightsError(
            f"these {layout.name} weights belong to blocks of order {layout.order!r} (conv, norm, ReLU), and those of "
            f"{spec.name} are pre-activation blocks"
        )


def _check_strides(layout: Layout, saved: BackboneSpec | None, spec: BackboneSpec) -> None:
    """Refuse weights whose bottlenecks stride elsewhere: the shapes are the same, the function is not."""
    theirs: str | None = layout.stride_on
    if saved is not None:
        theirs = next((block.stride_on for block in _strided_bottlenecks(saved)), None)
    for block in _strided_bottlenecks(spec):
        if theirs is not None and block.stride_on != theirs:
            raise WeightsError(
                f"these {layout.name} weights belong to bottlenecks that stride on the {theirs} convolution, and the "
                f"model's stride on the {block.stride_on} (stride_on={theirs!r} makes it fit)"
            )


def _strided_bottlenecks(spec: BackboneSpec) -> list[BlockSpec]:
    return [
        block
        for stage in spec.stages
        for block, stride in stage.steps()
        if max(stride[1:]) > 1 and len(block.convs) > 2 and max(block.convs[0].kernel[1:]) == 1
    ]
