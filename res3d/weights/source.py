"""Weights sources: a common description of registered names, weights files and state dicts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TypeAlias

from torch import Tensor

from res3d.backbone import BackboneSpec, resolve_spec
from res3d.clips import ClipSpec
from res3d.weights.download import fetch_weights
from res3d.weights.kinds import ModelDescription, find_kind, parse_metadata
from res3d.weights.layouts import LAYOUTS, Layout, recognise
from res3d.weights.reading import read_checkpoint, read_metadata, unwrap
from res3d.weights.registry import WeightsEntry, find_weights, is_registered
from res3d.weights.report import WeightsError


@dataclass(frozen=True, kw_only=True, eq=False)
class WeightsSource:
    """A source of weights and the description of its model, from ``open_weights``.

    The tensors are read on first access to ``tensors`` and cached, so pass one source to several functions. For a
    registered name, the first access also downloads the file if it is not in the cache, and checks its SHA-256.

    Raises:
        FileNotFoundError: ``tensors``, ``layout``, ``num_classes`` and ``recognise``: the file no longer exists.
        WeightsError: ``tensors``, ``layout``, ``num_classes`` and ``recognise``: the file cannot be read or downloaded.
    """

    name: str
    """The registered name, the path, or "a state dict", for errors and reports."""
    kind: str | None = None
    """The model kind: "backbone", "classifier" or "detector"; None for other libraries' files and for state dicts."""
    description: ModelDescription | None = None
    """Description of the model; None if ``kind`` is None."""
    is_saved: bool = False
    """True for a file that ``save_weights`` wrote, from which ``load_model`` rebuilds the model."""
    norm_eps: float | None = None
    """Eps of the norms in training, from the registry; None for files and state dicts."""
    read: Callable[[], Mapping[str, Tensor]] = field(repr=False)
    """Read and return the tensors; called once."""

    @property
    def spec(self) -> BackboneSpec | None:
        """All stages of the backbone, including those that a detector uses in its box head; None if unknown."""
        return None if self.description is None else self.description.spec

    @property
    def categories(self) -> tuple[str, ...]:
        """Names of a classifier's classes 0, 1, ..., or of a detector's labels 1, 2, ...; empty if unknown."""
        return () if self.description is None else self.description.categories

    @property
    def clip(self) -> ClipSpec | None:
        """The clips that the model was trained on; None if unknown."""
        return None if self.description is None else self.description.clip

    @cached_property
    def tensors(self) -> Mapping[str, Tensor]:
        """The tensors by their keys in the file."""
        return self.read()

    @cached_property
    def layout(self) -> Layout:
        """The layout of the tensors' keys, among those of backbones and classifiers.

        Raises:
            WeightsError: the keys match no layout.
        """
        return self.recognise()

    @cached_property
    def num_classes(self) -> int | None:
        """Number of classes of the clip classifier in these weights; None if there is no clip classifier.

        The tensors are read only if ``kind`` is None.

        Raises:
            WeightsError: the keys match no layout.
        """
        if self.description is not None:
            return self.description.num_classes
        counts = (len(tensor) for key, tensor in self.tensors.items() if self.layout.rename(key) == "fc.weight")
        return next(counts, None)

    def recognise(self, layouts: Sequence[Layout] = LAYOUTS) -> Layout:
        """Return the layout among ``layouts`` that has names for most of the tensors' keys.

        Raises:
            WeightsError: no layout has names for more than half of the keys.
        """
        tensors = self.tensors
        try:
            return recognise(tensors, layouts)
        except ValueError as error:
            raise WeightsError(f"{self.name}: {error}") from None


Source: TypeAlias = WeightsSource | str | Path | Mapping[str, Tensor]


def open_weights(source: Source) -> WeightsSource:
    """Describe a source of weights, without reading or downloading its tensors.

    Args:
        source: a registered name (``list_weights()``), the path of a file, a state dict, or a source, which is returned
            unchanged.

    Raises:
        FileNotFoundError: no such file.
        WeightsError: a damaged safetensors file, or metadata of an unknown model.
        ValueError: a name that starts with a registered origin and is not registered.
    """
    if isinstance(source, WeightsSource):
        return source
    if isinstance(source, Mapping):
        tensors = source
        return WeightsSource(name="a state dict", read=lambda: unwrap(tensors))
    return _open_registered(find_weights(str(source))) if is_registered(source) else _open_file(source)


def _open_registered(entry: WeightsEntry) -> WeightsSource:
    names = entry.categories or ()
    is_detector = entry.task == "detection"
    description = ModelDescription(
        spec=resolve_spec(entry.model),
        num_classes=None if is_detector else len(names) or None,
        categories=names[1:] if is_detector else names,  # without the background
        clip=entry.clip,
    )
    return WeightsSource(
        name=entry.name,
        kind="detector" if is_detector else "classifier",
        description=description,
        norm_eps=entry.norm_eps,
        read=lambda: read_checkpoint(fetch_weights(entry)),
    )


def _open_file(path: str | Path) -> WeightsSource:
    text = read_metadata(path)
    if text is None:
        return WeightsSource(name=str(path), read=partial(read_checkpoint, path))
    try:
        metadata = parse_metadata(text)
        kind = find_kind(metadata)
        description = kind.parse(metadata)
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from None
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise WeightsError(f"{path}: its metadata does not describe a model ({error})") from None
    return WeightsSource(
        name=str(path),
        kind=kind.name,
        description=description,
        is_saved=True,
        read=partial(read_checkpoint, path),
    )
