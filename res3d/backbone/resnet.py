"""``ResNet3d``: the one network that every spec builds."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from res3d.backbone.block import LayerFactory, Stage, build_stage, build_stem
from res3d.backbone.spec import BackboneSpec, FeatureInfo


class ResNet3d(nn.Module):
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

    is_dense = True  # computes maps from clips whatever they show: what ``optimize(compile=True)`` compiles

    def __init__(
        self,
        spec: BackboneSpec,
        *,
        out_features: Sequence[str] | None = None,
        freeze_at: int = 0,
        checkpoint_stages: Sequence[str] = (),
    ) -> None:
        super().__init__()
        self.spec = spec
        self.out_features = self._stage_names(
            "out_features", out_features if out_features is not None else [spec.stage_names[-1]]
        )
        layers = LayerFactory(spec.norm, spec.temporal_padding)
        self.stem = build_stem(spec, layers)
        channels = spec.stem.width
        for name, stage in zip(spec.stage_names[1:], spec.stages, strict=True):
            is_last = name == spec.stage_names[-1]
            self.add_module(name, build_stage(stage, channels, layers, final_norm=spec.final_norm and is_last))
            channels = stage.out_channels
        for name in self._stage_names("checkpoint_stages", checkpoint_stages, may_be_empty=True):
            self.stage(name).checkpointed = True
        initialize(self)
        self.freeze(freeze_at)

    @property
    def feature_info(self) -> dict[str, FeatureInfo]:
        """Channels and (t, y, x) stride of every stage's map."""
        return self.spec.feature_info

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

    def forward(
        self, clip: Tensor, out_features: Sequence[str] | None = None, *, known: Mapping[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        """Maps of the stages in ``out_features`` (by default the model's); stages after the last one are not run.

        Args:
            clip: [N, C, T, H, W].
            out_features: stages; by default the model's.
            known: what ``leading_maps`` gave for this clip: the stages that it is of are not run, nor the clip's pixels
                looked at.
        """
        wanted = self.out_features if out_features is None else self._stage_names("out_features", out_features)
        self._check_clip(clip)
        known = known or {}
        maps: dict[str, Tensor] = {name: known[name] for name in known if name in wanted}
        x, first, owned = clip, 0, False
        if known:
            last = max(known, key=self.spec.stage_names.index)
            x, first = known[last], self.spec.stage_names.index(last) + 1
        for name in self.spec.stage_names[first:]:
            if len(maps) == len(wanted):
                break
            before, x = x, self.stage(name)(x, owned=owned)
            owned = name not in wanted and x is not before
            if name in wanted:
                maps[name] = x
        return {name: maps[name] for name in wanted}

    @torch.no_grad()
    def leading_maps(self, clip: Tensor, stages: int) -> dict[str, Tensor]:
        """What ``forward`` needs of the first ``stages`` (as ``freeze`` counts them): maps that come out, and the last.

        Of frozen stages they are always the same for a clip, and worth keeping.
        """
        names = self.spec.stage_names[:stages]
        maps: dict[str, Tensor] = self(clip, [*(n for n in names[:-1] if n in self.out_features), names[-1]])
        return maps

    def run_stages(self, x: Tensor, stages: Sequence[str]) -> Tensor:
        """The map after ``stages``, which follow each other; ``x`` is the map before them, or a clip."""
        owned = False
        for name in stages:
            before, x = x, self.stage(name)(x, owned=owned)
            owned = x is not before
        return x

    def _check_clip(self, clip: Tensor) -> None:
        if clip.dim() != 5 or clip.shape[1] != self.spec.in_channels or not clip.is_floating_point():
            shape, kind = tuple(clip.shape), str(clip.dtype).removeprefix("torch.")
            raise ValueError(f"a clip must be float [N, {self.spec.in_channels}, T, H, W], not {kind} {shape}")
        self.spec.check_size(clip.shape[2:])

    def _stage_names(self, argument: str, names: Sequence[str], *, may_be_empty: bool = False) -> tuple[str, ...]:
        accepted = self.spec.stage_names
        if isinstance(names, str) or not (names or may_be_empty):
            raise ValueError(f"{argument} must be a list of stages from {', '.join(accepted)}, not {names!r}")
        for name in names:
            if name not in accepted:
                raise ValueError(
                    f"{argument}: {self.spec.name} has no stage {name!r} (accepted: {', '.join(accepted)})"
                )
        if len(set(names)) < len(names):
            raise ValueError(f"{argument}: {list(names)} names a stage twice")
        return tuple(names)


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
