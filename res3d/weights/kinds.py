"""The kinds of models that weights are for: one row each. Rooms that define more kinds add their rows."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from typing import Any

from torch import nn

from res3d.backbone import BackboneSpec, ClipClassifier, ClipInput, ResNet3d
from res3d.settings import dump_dataclass, parse_dataclass
from res3d.weights.layouts import LAYOUTS, Layout
from res3d.weights.report import WeightsError

Metadata = Mapping[str, object]


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelKind:
    """What weight files need to know of one kind of model, whose backbone, if it is not one, is ``model.backbone``."""

    name: str  # in a file's metadata
    model: type[nn.Module]
    describe: Callable[[Any], dict[str, object]]  # the metadata from which ``build`` makes a model again
    build: Callable[[Metadata], nn.Module]
    backbone_spec: Callable[[Any], BackboneSpec]  # of a model: all stages, wherever they are used
    saved_spec: Callable[[Metadata], BackboneSpec]  # the same of a file
    set_norm_eps: Callable[[Any, float], None]  # in the modules and in the spec
    saved_input: Callable[[Metadata], ClipInput | None] = lambda metadata: None  # what a file's model was trained on
    prefixes: tuple[str, ...] = ()  # in front of stages' names in the model's own keys
    layouts: tuple[Layout, ...] = LAYOUTS  # of the checkpoints that it takes
    check_saved: Callable[[Any, Metadata], None] = lambda model, metadata: None
    """ValueError if a file of this kind holds a model that computes something else with the same tensors, apart from
    its backbone."""


def kind_of(model: nn.Module) -> ModelKind:
    """The row of a model.

    Raises:
        TypeError: a model of no such kind.
    """
    for kind in KINDS.values():
        if isinstance(model, kind.model):
            return kind
    names = " or ".join(f"a {kind.model.__name__}" for kind in KINDS.values())
    raise TypeError(f"weights are for {names}, not a {type(model).__name__}")


def _backbone_spec(metadata: Metadata) -> BackboneSpec:
    return BackboneSpec.from_yaml(str(metadata["spec"]))


def _describe_classifier(model: ClipClassifier) -> dict[str, object]:
    known = {} if model.trained_on is None else {"trained_on": dump_dataclass(model.trained_on)}
    return {
        "spec": model.backbone.spec.to_yaml(),
        "num_classes": model.num_classes,
        "dropout": model.dropout.p,
        **known,
    }


def _read_input(metadata: Metadata) -> ClipInput | None:
    text = metadata.get("trained_on")
    return None if text is None else parse_dataclass(ClipInput, str(text), root="trained_on")


def _build_classifier(metadata: Metadata) -> ClipClassifier:
    classes, dropout = metadata["num_classes"], metadata["dropout"]
    if not isinstance(classes, int) or not isinstance(dropout, (int, float)):
        raise ValueError(f"num_classes {classes!r}, dropout {dropout!r}")
    backbone = ResNet3d(_backbone_spec(metadata))
    return ClipClassifier(backbone, classes, dropout=dropout, trained_on=_read_input(metadata))


def _set_norm_eps(backbone: ResNet3d, eps: float) -> None:
    for module in backbone.modules():
        if hasattr(module, "eps"):
            setattr(module, "eps", eps)  # noqa: B010 (nn.Module's own attributes are typed as tensors and modules)
    backbone.spec = replace(backbone.spec, norm=replace(backbone.spec.norm, eps=eps))


KINDS: dict[str, ModelKind] = {}


def kind_of_file(metadata: str) -> tuple[ModelKind, Metadata]:
    """The row of the model that a res3d file holds, and what the file says of it.

    Raises:
        WeightsError: metadata of no model that this version knows.
    """
    described = json.loads(metadata)
    name = described.get("kind")
    if name not in KINDS:
        import_module("res3d.detection")  # which adds its kinds
    if name not in KINDS:
        raise WeightsError(f"holds a {name!r}, not one of {', '.join(map(repr, KINDS))}")
    return KINDS[name], described


def add_kind(kind: ModelKind) -> None:
    """Make ``save_weights``, ``load_model`` and ``load_weights`` know a kind of model."""
    KINDS[kind.name] = kind


add_kind(
    ModelKind(
        name="backbone",
        model=ResNet3d,
        describe=lambda model: {"spec": model.spec.to_yaml()},
        build=lambda metadata: ResNet3d(_backbone_spec(metadata)),
        backbone_spec=lambda model: model.spec,
        saved_spec=_backbone_spec,
        set_norm_eps=_set_norm_eps,
    )
)
add_kind(
    ModelKind(
        name="classifier",
        model=ClipClassifier,
        describe=_describe_classifier,
        build=_build_classifier,
        backbone_spec=lambda model: model.backbone.spec,
        saved_spec=_backbone_spec,
        set_norm_eps=lambda model, eps: _set_norm_eps(model.backbone, eps),
        saved_input=_read_input,
        prefixes=("backbone.",),
    )
)
