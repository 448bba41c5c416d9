"""Model kinds (backbone, classifier, detector): how each is described in a weights file, rebuilt and filled.

A new kind is one entry of ``KINDS``.
"""

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

# Import paths in place of objects: ``res3d.detection`` imports this package, and loading a backbone need not import it.
KINDS = {
    "backbone": "res3d.weights.kinds:BACKBONE",
    "classifier": "res3d.weights.kinds:CLASSIFIER",
    "detector": "res3d.detection.model_kind:DETECTOR",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelDescription:
    """Description of the model that weights belong to; each kind of model may add fields."""

    spec: BackboneSpec
    """All stages of the backbone, including those that a detector uses in its box head."""
    num_classes: int | None = None
    """Number of classes of a clip classifier; None for other kinds."""
    categories: tuple[str, ...] = ()
    """Names of a classifier's classes 0, 1, ..., or of a detector's labels 1, 2, ...; empty if unknown."""
    clip: ClipSpec | None = None
    """The clips that the model was trained on; None if unknown."""


M = TypeVar("M", bound=nn.Module)
D = TypeVar("D", bound=ModelDescription)


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelKind(Generic[M, D]):
    """Functions that save, rebuild and fill the models of one kind."""

    name: str
    """Name of the kind in the metadata of a file, and in ``KINDS``."""
    model: type[M]
    """Class of the models."""
    describe: Callable[[M], dict[str, object]]
    """Return the metadata of a model, as values that JSON can represent."""
    parse: Callable[[Metadata], D]
    """Parse the metadata that ``describe`` returned; raises KeyError, TypeError or ValueError for other metadata."""
    build: Callable[[D], M]
    """Build a model with random weights from a description that ``parse`` returned."""
    backbone_spec: Callable[[M], BackboneSpec]
    """Return the spec of a model's backbone: all stages, including those that a detector uses in its box head."""
    set_norm_eps: Callable[[M, float], None]
    """Set the eps of all norms, in the modules and in the spec."""
    prefixes: tuple[str, ...] = ()
    """Prefixes of the stages' names in the keys of the model's state dict."""
    layouts: tuple[Layout, ...] = LAYOUTS
    """Layouts of the checkpoints that can fill the models."""
    check_saved: Callable[[M, D], None] = lambda model, description: None
    """Raise ValueError if the model and a description that ``parse`` returned compute different functions of the same
    tensors. Differences between the backbones are checked elsewhere (``res3d.weights.compatibility``)."""


AnyKind: TypeAlias = ModelKind[Any, Any]


def resolve_kind(name: str) -> AnyKind:
    """Return the kind ``name`` of ``KINDS``.

    Raises:
        KeyError: an unknown name.
    """
    kind: AnyKind = resolve(KINDS[name])
    return kind


def kind_of(model: nn.Module) -> AnyKind:
    """Return the kind of a model.

    Raises:
        TypeError: the model is not a backbone, classifier or detector.
    """
    kinds = []
    for name in KINDS:
        kinds.append(resolve_kind(name))
        if isinstance(model, kinds[-1].model):
            return kinds[-1]
    names = " or ".join(f"a {kind.model.__name__}" for kind in kinds)
    raise TypeError(f"the model must be {names}, not a {type(model).__name__}")


def parse_metadata(text: str) -> Metadata:
    """Parse the JSON text in the header of a weights file.

    Raises:
        WeightsError: the text is not a JSON object.
    """
    try:
        metadata = json.loads(text)
    except ValueError:
        metadata = None
    if not isinstance(metadata, dict):
        raise WeightsError("its metadata is not a JSON object")
    return metadata


def find_kind(metadata: Metadata) -> AnyKind:
    """Return the kind of the model in a file with this metadata.

    Raises:
        WeightsError: an unknown kind.
    """
    name = metadata.get("kind")
    if not isinstance(name, str) or name not in KINDS:
        raise WeightsError(f"its model kind must be one of {', '.join(map(repr, KINDS))}, not {name!r}")
    return resolve_kind(name)


def _parse_spec(metadata: Metadata) -> BackboneSpec:
    return BackboneSpec.from_yaml(str(metadata["spec"]))


@dataclass(frozen=True, kw_only=True)
class _TrainedOn(ClipSpec):
    """The value of ``trained_on`` in the metadata: a clip spec and the names of the classes, as YAML."""

    categories: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class _ClassifierDescription(ModelDescription):
    num_classes: int
    dropout: float


def _describe_classifier(model: ClipClassifier) -> dict[str, object]:
    optional: dict[str, object] = {}
    if model.trained_on is not None:
        optional["trained_on"] = dump_dataclass(_TrainedOn.of(model.trained_on, categories=model.categories))
    elif model.categories:
        optional["categories"] = list(model.categories)
    return {
        "spec": model.backbone.spec.to_yaml(),
        "num_classes": model.num_classes,
        "dropout": model.dropout.p,
        **optional,
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
    """Parse the clip spec and the class names in a classifier's metadata."""
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
