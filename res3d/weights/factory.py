"""The factories: a name, spec or spec file in, a model out."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol, TypeVar

from torch import Tensor

from res3d.backbone import CATALOG, BackboneSpec, ClipClassifier, ResNet3d, apply_overrides, find_spec
from res3d.clips import ClipSpec
from res3d.weights.files import load_model
from res3d.weights.kinds import Metadata, ModelKind, kind_of_file
from res3d.weights.layouts import recognise
from res3d.weights.load import load_weights
from res3d.weights.reading import read_checkpoint, read_metadata
from res3d.weights.registry import find_weights, is_registered
from res3d.weights.report import WeightsError

T = TypeVar("T")
Source = str | Path | Mapping[str, Tensor]


def resolve_spec(model: str | Path | BackboneSpec) -> BackboneSpec:
    """The spec that a catalog name or a YAML file stands for.

    Raises:
        ValueError: an unknown name, or a file that is missing or no spec.
    """
    if isinstance(model, BackboneSpec):
        return model
    if Path(model).suffix not in (".yaml", ".yml"):
        return find_spec(str(model))
    try:
        return BackboneSpec.from_yaml(Path(model).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{model}: not a readable spec file ({error})") from None
    except ValueError as error:
        raise ValueError(f"{model}: {error}") from None


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
        weights: a registered name, a file or a state dict, see ``load_weights``; None leaves random weights.
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
        weights: a registered name, a file or a state dict; None leaves random weights.
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


def backbone_of(weights: str | Path) -> str | BackboneSpec | None:
    """The backbone that registered weights, or a file that ``save_weights`` wrote, belong to; None for other files.

    Raises:
        FileNotFoundError: no such file.
        WeightsError: an unreadable file.
    """
    if is_registered(weights):
        return find_weights(str(weights)).model
    return _ask_file(weights, lambda kind, metadata: kind.saved_spec(metadata))


def clip_of(weights: str | Path) -> ClipSpec | None:
    """The clips that registered weights, or a classifier that ``save_weights`` wrote, were trained on, if they say so.

    Raises:
        FileNotFoundError, WeightsError: as ``backbone_of``.
    """
    if is_registered(weights):
        return find_weights(str(weights)).clip
    return _ask_file(weights, lambda kind, metadata: kind.saved_clip(metadata))


def categories_of(weights: str | Path) -> tuple[str, ...]:
    """Names of the logits of registered weights or a classifier that ``save_weights`` wrote; empty where unknown.

    Raises:
        FileNotFoundError, WeightsError: as ``backbone_of``.
    """
    if is_registered(weights):
        return find_weights(str(weights)).categories or ()
    return _ask_file(weights, lambda kind, metadata: kind.saved_categories(metadata)) or ()


def _ask_file(path: str | Path, ask: Callable[[ModelKind, Metadata], T]) -> T | None:
    metadata = read_metadata(path)
    if metadata is None:
        return None
    try:
        return ask(*kind_of_file(metadata))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{path}: {error}") from None


def load_classifier(
    weights: str | Path, *, model: str | Path | BackboneSpec | None = None, **load_keywords: Any
) -> ClipClassifier:
    """A classifier with as many classes as its weights have.

    Args:
        weights: a registered name, a classifier that ``save_weights`` wrote, or any other file, for which
            ``model`` must say the backbone.
        model: as for ``create_backbone``; by default what the weights say.
        **load_keywords: of ``load_weights``: ``inflate``, ``norm_eps``, ``channels``.

    Raises:
        FileNotFoundError: no such file.
        WeightsError: weights without a classifier, or that do not fit.
        ValueError: a foreign file without ``model``.
    """
    if model is None:
        if is_registered(weights):
            model = find_weights(str(weights)).model
        else:
            if read_metadata(weights) is not None:
                saved = load_model(weights)
                if not isinstance(saved, ClipClassifier):
                    raise WeightsError(f"{weights}: holds a {type(saved).__name__}, not a classifier")
                return saved
            raise ValueError(f"{weights} does not say what classifier it belongs to; name its backbone (model=...)")
    classes = head_classes(weights)
    if classes is None:
        raise WeightsError(f"{weights}: weights without a classifier")
    classifier = create_classifier(model, classes)
    load_weights(classifier, weights, **load_keywords)
    classifier.trained_on, classifier.categories = clip_of(weights), categories_of(weights)
    return classifier


def head_classes(weights: str | Path) -> int | None:
    """How many classes the classifier in these weights has; None if there is none.

    Raises:
        FileNotFoundError: no such file.
        WeightsError: an unreadable file, or names of no known layout.
    """
    if is_registered(weights):
        entry = find_weights(str(weights))
        return len(entry.categories or ()) or None if entry.task == "classification" else None
    tensors = read_checkpoint(weights).tensors
    try:
        layout = recognise(tensors)
    except ValueError as error:
        raise WeightsError(f"{weights}: {error}") from None
    return next((len(tensor) for key, tensor in tensors.items() if layout.rename(key) == "fc.weight"), None)


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
        **overrides: Any,
    ) -> ResNet3d: ...


def named_factory(name: str) -> BackboneFactory:
    """The function that makes the catalogued backbone ``name``."""
    if name not in CATALOG:
        raise KeyError(name)

    def factory(**keywords: Any) -> ResNet3d:
        return create_backbone(name, **keywords)

    factory.__name__ = factory.__qualname__ = name
    factory.__module__ = "res3d"  # where it is found, by pickle too
    factory.__doc__ = f"The backbone {name!r}; takes the keywords of ``create_backbone``."
    return factory
