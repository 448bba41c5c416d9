"""``ResNet3d``, the network that is built from a ``BackboneSpec``."""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from res3d.backbone.block import LayerFactory, Stage, build_stage, build_stem
from res3d.backbone.spec import BackboneSpec, FeatureInfo, stage_hint, with_norm_eps


class StagedNetwork(nn.Module):
    """Base class of networks that run the stages of a spec in order; each stage is a child under its name.

    Shape: [N, C, T, H, W] float -> {"conv5": [N, 512, T/t, H/y, W/x], ...}; see ``feature_info`` for channels and
    strides.

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
        """Channels and (t, y, x) stride of the map of every stage."""
        return self.spec.feature_info

    def stage(self, name: str) -> nn.Module:
        """Return the module of the stage ``name``."""
        stage: nn.Module = getattr(self, name)
        return stage

    def dense_parts(self) -> Iterable[nn.Module]:
        """Return the modules that compute maps from whole clips, independent of the clips' content: this network."""
        return (self,)

    def forward(self, clip: Tensor) -> dict[str, Tensor]:
        """Return the maps of the stages in ``out_features``; later stages do not run.

        Args:
            clip: [N, C, T, H, W] float.

        Raises:
            ValueError: a tensor of another shape or type, or a clip that is too small.
        """
        check_clip(clip, self.spec)
        maps = self.compute_maps(clip, self.spec.stage_names, self.out_features)
        return {name: maps[name] for name in self.out_features}

    def resume(self, maps: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the maps that ``forward`` returns, computed from the maps of leading stages (see ``leading_maps``).

        Args:
            maps: [N, C', T', H', W'] by stage: the map of the last stage that has run, and those of all stages before
                it that are in ``out_features``.

        Raises:
            ValueError: no map, an unknown stage, another number of channels, or a missing map of ``out_features``.
        """
        last, rest = self._split_stages(maps)
        for name in self.out_features:
            if name not in maps and name not in rest:
                raise ValueError(f"maps must contain {name}: out_features has it, and it precedes {last}")
        computed = self.compute_maps(maps[last], rest, [name for name in self.out_features if name not in maps])
        return {name: maps[name] if name in maps else computed[name] for name in self.out_features}

    def last_map(self, maps: Mapping[str, Tensor]) -> Tensor:
        """Return the map of the network's last stage, computed from the deepest one in ``maps``.

        Raises:
            ValueError: no map, an unknown stage, or another number of channels.
        """
        last, rest = self._split_stages(maps)
        return self.run_stages(maps[last], rest)

    def compute_maps(self, x: Tensor, stages: Sequence[str], wanted: Sequence[str]) -> dict[str, Tensor]:
        """Run consecutive stages and return the maps of some of them, by stage.

        Args:
            x: input of the first of ``stages``: a map [N, C', T', H', W'] or a clip.
            stages: stages that follow each other.
            wanted: stages among them whose maps are returned; later ones do not run.
        """
        maps: dict[str, Tensor] = {}
        for name in stages:
            if len(maps) == len(wanted):
                break
            x = self.stage(name)(x)
            if name in wanted:
                maps[name] = x
        return maps

    def run_stages(self, x: Tensor, stages: Sequence[str]) -> Tensor:
        """Return the map of the last of consecutive ``stages``; ``x`` is the input of the first: a map or a clip."""
        return self.compute_maps(x, stages, stages[-1:])[stages[-1]] if stages else x

    def _split_stages(self, maps: Mapping[str, Tensor]) -> tuple[str, tuple[str, ...]]:
        """Return the deepest stage in ``maps``, and the stages after it."""
        if not maps:
            raise ValueError(f"maps must contain the map of at least one stage of {self.spec.name}, not {{}}")
        _check_stages("maps", list(maps), self.spec)
        for name, x in maps.items():
            channels = self.feature_info[name].channels
            if x.dim() != 5 or x.shape[1] != channels:
                raise ValueError(f"the map of {name} must be [N, {channels}, T, H, W], not {list(x.shape)}")
        names = self.spec.stage_names
        last = max(maps, key=names.index)
        return last, names[names.index(last) + 1 :]


class ResNet3d(StagedNetwork):
    """Residual backbone: computes feature maps of clips, by stage name.

    Shape: [N, C, T, H, W] float -> {"conv5": [N, 512, T/t, H/y, W/x], ...}; see ``feature_info`` for channels and
    strides.

    Args:
        spec: the architecture.
        out_features: stages whose maps are returned, in this order; by default the last one.
        freeze_at: number of leading stages to freeze, see ``freeze``.
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
        """Names of the frozen stages."""
        return tuple(name for name in self.spec.stage_names if self.stage(name).frozen)

    def stage(self, name: str) -> Stage:
        """Return the module of the stage ``name``."""
        stage = getattr(self, name)
        assert isinstance(stage, Stage)
        return stage

    def freeze(self, at: int) -> None:
        """Freeze the first ``at`` stages and unfreeze the others, in Detectron's numbering.

        0 freezes no stage, 1 the stem, 2 the stem and conv2, ... 5 all stages. A number beyond the body freezes all of
        it. A frozen stage gets no gradient and passes none on, has fixed norm statistics and builds no graph;
        ``train()`` does not change that.

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
        """Set the eps of every norm, in the modules and in the spec."""
        set_module_eps(self, eps)
        self.spec = with_norm_eps(self.spec, eps)

    @torch.no_grad()
    def leading_maps(self, clip: Tensor, stages: int) -> dict[str, Tensor]:
        """Return the maps that ``resume`` needs to continue after the first ``stages`` stages (1 is the stem alone).

        These are the map of the last of these stages, and those of earlier stages in ``out_features``. For frozen
        stages they can be cached, because they do not change in training.

        Args:
            clip: [N, C, T, H, W] float.
            stages: number of leading stages, counted as in ``freeze``.

        Raises:
            ValueError: a tensor of another shape or type, or a clip that is too small.
        """
        check_clip(clip, self.spec)
        names = self.spec.stage_names[:stages]
        return self.compute_maps(
            clip, names, [name for name in names if name in self.out_features or name == names[-1]]
        )


def check_clip(clip: Tensor, spec: BackboneSpec) -> None:
    """Raise ValueError unless ``clip`` is a float tensor [N, C, T, H, W] of a size that ``spec`` supports."""
    if clip.dim() != 5 or clip.shape[1] != spec.in_channels or not clip.is_floating_point():
        shape, dtype = tuple(clip.shape), str(clip.dtype).removeprefix("torch.")
        raise ValueError(f"a clip must be float [N, {spec.in_channels}, T, H, W], not {dtype} {shape}")
    spec.check_size(clip.shape[2:])


def _check_stages(
    argument: str, names: Sequence[str], spec: BackboneSpec, *, may_be_empty: bool = False
) -> tuple[str, ...]:
    """Return ``names`` as a tuple; raise ValueError unless they are different stages of ``spec``."""
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
    """Set the eps of every norm in ``module``."""
    for norm in module.modules():
        if hasattr(norm, "eps"):
            setattr(norm, "eps", eps)  # noqa: B010 (nn.Module's own attributes are typed as tensors and modules)


@torch.no_grad()
def initialize(module: nn.Module) -> None:
    """Initialize weights for training from scratch.

    Convolutions: He normal, fan out. Linear layers: normal with standard deviation 0.01. Biases: zero.
    """
    for layer in module.modules():
        if isinstance(layer, nn.Conv3d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, 0.0, 0.01)
            nn.init.zeros_(layer.bias)
