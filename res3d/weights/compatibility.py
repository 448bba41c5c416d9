"""Checks that weights belong to the model that they enter, where the shapes of the tensors cannot tell."""

from collections.abc import Mapping

from res3d.backbone import BackboneSpec, BlockSpec
from res3d.weights.layouts import Layout
from res3d.weights.report import WeightsError


class OtherArchitectureError(WeightsError):
    """Weights of another architecture; the message says where it differs."""


def check_saved(saved: BackboneSpec, spec: BackboneSpec, norm_eps: float | None) -> None:
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
            raise OtherArchitectureError(f"was saved with {setting}={saved!r} in {where}, not {wanted!r}")


def check_order(layout: Layout, spec: BackboneSpec) -> None:
    """Refuse the weights of other libraries' networks, whose blocks all end in a ReLU, for pre-activation blocks."""
    if layout.order and any(block.order != layout.order for stage in spec.stages for block in stage.blocks):
        raise WeightsError(
            f"these {layout.name} weights belong to blocks of order {layout.order!r} (conv, norm, ReLU), and those of "
            f"{spec.name} are pre-activation blocks"
        )


def check_strides(layout: Layout, saved: BackboneSpec | None, spec: BackboneSpec) -> None:
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
