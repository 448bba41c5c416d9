"""Changes to a spec by name, each a function from spec to spec: ``apply_overrides(spec, width=0.5, norm="group")``."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from res3d.backbone.block_spec import BlockSpec, ConvSpec, ShortcutSpec
from res3d.backbone.convs import FACTORINGS, Size3
from res3d.backbone.spec import BackboneSpec, StageSpec
from res3d.settings import did_you_mean
from res3d.settings.types import Value


def apply_overrides(spec: BackboneSpec, **overrides: Any) -> BackboneSpec:
    """``spec`` with these changes, made in the order of ``OVERRIDES``.

    Raises:
        ValueError: an unknown override, a value out of range, or one that this spec has no place for.
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
    """Every width, the stem's too, times ``multiplier``, rounded to the nearest whole channel (at least 1).

    Groups of convolutions are scaled with it, so that a group keeps its width: down to the next divisor of the stage's.
    """
    if not isinstance(multiplier, (int, float)) or isinstance(multiplier, bool) or not 0 < multiplier < float("inf"):
        raise ValueError(f"width must be a multiplier > 0, not {multiplier!r}")

    def scaled(number: int) -> int:
        return max(1, round(number * multiplier))

    def scaled_conv(conv: ConvSpec, width: int) -> ConvSpec:
        middle = conv.middle if isinstance(conv.middle, str) else scaled(conv.middle)
        if isinstance(conv.groups, str) or conv.groups == 1:
            return replace(conv, middle=middle)
        groups = max(g for g in range(1, scaled(conv.groups) + 1) if width % g == 0)
        return replace(conv, middle=middle, groups=groups)

    def scaled_stage(stage: StageSpec) -> StageSpec:
        width = scaled(stage.width)
        blocks = (replace(b, convs=tuple(scaled_conv(conv, width) for conv in b.convs)) for b in stage.blocks)
        return replace(stage, width=width, blocks=tuple(blocks))

    width = scaled(spec.stem.width)
    stem = replace(spec.stem, width=width, conv=scaled_conv(spec.stem.conv, width))
    return replace(spec, stem=stem, stages=tuple(map(scaled_stage, spec.stages)))


def set_temporal_kernel(spec: BackboneSpec, size: int) -> BackboneSpec:
    """Every convolution that spans time gets this temporal kernel; 1 makes the spec's 2D twin."""
    if not isinstance(size, int) or size < 1 or size % 2 == 0:
        raise ValueError(f"temporal_kernel must be an odd whole number ≥ 1, not {size!r}")
    blocks = [block for stage in spec.stages for block in stage.blocks]
    kernels = [conv.kernel for block in blocks for conv in block.convs]
    if all(kernel[0] == 1 for kernel in [spec.stem.conv.kernel, *kernels, *(b.shortcut.kernel for b in blocks)]):
        raise ValueError(f"temporal_kernel={size}: no convolution of {spec.name} spans time")

    def resized(kernel: Size3) -> Size3:
        return kernel if kernel[0] == 1 else (size, *kernel[1:])

    def resized_conv(conv: ConvSpec) -> ConvSpec:
        conv = replace(conv, kernel=resized(conv.kernel))
        # Where one factor is left there is nothing to factorise: what remains is the plain convolution.
        is_whole = conv.factor == "full" or len(FACTORINGS[conv.factor].of(conv.kernel)) > 1
        return conv if is_whole else replace(conv, factor="full", middle="conv")

    def resized_shortcut(block: BlockSpec) -> BlockSpec:
        return replace(block, shortcut=replace(block.shortcut, kernel=resized(block.shortcut.kernel)))

    return _map_blocks(_map_convs(spec, resized_conv), resized_shortcut)


def set_middle(spec: BackboneSpec, middle: int | str) -> BackboneSpec:
    """Channels between the factors of every factored convolution: a rule of ``ConvSpec.middle``, or a number."""
    convs = [spec.stem.conv, *(conv for stage in spec.stages for block in stage.blocks for conv in block.convs)]
    if all(conv.factor == "full" for conv in convs):
        raise ValueError(f"middle={middle!r}: {spec.name} has no factored convolutions")
    return _map_convs(spec, lambda conv: conv if conv.factor == "full" else replace(conv, middle=middle))  # type: ignore[arg-type]


def set_temporal_stride(spec: BackboneSpec, stride: int | Sequence[int]) -> BackboneSpec:
    """The temporal stride of every stage after conv2 (which keeps its own), or one a stage from conv2 on.

    Stem and pools keep theirs.
    """
    count = len(spec.stages)
    per_stage: list[Value] = [spec.stages[0].stride[0], *[stride] * (count - 1)]
    if isinstance(stride, (list, tuple)):
        per_stage = list(stride)
    if len(per_stage) != count or any(not isinstance(s, int) or s < 1 for s in per_stage):
        raise ValueError(f"temporal_stride must be a whole number ≥ 1, or {count} of them (conv2 on), not {stride!r}")
    stages = tuple(
        replace(stage, stride=(step, *stage.stride[1:])) for stage, step in zip(spec.stages, per_stage, strict=True)
    )
    return replace(spec, stages=stages)


