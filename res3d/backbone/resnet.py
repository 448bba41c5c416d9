"""``ResNet3d``: the one network that every spec builds."""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from res3d.backbone.block import LayerFactory, Stage, build_stage, build_stem
from res3d.backbone.spec import BackboneSpec, FeatureInfo, stage_hint, with_norm_eps


class StagedNetwork(nn.Module):
    """The stages of a spec, which run one after the other, as children under their names.

    Shape: [N, C, T, H, W] float -> {"conv5": [N, 512, T/t, H/y, W/x], ...}; ``feature_info`` says channels and strides.

    Args:
        spec: the architecture.
        out_features: stages whose maps are returned, in this order.

    Raises:
        ValueError: a stage name that the spec does not have.
    """

    def __init__(self, spec: BackboneSpec, out_features: Sequence[str]) -> None:
        super().__init__()
        self.spec = spec
        self.out_features = _check_stages("out_features", out_features, spec)

    @property
    def feature_info(self) -> dict[str, FeatureInfo]:
        """Channels and (t, y, x) stride of every stage's map."""
        return self.spec.feature_info

    def stage(self, name: str) -> nn.Module:
        """The module of one stage."""
        stage: nn.Module = getattr(self, name)
        return stage

    def dense_parts(self) -> Iterable[nn.Module]:
        """The modules that compute maps from whole clips, whatever the clips show: this network is one of them."""
        return (self,)

    def forward(self, clip: Tensor) -> dict[str, Tensor]:
        """Maps of the stages in ``out_features``; stages after the last of them are not run.

        Args:
            clip: [N, C, T, H, W].

        Raises:
            ValueError: a tensor that is no such clip, or a clip that is too small.
        """
        check_clip(clip, self.spec)
        maps = self.compute_maps(clip, self.spec.stage_names, self.out_features)
        return {name: maps[name] for name in self.out_features}

    def resume(self, maps: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The maps that ``forward`` gives, computed from those of leading stages (see ``leading_maps``).

        Args:
            maps: [N, C', T', H', W'] by stage: the last stage that was run, and those before it whose maps come out.

        Raises:
            ValueError: no map, an unknown stage, another number of channels, or a map that comes out and is missing.
        """
        last, rest = self._split_stages(maps)
        for name in self.out_features:
            if name not in maps and name not in rest:
                raise ValueError(f"maps must hold {name} too: it comes out, and lies before {last}")
        computed = self.compute_maps(maps[last], rest, [name for name in self.out_features if name not in maps])
        return {name: maps[name] if name in maps else computed[name] for name in self.out_features}

    def last_map(self, maps: Mapping[str, Tensor]) -> Tensor:
        """The map of the network's last stage, computed from the deepest one of ``maps``.

        Raises:
            ValueError: no map, an unknown stage, or another number of channels.
        """
        last, rest = self._split_stages(maps)
        return self.run_stages(maps[last], rest)

    def compute_maps(self, x: Tensor, stages: Sequence[str], wanted: Sequence[str]) -> dict[str, Tensor]:
        """Maps of ``wanted`` among ``stages``, which follow each other; ``x`` is the map before them, or a clip."""
        maps: dict[str, Tensor] = {}
        for name in stages:
            if len(maps) == len(wanted):
                break
            x = self.stage(name)(x)
            if name in wanted:
                maps[name] = x
        return maps

    def run_stages(self, x: Tensor, stages: Sequence[str]) -> Tensor:
        """The map after ``stages``, which follow each other; ``x`` is the map before them, or a clip."""
        return self.compute_maps(x, stages, stages[-1:])[stages[-1]] if stages else x

    def _split_stages(self, maps: Mapping[str, Tensor]) -> tuple[str, tuple[str, ...]]:
        """The deepest stage of ``maps``, and the stages behind it."""
        if not maps:
            raise ValueError(f"maps must hold the map of a stage of {self.spec.name}, and are empty")
        _check_stages("maps", list(maps), self.spec)
        for name, x in maps.items():
            channels = self.feature_info[name].channels
            if x.dim() != 5 or x.shape[1] != channels:
                raise ValueError(f"the map of {name} must be [N, {channels}, T, H, W], not {list(x.shape)}")
        names = self.spec.stage_names
        last = max(maps, key=names.index)
        return last, names[names.index(last) + 1 :]


class ResNet3d(StagedNetwork):
    """A residual backbone over clips: feature maps by stage name.

    Shape: [N, C, T, H, W] float -> {"conv5": [N, 512, T/t, H/y, W/x], ...}; ``feature_info`` says channels and strides.

    Args:
        spec: the architecture.
        out_features: stages whose maps are returned, in this order; by default the last one.
        freeze_at: how many leading stages are frozen, see ``freeze``.
        checkpoint_stages: stages whose inner activations are recomputed in the backward pass to save memory.

    Raises:
        ValueError: a stage name that the spec does not have, or a ``freeze_at`` out of range.
    """

    def __init__(
        self,
        spec: BackboneSpec,
        *,
        out_features: Sequence[str] | None = None,
        freeze_at: int = 0,
        checkpoint_stages: Sequence[str] = (),
    ) -> None:
        super().__init__(spec, spec.stage_names[-1:] if out_features is None else out_features)
        layers = LayerFactory(spec.norm, spec.temporal_padding)
        self.stem = build_stem(spec, layers)
        channels = spec.stem.width
        for name, stage in zip(spec.stage_names[1:], spec.stages, strict=True):
            is_last = name == spec.stage_names[-1]
            self.add_module(name, build_stage(stage, channels, layers, final_norm=spec.final_norm and is_last))
            channels = stage.out_channels
        for name in _check_stages("checkpoint_stages", checkpoint_stages, spec, may_be_empty=True):
            self.stage(name).checkpointed = True
        initialize(self)
        self.freeze(freeze_at)

    @property
    def frozen_stages(self) -> tuple[str, ...]:
        """The names of the stages that are frozen now."""
        return tuple(name for name in self.spec.stage_names if self.stage(name).frozen)

    def stage(self, name: str) -> Stage:
        """The module of one stage."""
        stage = getattr(self, name)
        assert isinstance(stage, Stage)
        return stage

    def freeze(self, at: int) -> None:
        """Freeze exactly the first ``at`` stages: 0 none, 1 stem, 2 stem and conv2, ... 5 all (Detectron's numbering).

        A frozen stage gets no gradient and passes none on, keeps its norm statistics, builds no graph, and stays so
        through ``train()``. A lower number than before unfreezes; one beyond the body freezes all of it.

        Raises:
            ValueError: ``at`` is not one of 0 to 5.
        """
        if not isinstance(at, int) or isinstance(at, bool) or not 0 <= at <= 5:
            raise ValueError(f"freeze_at must be one of 0 (nothing) to 5 (everything), not {at!r}")
        for depth, name in enumerate(self.spec.stage_names):
            stage = self.stage(name)
            stage.freeze(depth < at)
            stage.train(self.training)

    def set_norm_eps(self, eps: float) -> None:
        """Give every norm this eps, in the spec too."""
        set_module_eps(self, eps)
        self.spec = with_norm_eps(self.spec, eps)

    @torch.no_grad()
    def leading_maps(self, clip: Tensor, stages: int) -> dict[str, Tensor]:
        """Maps of the first ``stages`` (as ``freeze`` counts them) for ``resume``: those that come out, and the last.

        Frozen stages always give the same maps for a clip, which are worth keeping.
        """
        check_clip(clip, self.spec)
        names = self.spec.stage_names[:stages]
        return self.compute_maps(
            clip, names, [name for name in names if name in self.out_features or name == names[-1]]
        )


def check_clip(clip: Tensor, spec: BackboneSpec) -> None:
    """Refuse, with a ValueError, what is no float clip [N, C, T, H, W] of a size that ``spec`` takes."""
    if clip.dim() != 5 or clip.shape[1] != spec.in_channels or not clip.is_floating_point():
        shape, kind = tuple(clip.shape), str(clip.dtype).removeprefix("torch.")
        raise ValueError(f"a clip must be float [N, {spec.in_channels}, T, H, W], not {kind} {shape}")
    spec.check_size(clip.shape[2:])


def _check_stages(
    argument: str, names: Sequence[str], spec: BackboneSpec, *, may_be_empty: bool = False
) -> tuple[str, ...]:
    accepted = spec.stage_names
    if isinstance(names, str) or not (names or may_be_empty):
        raise ValueError(f"{argument} must be a list of stages from {', '.join(accepted)}, not {names!r}")
    for name in names:
        if name not in accepted:
            hint = stage_hint(str(name), accepted)
            raise ValueError(f"{argument}: {spec.name} has no stage {name!r}{hint} (accepted: {', '.join(accepted)})")
    if len(set(names)) < len(names):
        raise ValueError(f"{argument}: {list(names)} names a stage twice")
    return tuple(names)


def set_module_eps(module: nn.Module, eps: float) -> None:
    """Give every norm in ``module`` this eps."""
    for norm in module.modules():
        if hasattr(norm, "eps"):
            setattr(norm, "eps", eps)  # noqa: B010 (nn.Module's own attributes are typed as tensors and modules)


@torch.no_grad()
def initialize(module: nn.Module) -> None:
    """Random weights for training from scratch: He-normal convolutions (fan out), Gaussian 0.01 linear layers."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv3d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, 0.0, 0.01)
            nn.init.zeros_(layer.bias)
