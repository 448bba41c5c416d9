"""The factories: a name, spec or spec file in, a model out."""

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
    """A backbone by name.

    Args:
        name: a name from ``list_backbones()``, a spec, or a YAML file that holds one.
        weights: a source as ``load_weights`` takes it; None leaves random weights.
        body: the stage to end after ("conv4", "conv5", ...); by default the last.
        freeze_at: how many leading stages are frozen, see ``ResNet3d.freeze``.
        out_features: stages whose maps come out, in this order; by default the last.
        checkpoint_stages: stages that recompute their activations in the backward pass.
        **overrides: changes to the architecture: ``width`` (a multiplier), ``in_channels``, ``norm``, ``norm_eps``,
            ``norm_momentum``, ``temporal_kernel``, ``middle``, ``temporal_stride``, ``temporal_padding``,
            ``stride_on``, ``shortcut``, ``attention`` and ``output_stride`` (docs/backbones.md).

    Raises:
        ValueError: an unknown name, stage or override, or a value that does not fit; the message says what is accepted.
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
    """A backbone with a linear classifier on its last map, averaged over time and space.

    Args:
        name: as for ``create_backbone``.
        num_classes: how many logits.
        weights: a source as ``load_weights`` takes it; None leaves random weights.
        head: "load" takes the classifier from ``weights`` too, which must fit; "new" drops it and starts a fresh one.
        dropout: probability of dropping a pooled feature in training.
        **backbone_keywords: the other keywords of ``create_backbone``.

    Raises:
        ValueError: as ``create_backbone``, or ``num_classes``, ``head`` or ``dropout`` out of range.
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
    """A classifier with as many classes as its weights have.

    Args:
        weights: a registered name, a classifier that ``save_weights`` wrote, any other file or a state dict, for which
            ``model`` must say the backbone, or what ``open_weights`` made of one of these.
        model: as for ``create_backbone``; by default what the weights say.
        **load_keywords: of ``load_weights``: ``inflate``, ``norm_eps``, ``channels``.

    Raises:
        FileNotFoundError: no such file.
        WeightsError: weights without a classifier, or that do not fit.
        ValueError: a foreign file without ``model``.
    """
    source = open_weights(weights)
    if model is None and source.is_saved:
        saved = load_model(source)
        if not isinstance(saved, ClipClassifier):
            raise WeightsError(f"{source.name}: holds a {type(saved).__name__}, not a classifier")
        return saved
    backbone = model or source.spec
    if backbone is None:
        raise ValueError(f"{source.name} does not say what classifier it belongs to; name its backbone (model=...)")
    if source.num_classes is None:
        raise WeightsError(f"{source.name}: weights without a classifier")
    classifier = create_classifier(backbone, source.num_classes)
    load_weights(classifier, source, **load_keywords)
    classifier.trained_on, classifier.categories = source.clip, source.categories
    return classifier


class BackboneFactory(Protocol):
    """``res3d.resnet18_3d`` and its like: ``create_backbone`` with the name filled in."""

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
    """The function that makes the catalogued backbone ``name``."""
    if name not in CATALOG:
        raise KeyError(name)

    def factory(**keywords: Value) -> ResNet3d:
        return create_backbone(name, **keywords)

    factory.__name__ = factory.__qualname__ = name
    factory.__module__ = "res3d"  # where it is found, by pickle too
    factory.__doc__ = f"The backbone {name!r}; takes the keywords of ``create_backbone``."
    return factory
