"""Loading of weights of any layout into an existing model.

All new values are computed and checked before the first one is copied, so a failed load leaves the model unchanged.
"""

import torch
from torch import nn

from res3d.backbone import BackboneSpec
from res3d.weights.accounting import Account
from res3d.weights.compatibility import OtherArchitectureError, check_order, check_saved, check_strides
from res3d.weights.inflation import CHANNELS, INFLATIONS, Channels, Inflation
from res3d.weights.kinds import AnyKind, kind_of
from res3d.weights.layouts import Layout
from res3d.weights.report import LoadReport, WeightsError, describe_misfits
from res3d.weights.source import Source, WeightsSource, open_weights
from res3d.weights.surgery import STATISTICS, FactoredLayer, Surgery


def load_weights(
    model: nn.Module,
    source: Source,
    *,
    inflate: Inflation = "center",
    strict: bool = True,
    norm_eps: float | None = None,
    channels: Channels = "keep",
) -> LoadReport:
    """Copy weights into ``model``. If an error is raised, the model is unchanged.

    The layout of a checkpoint is recognised from its keys (``res3d.weights.layouts``). 2D kernels are inflated to the
    temporal size of the model's kernels. Plain convolutions are converted to the factored (2+1)D convolutions of the
    model such that the network computes the same function.

    Args:
        model: a backbone, classifier or detector. Tensors of other heads, and of stages beyond the body, are ignored.
        source: a registered name (``list_weights()``), a file, a state dict in any known layout, or a source opened by
            ``open_weights``.
        inflate: how 2D kernels are inflated, see ``inflate_kernel``.
        strict: raise an error for missing or unexpected tensors.
        norm_eps: the eps to set in the model's norms; by default that of the registry entry, or else the model's.
        channels: how the input channels of the first convolution are changed, see ``change_channels``. BGR weights
            (Detectron) are reversed only with ``"reverse"``; the report gives the channel order of the checkpoint.

    Returns:
        The report: which tensors were loaded, inflated, initialized, missing, unexpected or ignored.

    Raises:
        FileNotFoundError: no such file.
        WeightsError: an unreadable file, an unknown layout, a tensor of another shape, strides on another convolution,
            or (strict) missing or unexpected tensors.
        TypeError: ``model`` is not a backbone, classifier or detector.
        ValueError: an unknown ``inflate`` or ``channels``, or a negative ``norm_eps``.
    """
    if inflate not in INFLATIONS:
        raise ValueError(f"inflate must be one of {', '.join(map(repr, INFLATIONS))}, not {inflate!r}")
    if channels not in CHANNELS:
        raise ValueError(f"channels must be one of {', '.join(map(repr, CHANNELS))}, not {channels!r}")
    if norm_eps is not None and not norm_eps >= 0:
        raise ValueError(f"norm_eps must be at least 0, not {norm_eps!r}")
    kind, opened = kind_of(model), open_weights(source)
    norm_eps = opened.norm_eps if norm_eps is None else norm_eps
    spec = kind.backbone_spec(model)
    eps = spec.norm.eps if norm_eps is None else norm_eps
    layout = opened.recognise(kind.layouts)
    try:
        _check_function(model, kind, opened, layout, norm_eps)
        surgery = Surgery(inflate=inflate, channels=channels, norm_eps=eps)
        account = _plan(model, kind, opened, layout, surgery)
        if strict:
            _check_complete(account, layout, spec)
    except ValueError as error:
        raise WeightsError(f"{opened.name}: {_name_networks(error, opened, spec)}") from None
    with torch.no_grad():
        for name, value in account.new_values.items():
            account.model_tensors[name].copy_(value)
    if norm_eps is not None:
        kind.set_norm_eps(model, norm_eps)
    return account.report(opened.name, eps)


def _check_function(
    model: nn.Module, kind: AnyKind, source: WeightsSource, layout: Layout, norm_eps: float | None
) -> None:
    """Check that the weights belong to a model that computes the same function; the shapes alone cannot show it."""
    spec, saved = kind.backbone_spec(model), source.spec if source.is_saved else None
    check_order(layout, spec)
    check_strides(layout, saved, spec)
    if saved is not None:
        check_saved(saved, spec, norm_eps)
    if source.is_saved and source.kind == kind.name:
        kind.check_saved(model, source.description)


def _plan(model: nn.Module, kind: AnyKind, source: WeightsSource, layout: Layout, surgery: Surgery) -> Account:
    """Compute the new value of every tensor of the model, without changing the model."""
    account = Account(model, kind.prefixes, source.tensors, layout)
    last = kind.backbone_spec(model).stage_names[-1]
    for layer in FactoredLayer.find(account):
        surgery.factor(layer)
    for name, current in account.model_tensors.items():
        if name in account.new_values:
            continue
        source_name = _name_in_source(name, account, last)
        norm = name.rsplit(".", 1)[0]
        if entry := account.checkpoint_tensors.get(source_name):
            tensor, changed = surgery.fit(name, current, entry)
            account.fill(name, tensor, "inflated" if changed else "loaded")
            account.mark_used(source_name)
        elif layout.affine_norm and name.endswith(STATISTICS) and f"{norm}.weight" in account.checkpoint_tensors:
            account.fill(name, surgery.identity(name, current), "initialized")
        elif name in layout.neutral:
            account.fill(name, torch.full(current.shape, layout.neutral[name]), "initialized")
    return account


def _name_in_source(name: str, account: Account, last: str) -> str:
    """Return the name of the checkpoint's tensor that fills the model's tensor ``name``.

    It is the same name, except for the final norm of a pre-activation body that ends before the checkpoint's last
    stage. In the checkpoint, the first norm of the next stage normalises that feature map.
    """
    if name in account.checkpoint_tensors or not name.startswith(f"{last}.norm."):
        return name
    next_stage = f"conv{int(last.removeprefix('conv')) + 1}"
    return name.replace(f"{last}.norm.", f"{next_stage}.0.preact.norm.")


def _check_complete(account: Account, layout: Layout, spec: BackboneSpec) -> None:
    missing, unexpected = account.missing, account.unexpected
    if missing or unexpected:
        misfits = describe_misfits({"missing": missing, "unexpected": unexpected})
        raise OtherArchitectureError(f"{layout.name} weights, but not of this {spec.name} ({misfits})")


def _name_networks(error: ValueError, source: WeightsSource, spec: BackboneSpec) -> str:
    """Return the error message; if a res3d file contains another network, with the names of both networks."""
    is_complete = not isinstance(error, WeightsError)  # about an option, or from ``ModelKind.check_saved``
    if is_complete or not source.is_saved or source.spec is None or source.spec.name == spec.name:
        return str(error)
    holds = f"holds {source.spec.name}, not {spec.name}"
    return holds if isinstance(error, OtherArchitectureError) else f"{holds} ({error})"
