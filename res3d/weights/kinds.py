"""The kinds of models that weights are for: one row each. Rooms that define more kinds add their rows."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from torch import nn

from res3d.backbone import BackboneSpec, ClipClassifier, ResNet3d
from res3d.clips import ClipSpec
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
    saved_clip: Callable[[Metadata], ClipSpec | None] = lambda metadata: None
    """The clips that a file's model was trained on, if the file says so."""
    saved_categories: Callable[[Metadata], tuple[str, ...]] = lambda metadata: ()
    """Names of the logits of a file's model; empty where the file has none."""
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


@dataclass(frozen=True, kw_only=True, slots=True)
class _TrainedOn(ClipSpec):
    """The YAML of ``trained_on`` in a file: a ClipSpec and the names of the classes."""

    categories: tuple[str, ...] = ()


def _describe_classifier(model: ClipClassifier) -> dict[str, object]:
    known: dict[str, object] = {}
    if model.trained_on is not None:
        known["trained_on"] = dump_dataclass(_TrainedOn.of(model.trained_on, categories=model.categories))
    elif model.categories:
        known["categories"] = list(model.categories)
    return {
        "spec": model.backbone.spec.to_yaml(),
        "num_classes": model.num_classes,
        "dropout": model.dropout.p,
        **known,
    }


def _read_trained_on(metadata: Metadata) -> _TrainedOn | None:
    text = metadata.get("trained_on")
    return None if text is None else parse_dataclass(_TrainedOn, str(text), root="trained_on")


def _read_clip(metadata: Metadata) -> ClipSpec | None:
    saved = _read_trained_on(metadata)
    return None if saved is None else ClipSpec(**{f.name: getattr(saved, f.name) for f in fields(ClipSpec)})


def _read_categories(metadata: Metadata) -> tuple[str, ...]:
    if (saved := _read_trained_on(metadata)) is not None:
        return saved.categories
    names = metadata.get("categories", [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"categories must be a list of names, not {names!r}")
    return tuple(names)


def _build_classifier(metadata: Metadata) -> ClipClassifier:
    classes, dropout = metadata["num_classes"], metadata["dropout"]
    if not isinstance(classes, int) or not isinstance(dropout, (int, float)):
        raise ValueError(f"num_classes {classes!r}, dropout {dropout!r}")
    return ClipClassifier(
        ResNet3d(_backbone_spec(metadata)),
        classes,
        dropout=dropout,
        trained_on=_read_clip(metadata),
        categories=_read_categories(metadata),
    )


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
        saved_clip=_read_clip,
        saved_categories=_read_categories,
        prefixes=("backbone.",),
    )
)
