"""Checks that a checkpoint and a model compute the same function, where the shapes of their tensors cannot show it."""

from collections.abc import Mapping

from res3d.backbone import BackboneSpec, BlockSpec
from res3d.weights.layouts import Layout
from res3d.weights.report import WeightsError


class OtherArchitectureError(WeightsError):
    """Weights of another architecture; the message names the difference."""


def check_saved(saved: BackboneSpec, spec: BackboneSpec, norm_eps: float | None) -> None:
    """Check that a res3d file was saved from a backbone that computes the same with the same tensors.

    Args:
        saved: the spec in the file.
        spec: the spec of the model to fill.
        norm_eps: the eps that the caller chose for the model's norms; None: the model's eps must equal the saved one.

    Raises:
        WeightsError: another norm eps or another temporal padding.
        OtherArchitectureError: other pools, strides, shortcuts, or order of layers in a block.
    """
    if norm_eps is None and saved.norm.eps != spec.norm.eps:
        raise WeightsError(
            f"was saved with norm eps {saved.norm.eps:g}, and the model's is {spec.norm.eps:g} "
            f"(norm_eps={saved.norm.eps:g} sets it)"
        )
    if saved.temporal_padding != spec.temporal_padding:
        raise WeightsError(f"was saved with temporal_padding={saved.temporal_padding!r}, not {spec.temporal_padding!r}")
    for name, saved_stage, stage in zip(spec.stage_names[1:], saved.stages, spec.stages, strict=False):
        _check_same(name, {s: (getattr(saved_stage, s), getattr(stage, s)) for s in ("pool", "stride_at")})
        for index, (saved_block, block) in enumerate(zip(saved_stage.blocks, stage.blocks, strict=False)):
            pairs = {s: (getattr(saved_block, s), getattr(block, s)) for s in ("order", "last_act")}
            pairs |= {"shortcut": (saved_block.shortcut.kind, block.shortcut.kind)}
            pairs |= {
                f"shortcut {s}": (getattr(saved_block.shortcut, s), getattr(block.shortcut, s))
                for s in ("kernel", "source")
            }
            _check_same(f"{name}.{index}", pairs)


def _check_same(part: str, settings: Mapping[str, tuple[object, object]]) -> None:
    for setting, (saved, wanted) in settings.items():
        if saved != wanted:
            raise OtherArchitectureError(f"was saved with {setting}={saved!r} in {part}, not {wanted!r}")


def check_order(layout: Layout, spec: BackboneSpec) -> None:
    """Check that the blocks of ``spec`` order their layers as the networks of ``layout`` do.

    The blocks of all other libraries' networks end in a ReLU, so their weights cannot fill pre-activation blocks.

    Raises:
        WeightsError: a block of another order.
    """
    if layout.order and any(block.order != layout.order for stage in spec.stages for block in stage.blocks):
        raise WeightsError(
            f"these {layout.name} weights belong to blocks of order {layout.order!r} (conv, norm, ReLU), and those of "
            f"{spec.name} are pre-activation blocks"
        )


def check_strides(layout: Layout, saved: BackboneSpec | None, spec: BackboneSpec) -> None:
    """Check that bottlenecks stride on the same convolution: the shapes are equal either way, the function is not.

    Args:
        layout: the layout of the checkpoint.
        saved: the spec in a res3d file, which decides in place of ``layout``; None for other checkpoints.
        spec: the spec of the model to fill.

    Raises:
        WeightsError: the strides are on another convolution.
    """
    stride_on: str | None = layout.stride_on
    if saved is not None:
        stride_on = next((block.stride_on for block in _strided_bottlenecks(saved)), None)
    for block in _strided_bottlenecks(spec):
        if stride_on is not None and block.stride_on != stride_on:
            raise WeightsError(
                f"these {layout.name} weights belong to bottlenecks that stride on the {stride_on} convolution, and "
                f"the model's stride on the {block.stride_on} (set stride_on={stride_on!r})"
            )


def _strided_bottlenecks(spec: BackboneSpec) -> list[BlockSpec]:
    return [
        block
        for stage in spec.stages
        for block, stride in stage.steps()
        if max(stride[1:]) > 1 and len(block.convs) > 2 and max(block.convs[0].kernel[1:]) == 1
    ]
