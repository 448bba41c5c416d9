"""Factories of backbones and clip classifiers."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

from res3d.backbone import CATALOG, BackboneSpec, ClipClassifier, ResNet3d, apply_overrides, resolve_spec
from res3d.settings.types import Value
from res3d.weights.files import load_model
from res3d.weights.load import load_weights
from res3d.weights.report import WeightsError
from res3d.weights.source import Source, open_weights


def create_backbone(
    name: str | Path | BackboneSpec,
    *,
    weights: Source | None = None,
    body: str | None = None,
    freeze_at: int = 0,
    out_features: Sequence[str] | None = None,
    checkpoint_stages: Sequence[str] = (),
    **overrides: Any,
) -> ResNet3d:
    """Build a backbone from a name, a spec or a spec file.

    Args:
        name: a name from ``list_backbones()``, a spec, or the path of a YAML file with a spec.
        weights: a source as for ``load_weights``; None: random weights.
        body: the last stage of the backbone ("conv4", "conv5", ...); by default the spec's last stage.
        freeze_at: number of leading stages to freeze, see ``ResNet3d.freeze``.
        out_features: stages whose feature maps the backbone returns, in this order; by default the last.
        checkpoint_stages: stages that recompute their activations in the backward pass.
        **overrides: changes to the architecture: ``width`` (a multiplier), ``in_channels``, ``norm``, ``norm_eps``,
            ``norm_momentum``, ``temporal_kernel``, ``middle``, ``temporal_stride``, ``temporal_padding``,
            ``stride_on``, ``shortcut``, ``attention`` and ``output_stride`` (docs/backbones.md).

    Raises:
        FileNotFoundError: ``weights`` is a path without a file.
        WeightsError: weights that cannot be read or do not fit.
        ValueError: an unknown name, stage or override, or a value out of range; the message names what is accepted.
    """
    spec = apply_overrides(resolve_spec(name), **overrides)
    if body is not None:
        spec = spec.split(body)[0]
    model = ResNet3d(spec, out_features=out_features, freeze_at=freeze_at, checkpoint_stages=checkpoint_stages)
    if weights is not None:
        load_weights(model, weights)
    return model


def create_classifier(
    name: str | Path | BackboneSpec,
    num_classes: int,
    *,
    weights: Source | None = None,
    head: Literal["load", "new"] = "load",
    dropout: float = 0.0,
    **backbone_keywords: Any,
) -> ClipClassifier:
    """Build a classifier: a backbone, and a linear layer on its last feature map averaged over time and space.

    Args:
        name: as for ``create_backbone``.
        num_classes: number of logits.
        weights: a source as for ``load_weights``; None: random weights.
        head: "load" loads the linear layer from ``weights`` too, and its shape must fit; "new" leaves it random.
        dropout: probability of dropping a pooled feature in training.
        **backbone_keywords: the other keywords of ``create_backbone``.

    Raises:
        FileNotFoundError: as for ``create_backbone``.
        WeightsError: as for ``create_backbone``.
        ValueError: as for ``create_backbone``, or ``num_classes``, ``head`` or ``dropout`` out of range.
    """
    if head not in ("load", "new"):
        raise ValueError(f"head must be 'load' or 'new', not {head!r}")
    backbone = create_backbone(name, weights=weights if head == "new" else None, **backbone_keywords)
    model = ClipClassifier(backbone, num_classes, dropout=dropout)
    if weights is not None and head == "load":
        load_weights(model, weights)
    return model


def load_classifier(
    weights: Source, *, model: str | Path | BackboneSpec | None = None, **load_keywords: Value
) -> ClipClassifier:
    """Build the classifier of a weights source, with the number of classes found there.

    Args:
        weights: a registered name, a classifier's file written by ``save_weights``, another checkpoint file or a state
            dict (both need ``model``), or a source opened by ``open_weights``.
        model: the backbone, as ``name`` of ``create_backbone``; by default the backbone that the source describes.
        **load_keywords: keywords of ``load_weights``: ``inflate``, ``norm_eps``, ``channels``. A file written by
            ``save_weights`` is rebuilt without them unless ``model`` is passed.

    Raises:
        FileNotFoundError: no such file.
        WeightsError: weights without a classifier, or weights that do not fit.
        ValueError: a source that does not describe its backbone, without ``model``.
    """
    source = open_weights(weights)
    if model is None and source.is_saved:
        saved = load_model(source)
        if not isinstance(saved, ClipClassifier):
            raise WeightsError(f"{source.name}: holds a {type(saved).__name__}, not a classifier")
        return saved
    backbone = model or source.spec
    if backbone is None:
        raise ValueError(f"{source.name} does not describe its model; name the backbone of its classifier (model=...)")
    if source.num_classes is None:
        raise WeightsError(f"{source.name}: contains no classifier")
    classifier = create_classifier(backbone, source.num_classes)
    load_weights(classifier, source, **load_keywords)
    classifier.trained_on, classifier.categories = source.clip, source.categories
    return classifier


class BackboneFactory(Protocol):
    """A function such as ``res3d.resnet18_3d``: ``create_backbone`` for one name of the catalog."""

    def __call__(
        self,
        *,
        weights: Source | None = None,
        body: str | None = None,
        freeze_at: int = 0,
        out_features: Sequence[str] | None = None,
        checkpoint_stages: Sequence[str] = (),
        **overrides: object,
    ) -> ResNet3d: ...


def named_factory(name: str) -> BackboneFactory:
    """Return the function that builds the backbone ``name`` of the catalog.

    Raises:
        KeyError: a name that is not in the catalog.
    """
    if name not in CATALOG:
        raise KeyError(name)

    def factory(**keywords: Value) -> ResNet3d:
        return create_backbone(name, **keywords)

    factory.__name__ = factory.__qualname__ = name
    factory.__module__ = "res3d"  # pickle looks the function up in this module
    factory.__doc__ = f"Build the backbone {name!r}; takes the keywords of ``create_backbone``."
    return factory
