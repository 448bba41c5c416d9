"""Kinds of models that weights are for, by the name that files give them. A new kind is one entry of ``KINDS``."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Generic, TypeAlias, TypeVar

from torch import nn

from res3d.backbone import BackboneSpec, ClipClassifier, ResNet3d
from res3d.clips import ClipSpec
from res3d.settings import dump_dataclass, parse_dataclass, resolve
from res3d.weights.layouts import LAYOUTS, Layout
from res3d.weights.report import WeightsError

Metadata: TypeAlias = Mapping[str, object]

# Where each kind is defined. Names rather than objects, looked up when a model or file of the kind turns up: detectors
# are built from weights, so an import of theirs here would be a circle, and would import them for every backbone.
KINDS = {
    "backbone": "res3d.weights.kinds:BACKBONE",
    "classifier": "res3d.weights.kinds:CLASSIFIER",
    "detector": "res3d.detection.model_kind:DETECTOR",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelDescription:
    """Description of the model that weights belong to; each kind of model may add fields."""

    spec: BackboneSpec
    """All stages of the backbone, wherever the model uses them."""
    num_classes: int | None = None
    """Classes of a clip classifier."""
    categories: tuple[str, ...] = ()
    """Names of a classifier's classes 0, 1, ..., or of a detector's labels 1, 2, ...; empty: not known."""
    clip: ClipSpec | None = None
    """The clips that the model was trained on; None: not known."""


M = TypeVar("M", bound=nn.Module)
D = TypeVar("D", bound=ModelDescription)


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelKind(Generic[M, D]):
    """Functions by which weights files describe one kind of model, and checkpoints fill it."""

    name: str
    """In a file's metadata, and in ``KINDS``."""
    model: type[M]
    describe: Callable[[M], dict[str, object]]
    """The metadata of a model: plain values."""
    parse: Callable[[Metadata], D]
    """Parse what ``describe`` wrote; KeyError, TypeError or ValueError for anything else."""
    build: Callable[[D], M]
    """Make a model with random weights from the result of ``parse``."""
    backbone_spec: Callable[[M], BackboneSpec]
    """The spec of a model's backbone: all stages, wherever the model uses them."""
    set_norm_eps: Callable[[M, float], None]
    """Sets the eps of all norms, in the modules and in the spec."""
    prefixes: tuple[str, ...] = ()
    """Prefixes of stages' names in the model's own keys."""
    layouts: tuple[Layout, ...] = LAYOUTS
    """Layouts of the checkpoints that it can be filled from."""
    check_saved: Callable[[M, D], None] = lambda model, description: None
    """ValueError for a model and a description (of ``parse``) that compute something else with the same tensors, apart
    from the backbone."""


AnyKind: TypeAlias = ModelKind[Any, Any]


def resolve_kind(name: str) -> AnyKind:
    """The entry of ``KINDS`` that is called ``name``."""
    kind: AnyKind = resolve(KINDS[name])
    return kind


def kind_of(model: nn.Module) -> AnyKind:
    """The kind of a model.

    Raises:
        TypeError: a model of no such kind.
    """
    kinds = []
    for name in KINDS:
        kinds.append(resolve_kind(name))
        if isinstance(model, kinds[-1].model):
            return kinds[-1]
    names = " or ".join(f"a {kind.model.__name__}" for kind in kinds)
    raise TypeError(f"weights are for {names}, not a {type(model).__name__}")


def parse_metadata(text: str) -> Metadata:
    """The metadata of a weights file, from the JSON text in its header.

    Raises:
        WeightsError: text that is no JSON object.
    """
    try:
        metadata = json.loads(text)
    except ValueError:
        metadata = None
    if not isinstance(metadata, dict):
        raise WeightsError("its metadata is not a JSON object")
    return metadata


def find_kind(metadata: Metadata) -> AnyKind:
    """The kind of the model that a file with this metadata holds.

    Raises:
        WeightsError: a kind that this version does not know.
    """
    name = metadata.get("kind")
    if not isinstance(name, str) or name not in KINDS:
        raise WeightsError(f"holds a {name!r}, not one of {', '.join(map(repr, KINDS))}")
    return resolve_kind(name)


def _parse_spec(metadata: Metadata) -> BackboneSpec:
    return BackboneSpec.from_yaml(str(metadata["spec"]))


@dataclass(frozen=True, kw_only=True)
class _TrainedOn(ClipSpec):
    """The YAML of ``trained_on`` in a file: a ClipSpec and the names of the classes."""

    categories: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class _ClassifierDescription(ModelDescription):
    num_classes: int
    dropout: float


def _describe_classifier(model: ClipClassifier) -> dict[str, object]:
    clip: dict[str, object] = {}
    if model.trained_on is not None:
        clip["trained_on"] = dump_dataclass(_TrainedOn.of(model.trained_on, categories=model.categories))
    elif model.categories:
        clip["categories"] = list(model.categories)
    return {
        "spec": model.backbone.spec.to_yaml(),
        "num_classes": model.num_classes,
        "dropout": model.dropout.p,
        **clip,
    }


def _parse_classifier(metadata: Metadata) -> _ClassifierDescription:
    classes, dropout = metadata["num_classes"], metadata["dropout"]
    if not isinstance(classes, int) or not isinstance(dropout, (int, float)):
        raise ValueError(f"num_classes {classes!r}, dropout {dropout!r}")
    clip, categories = _parse_clip(metadata)
    return _ClassifierDescription(
        spec=_parse_spec(metadata), num_classes=classes, categories=categories, clip=clip, dropout=dropout
    )


def _parse_clip(metadata: Metadata) -> tuple[ClipSpec | None, tuple[str, ...]]:
    """The clips that a classifier was trained on, and the names of its classes."""
    text = metadata.get("trained_on")
    if text is not None:
        saved = parse_dataclass(_TrainedOn, str(text), root="trained_on")
        return ClipSpec(**{f.name: getattr(saved, f.name) for f in fields(ClipSpec)}), saved.categories
    names = metadata.get("categories", [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"categories must be a list of names, not {names!r}")
    return None, tuple(names)


def _build_classifier(saved: _ClassifierDescription) -> ClipClassifier:
    return ClipClassifier(
        ResNet3d(saved.spec),
        saved.num_classes,
        dropout=saved.dropout,
        trained_on=saved.clip,
        categories=saved.categories,
    )


BACKBONE = ModelKind(
    name="backbone",
    model=ResNet3d,
    describe=lambda model: {"spec": model.spec.to_yaml()},
    parse=lambda metadata: ModelDescription(spec=_parse_spec(metadata)),
    build=lambda saved: ResNet3d(saved.spec),
    backbone_spec=lambda model: model.spec,
    set_norm_eps=ResNet3d.set_norm_eps,
)
CLASSIFIER = ModelKind(
    name="classifier",
    model=ClipClassifier,
    describe=_describe_classifier,
    parse=_parse_classifier,
    build=_build_classifier,
    backbone_spec=lambda model: model.backbone.spec,
    set_norm_eps=ClipClassifier.set_norm_eps,
    prefixes=("backbone.",),
)