def set_output_stride(spec: BackboneSpec, stride: int) -> BackboneSpec:
    """The last map's stride in pixels: stages beyond it are dilated in place of strided.

    The dilated network computes, at every position the strided one keeps, the very same values (the à trous algorithm;
    Chen et al. 2017, DeepLab): a block's convolutions up to the one that strided keep the dilation from before.
    """
    full = spec.feature_info[spec.stage_names[-1]].stride[1:]
    if full[0] != full[1]:
        raise ValueError(
            f"output_stride: the last map of {spec.name} has two strides, {full[0]} down and {full[1]} across"
        )
    pool = spec.stages[0].pool
    kept = spec.stem.stride[1] * (pool.stride[1] if pool else 1)
    accepted = [s for s in (32, 16, 8, 4, 2, 1) if kept <= s <= full[0]]
    if stride not in accepted or not isinstance(stride, int):
        raise ValueError(f"output_stride of {spec.name} must be one of {', '.join(map(str, accepted))}, not {stride!r}")
    stages: list[StageSpec] = []
    dilation, channels = 1, spec.stem.width
    for name, stage in zip(spec.stage_names[1:], spec.stages, strict=True):
        before, beyond = dilation, spec.feature_info[name].stride[1] // stride
        dilation = max(dilation, beyond)
        strided = 0 if stage.stride_at == "first" else len(stage.blocks) - 1
        blocks = []
        for i, (block, step) in enumerate(stage.steps()):
            shortcut = block.plan_shortcut(channels, stage.width, step)
            channels = stage.out_channels
            first, second = dilation if i > strided else before, dilation if i >= strided else before
            if shortcut and first > 1 and shortcut.kernel[1:] != (1, 1):
                raise ValueError(f"output_stride: {name}.{i}'s shortcut of kernel {shortcut.kernel} cannot be dilated")
            block = _dilate(block, first, second)
            if beyond > 1 and step[1:] != (1, 1):  # what stood in because of the stride stays when the stride goes
                block = replace(block, shortcut=replace(block.shortcut, where="always"))
            blocks.append(block)
        kept_stride = (stage.stride[0], 1, 1) if beyond > 1 else stage.stride
        stages.append(replace(stage, stride=kept_stride, blocks=tuple(blocks)))
    changed = replace(spec, stages=tuple(stages))
    if (reached := changed.feature_info[spec.stage_names[-1]].stride[1]) != stride:
        raise ValueError(f"output_stride={stride}: the strides of {spec.name} would come to {reached}")
    return changed


def _dilate(block: BlockSpec, before: int, after: int) -> BlockSpec:
    """``before`` dilates the convolutions up to the one that takes the stride, ``after`` those behind it."""

    def dilated(index: int, conv: ConvSpec) -> ConvSpec:
        factor = before if index <= block.strided_index else after
        t, y, x = conv.dilation
        spans = conv.kernel[1:] != (1, 1)
        return replace(conv, dilation=(t, y * factor, x * factor)) if spans else conv

    return replace(block, convs=tuple(dilated(i, conv) for i, conv in enumerate(block.convs)))


def set_in_channels(spec: BackboneSpec, channels: int) -> BackboneSpec:
    """Set the number of channels of clips."""
    return replace(spec, in_channels=channels)


def set_norm(spec: BackboneSpec, kind: str) -> BackboneSpec:
    """Set the kind of every norm."""
    return replace(spec, norm=replace(spec.norm, kind=kind))


def set_norm_eps(spec: BackboneSpec, eps: float) -> BackboneSpec:
    """Set the eps of every norm."""
    return replace(spec, norm=replace(spec.norm, eps=eps))


def set_norm_momentum(spec: BackboneSpec, momentum: float) -> BackboneSpec:
    """Set the share of a new batch in the running statistics of every norm."""
    return replace(spec, norm=replace(spec.norm, momentum=momentum))


def set_temporal_padding(spec: BackboneSpec, mode: str) -> BackboneSpec:
    """Set what convolutions see before the first frame and after the last."""
    return replace(spec, temporal_padding=mode)  # type: ignore[arg-type]


def set_stride_on(spec: BackboneSpec, place: str) -> BackboneSpec:
    """Set the convolution of each bottleneck that strides."""
    return _map_blocks(spec, lambda block: replace(block, stride_on=place))  # type: ignore[arg-type]


def set_shortcut(spec: BackboneSpec, kind: str) -> BackboneSpec:
    """Set the kind of every shortcut; another kind starts from its own defaults, not from the old kernel and bias."""

    def changed(block: BlockSpec) -> BlockSpec:
        old = block.shortcut
        if kind == old.kind:
            return block
        return replace(block, shortcut=ShortcutSpec(kind=kind, source=old.source, where=old.where))

    return _map_blocks(spec, changed)


def set_attention(spec: BackboneSpec, kind: str) -> BackboneSpec:
    """Set the attention of every block."""
    return _map_blocks(spec, lambda block: replace(block, attention=kind))


# The names and types of the values are read from the functions, by whoever offers these changes as settings.
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
