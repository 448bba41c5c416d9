"""Overrides: named changes to a spec. ``apply_overrides(spec, width=0.5, norm="group")`` returns the changed spec."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from res3d.backbone.block_spec import BlockSpec, ConvSpec, ShortcutSpec
from res3d.backbone.convs import FACTORINGS, Size3
from res3d.backbone.spec import BackboneSpec, StageSpec
from res3d.settings import did_you_mean
from res3d.settings.types import Value


def apply_overrides(spec: BackboneSpec, **overrides: Any) -> BackboneSpec:
    """Return ``spec`` with ``overrides``, applied in the order of ``OVERRIDES``.

    Raises:
        ValueError: an unknown override, a value out of range, or an override that this spec does not support.
    """
    for name in overrides:
        if name not in OVERRIDES:
            hint = did_you_mean(name, OVERRIDES)
            raise ValueError(f"unknown backbone option {name!r}{hint} (accepted: {', '.join(OVERRIDES)})")
    for name, change in OVERRIDES.items():
        if name in overrides:
            spec = change(spec, overrides[name])
    return spec


def _map_blocks(spec: BackboneSpec, change: Callable[[BlockSpec], BlockSpec]) -> BackboneSpec:
    stages = tuple(replace(stage, blocks=tuple(map(change, stage.blocks))) for stage in spec.stages)
    return replace(spec, stages=stages)


def _map_convs(spec: BackboneSpec, change: Callable[[ConvSpec], ConvSpec]) -> BackboneSpec:
    spec = _map_blocks(spec, lambda block: replace(block, convs=tuple(map(change, block.convs))))
    return replace(spec, stem=replace(spec.stem, conv=change(spec.stem.conv)))


def set_width(spec: BackboneSpec, multiplier: float) -> BackboneSpec:
    """Multiply every width, the stem's too, by ``multiplier``, rounded to the nearest channel (at least 1).

    The number of groups of a grouped convolution is multiplied too, so that each group keeps its width; it is rounded
    down to a divisor of the stage's width.
    """
    if not isinstance(multiplier, (int, float)) or isinstance(multiplier, bool) or not 0 < multiplier < float("inf"):
        raise ValueError(f"width must be a multiplier > 0, not {multiplier!r}")

    def scale(number: int) -> int:
        return max(1, round(number * multiplier))

    def scale_conv(conv: ConvSpec, width: int) -> ConvSpec:
        middle = conv.middle if isinstance(conv.middle, str) else scale(conv.middle)
        if isinstance(conv.groups, str) or conv.groups == 1:
            return replace(conv, middle=middle)
        groups = max(g for g in range(1, scale(conv.groups) + 1) if width % g == 0)
        return replace(conv, middle=middle, groups=groups)

    def scale_stage(stage: StageSpec) -> StageSpec:
        width = scale(stage.width)
        blocks = (replace(b, convs=tuple(scale_conv(conv, width) for conv in b.convs)) for b in stage.blocks)
        return replace(stage, width=width, blocks=tuple(blocks))

    width = scale(spec.stem.width)
    stem = replace(spec.stem, width=width, conv=scale_conv(spec.stem.conv, width))
    return replace(spec, stem=stem, stages=tuple(map(scale_stage, spec.stages)))


def set_temporal_kernel(spec: BackboneSpec, size: int) -> BackboneSpec:
    """Set the temporal kernel of every convolution that has one above 1, also in shortcuts.

    ``size`` 1 gives the 2D twin, the same network without temporal kernels. Pools and strides do not change.
    """
    if not isinstance(size, int) or size < 1 or size % 2 == 0:
        raise ValueError(f"temporal_kernel must be an odd whole number ≥ 1, not {size!r}")
    blocks = [block for stage in spec.stages for block in stage.blocks]
    kernels = [conv.kernel for block in blocks for conv in block.convs]
    if all(kernel[0] == 1 for kernel in [spec.stem.conv.kernel, *kernels, *(b.shortcut.kernel for b in blocks)]):
        raise ValueError(f"temporal_kernel={size}: no convolution of {spec.name} has a temporal kernel above 1")

    def resize(kernel: Size3) -> Size3:
        return kernel if kernel[0] == 1 else (size, *kernel[1:])

    def resize_conv(conv: ConvSpec) -> ConvSpec:
        conv = replace(conv, kernel=resize(conv.kernel))
        # A factored convolution with a single factor left is a full convolution.
        has_factors = conv.factor != "full" and len(FACTORINGS[conv.factor].of(conv.kernel)) > 1
        return conv if has_factors else replace(conv, factor="full", middle="conv")

    def resize_shortcut(block: BlockSpec) -> BlockSpec:
        return replace(block, shortcut=replace(block.shortcut, kernel=resize(block.shortcut.kernel)))

    return _map_blocks(_map_convs(spec, resize_conv), resize_shortcut)


def set_middle(spec: BackboneSpec, middle: int | str) -> BackboneSpec:
    """Set the channels between the factors of every factored convolution: a number or a rule of ``ConvSpec.middle``."""
    convs = [spec.stem.conv, *(conv for stage in spec.stages for block in stage.blocks for conv in block.convs)]
    if all(conv.factor == "full" for conv in convs):
        raise ValueError(f"middle={middle!r}: {spec.name} has no factored convolutions")
    return _map_convs(spec, lambda conv: conv if conv.factor == "full" else replace(conv, middle=middle))  # type: ignore[arg-type]


def set_temporal_stride(spec: BackboneSpec, stride: int | Sequence[int]) -> BackboneSpec:
    """Set the temporal stride of every stage after conv2, or, with a sequence, of each stage from conv2 on.

    The temporal strides of stem and pools do not change.
    """
    count = len(spec.stages)
    per_stage: list[Value] = [spec.stages[0].stride[0], *[stride] * (count - 1)]
    if isinstance(stride, (list, tuple)):
        per_stage = list(stride)
    if len(per_stage) != count or any(not isinstance(s, int) or s < 1 for s in per_stage):
        raise ValueError(
            f"temporal_stride must be a whole number ≥ 1, or {count} of them from conv2 on, not {stride!r}"
        )
    stages = tuple(
        replace(stage, stride=(step, *stage.stride[1:])) for stage, step in zip(spec.stages, per_stage, strict=True)
    )
    return replace(spec, stages=stages)


def set_output_stride(spec: BackboneSpec, stride: int) -> BackboneSpec:
    """Set the spatial stride of the last map, in pixels: stages that would exceed it are dilated instead of strided.

    At the positions of the strided network's maps, the dilated network computes the same values (the à trous algorithm;
    Chen et al. 2017, DeepLab). Therefore, in the block that had the stride, the convolutions up to the one that took it
    have the dilation of the stage before.
    """
    full = spec.feature_info[spec.stage_names[-1]].stride[1:]
    if full[0] != full[1]:
        raise ValueError(
            f"output_stride: the last map of {spec.name} has two strides, {full[0]} down and {full[1]} across"
        )
    pool = spec.stages[0].pool
    smallest = spec.stem.stride[1] * (pool.stride[1] if pool else 1)
    accepted = [s for s in (32, 16, 8, 4, 2, 1) if smallest <= s <= full[0]]
    if stride not in accepted or not isinstance(stride, int):
        raise ValueError(f"output_stride of {spec.name} must be one of {', '.join(map(str, accepted))}, not {stride!r}")
    stages: list[StageSpec] = []
    dilation, channels = 1, spec.stem.width
    for name, stage in zip(spec.stage_names[1:], spec.stages, strict=True):
        previous, excess = dilation, spec.feature_info[name].stride[1] // stride
        dilation = max(dilation, excess)
        strided = 0 if stage.stride_at == "first" else len(stage.blocks) - 1
        blocks = []
        for i, (block, step) in enumerate(stage.steps()):
            shortcut = block.plan_shortcut(channels, stage.width, step)
            channels = stage.out_channels
            before = dilation if i > strided else previous
            after = dilation if i >= strided else previous
            if shortcut and before > 1 and shortcut.kernel[1:] != (1, 1):
                raise ValueError(f"output_stride: {name}.{i}'s shortcut of kernel {shortcut.kernel} cannot be dilated")
            block = _dilate(block, before, after)
            if excess > 1 and step[1:] != (1, 1):  # without stride, a projection would become the identity
                block = replace(block, shortcut=replace(block.shortcut, where="always"))
            blocks.append(block)
        stage_stride = (stage.stride[0], 1, 1) if excess > 1 else stage.stride
        stages.append(replace(stage, stride=stage_stride, blocks=tuple(blocks)))
    dilated_spec = replace(spec, stages=tuple(stages))
    if (last_stride := dilated_spec.feature_info[spec.stage_names[-1]].stride[1]) != stride:
        raise ValueError(f"output_stride={stride}: the last map of {spec.name} would have stride {last_stride}")
    return dilated_spec


def _dilate(block: BlockSpec, before: int, after: int) -> BlockSpec:
    """Dilate a block: by ``before`` up to the convolution that takes the stride, by ``after`` behind it."""

    def dilate(index: int, conv: ConvSpec) -> ConvSpec:
        factor = before if index <= block.strided_index else after
        t, y, x = conv.dilation
        is_spatial = conv.kernel[1:] != (1, 1)
        return replace(conv, dilation=(t, y * factor, x * factor)) if is_spatial else conv

    return replace(block, convs=tuple(dilate(i, conv) for i, conv in enumerate(block.convs)))


def set_in_channels(spec: BackboneSpec, channels: int) -> BackboneSpec:
    """Set the number of channels of the input clips."""
    return replace(spec, in_channels=channels)


def set_norm(spec: BackboneSpec, kind: str) -> BackboneSpec:
    """Set the kind of every norm, a name in ``NORMS``."""
    return replace(spec, norm=replace(spec.norm, kind=kind))


def set_norm_eps(spec: BackboneSpec, eps: float) -> BackboneSpec:
    """Set the eps of every norm."""
    return replace(spec, norm=replace(spec.norm, eps=eps))


def set_norm_momentum(spec: BackboneSpec, momentum: float) -> BackboneSpec:
    """Set the weight of a new batch in the running statistics of every norm, 0 to 1."""
    return replace(spec, norm=replace(spec.norm, momentum=momentum))


def set_temporal_padding(spec: BackboneSpec, mode: str) -> BackboneSpec:
    """Set the padding of convolutions before the first frame and after the last: "zeros" or "replicate"."""
    return replace(spec, temporal_padding=mode)  # type: ignore[arg-type]


def set_stride_on(spec: BackboneSpec, conv: str) -> BackboneSpec:
    """Set the convolution that takes the stride of each block: "3x3" or "1x1"."""
    return _map_blocks(spec, lambda block: replace(block, stride_on=conv))  # type: ignore[arg-type]


def set_shortcut(spec: BackboneSpec, kind: str) -> BackboneSpec:
    """Set the kind of every shortcut. Where the kind changes, kernel and bias return to their defaults."""

    def change(block: BlockSpec) -> BlockSpec:
        old = block.shortcut
        if kind == old.kind:
            return block
        return replace(block, shortcut=ShortcutSpec(kind=kind, source=old.source, where=old.where))

    return _map_blocks(spec, change)


def set_attention(spec: BackboneSpec, kind: str) -> BackboneSpec:
    """Set the attention of every block."""
    return _map_blocks(spec, lambda block: replace(block, attention=kind))


# The settings of commands read the types of the values from the signatures of these functions.
OVERRIDES: dict[str, Callable[[BackboneSpec, Value], BackboneSpec]] = {
    "width": set_width,
    "in_channels": set_in_channels,
    "norm": set_norm,
    "norm_eps": set_norm_eps,
    "norm_momentum": set_norm_momentum,
    "temporal_kernel": set_temporal_kernel,
    "middle": set_middle,
    "temporal_stride": set_temporal_stride,
    "temporal_padding": set_temporal_padding,
    "stride_on": set_stride_on,
    "shortcut": set_shortcut,
    "attention": set_attention,
    "output_stride": set_output_stride,
}
