"""Weights of any origin into a model that exists: worked out as a whole first, so a refused file changes nothing."""

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
    """Copy weights into ``model``, all or nothing.

    The origin of a checkpoint is recognised from its keys (``res3d.weights.layouts``). Kernels of images are inflated
    to the model's temporal size; plain convolutions enter factored (2+1)D ones so that the network computes the same.

    Args:
        model: a backbone, classifier or detector. What a checkpoint has of other heads, and of stages beyond the body,
            is left aside.
        source: a registered name (``list_weights()``), a file, a state dict with anyone's names, or one of these that
            ``open_weights`` has opened.
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
        raise WeightsError(f"{opened.name}: {_in_names(error, opened, spec)}") from None
    with torch.no_grad():
        for key, tensor in account.filled.items():
            account.own[key].copy_(tensor)
    if norm_eps is not None:
        kind.set_norm_eps(model, norm_eps)
    return account.report(opened.name, eps)


def _check_function(
    model: nn.Module, kind: AnyKind, source: WeightsSource, layout: Layout, norm_eps: float | None
) -> None:
    """Refuse weights of a model that computes something else with tensors of the same shapes."""
    spec, saved = kind.backbone_spec(model), source.spec if source.is_saved else None
    check_order(layout, spec)
    check_strides(layout, saved, spec)
    if saved is not None:
        check_saved(saved, spec, norm_eps)
    if source.is_saved and source.kind == kind.name:
        kind.check_saved(model, source.description)


def _plan(model: nn.Module, kind: AnyKind, source: WeightsSource, layout: Layout, surgery: Surgery) -> Account:
    """Work out every tensor of the model, and account for every one of the checkpoint."""
    account = Account(model, kind.prefixes, source.tensors, layout)
    last = kind.backbone_spec(model).stage_names[-1]
    for layer in FactoredLayer.find(account):
        surgery.factor(layer)
    for ours, mine in account.own.items():
        if ours in account.filled:
            continue
        name = _name_in_source(ours, account, last)
        if theirs := account.theirs.get(name):
            tensor, changed = surgery.fit(ours, mine, theirs)
            account.fill(ours, tensor, "inflated" if changed else "loaded")
            account.use(name)
        elif layout.affine_norm and ours.endswith(STATISTICS) and f"{ours.rsplit('.', 1)[0]}.weight" in account.theirs:
            account.fill(ours, surgery.identity(ours, mine), "initialized")
        elif ours in layout.neutral:
            account.fill(ours, torch.full(mine.shape, layout.neutral[ours]), "initialized")
    return account


def _name_in_source(ours: str, account: Account, last: str) -> str:
    """The tensor that fills ``ours``: its namesake, but for the final norm of a pre-activation body that ends early.

    There it is the first norm of the block that came next, which normalised the same map.
    """
    if ours in account.theirs or not ours.startswith(f"{last}.norm."):
        return ours
    following = f"conv{int(last.removeprefix('conv')) + 1}"
    return ours.replace(f"{last}.norm.", f"{following}.0.preact.norm.")


def _check_complete(account: Account, layout: Layout, spec: BackboneSpec) -> None:
    missing, unexpected = account.missing, account.unexpected
    if missing or unexpected:
        what = describe_misfits({"missing": missing, "unexpected": unexpected})
        raise OtherArchitectureError(f"{layout.name} weights, but not of this {spec.name} ({what})")


def _in_names(error: ValueError, source: WeightsSource, spec: BackboneSpec) -> str:
    """The message for a file that does not fit: if it holds another network, the names of both."""
    its_own = not isinstance(error, WeightsError)  # of an option: the file has no part in it
    if its_own or not source.is_saved or source.spec is None or source.spec.name == spec.name:
        return str(error)
    holds = f"holds {source.spec.name}, not {spec.name}"
    return holds if isinstance(error, OtherArchitectureError) else f"{holds} ({error})"
