"""``open_weights``: one description of a registered name, a weights file or a state dict."""

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
    """Weights and what is known about them.

    The tensors are read when they are first asked for, and kept: pass one source to all that needs the weights. For
    registered weights that is also when the file is downloaded, if need be, and its SHA-256 checked.

    Raises:
        FileNotFoundError: ``tensors`` and what follows from them: the file is gone.
        WeightsError: likewise: an unreadable file.
    """

    name: str
    """The registered name, the path, or "a state dict": what errors and reports call it."""
    kind: str | None = None
    """"backbone", "classifier" or "detector"; None: another library's file or a state dict, which does not say."""
    description: ModelDescription | None = None
    """The model, where ``kind`` is known."""
    is_saved: bool = False
    """True for a file that ``save_weights`` wrote, from which ``load_model`` rebuilds the model."""
    norm_eps: float | None = None
    """The eps of the norms that the weights were trained with, where the origin states it and the file does not."""
    read: Callable[[], Mapping[str, Tensor]] = field(repr=False)
    """Reads the tensors; called once."""

    @property
    def spec(self) -> BackboneSpec | None:
        """All stages of the backbone, wherever the model uses them; None: not known."""
        return None if self.description is None else self.description.spec

    @property
    def categories(self) -> tuple[str, ...]:
        """Names of a classifier's classes 0, 1, ..., or of a detector's labels 1, 2, ...; empty: not known."""
        return () if self.description is None else self.description.categories

    @property
    def clip(self) -> ClipSpec | None:
        """The clips that the model was trained on; None: not known."""
        return None if self.description is None else self.description.clip

    @cached_property
    def tensors(self) -> Mapping[str, Tensor]:
        """The tensors under the file's own names."""
        return self.read()

    @cached_property
    def layout(self) -> Layout:
        """The layout of a backbone's or classifier's checkpoint that has these names.

        Raises:
            WeightsError: names of no known layout.
        """
        return self.recognise()

    @cached_property
    def num_classes(self) -> int | None:
        """Classes of the clip classifier in these weights; None: there is no clip classifier.

        The tensors are read only where ``kind`` is None.

        Raises:
            WeightsError: names of no known layout.
        """
        if self.description is not None:
            return self.description.num_classes
        heads = (len(tensor) for key, tensor in self.tensors.items() if self.layout.rename(key) == "fc.weight")
        return next(heads, None)

    def recognise(self, layouts: Sequence[Layout] = LAYOUTS) -> Layout:
        """The one of ``layouts`` that has these names.

        Raises:
            WeightsError: none has.
        """
        tensors = self.tensors
        try:
            return recognise(tensors, layouts)
        except ValueError as error:
            raise WeightsError(f"{self.name}: {error}") from None


Source: TypeAlias = WeightsSource | str | Path | Mapping[str, Tensor]


def open_weights(source: Source) -> WeightsSource:
    """Open ``source`` and identify it, without reading tensors.

    Args:
        source: a registered name (``list_weights()``), a file, a state dict, or a source that is open already.

    Raises:
        FileNotFoundError: no such file.
        WeightsError: a damaged safetensors file, or metadata of no model that this version knows.
        ValueError: a registered origin without weights of this name.
    """
    if isinstance(source, WeightsSource):
        return source
    if isinstance(source, Mapping):
        tensors = source
        return WeightsSource(name="a state dict", read=lambda: unwrap(tensors))
    return _registered(find_weights(str(source))) if is_registered(source) else _file(source)


def _registered(entry: WeightsEntry) -> WeightsSource:
    names = entry.categories or ()
    is_detector = entry.task == "detection"
    description = ModelDescription(
        spec=resolve_spec(entry.model),
        num_classes=None if is_detector else len(names) or None,
        categories=names[1:] if is_detector else names,  # the first of a detector's is its background
        clip=entry.clip,
    )
    return WeightsSource(
        name=entry.name,
        kind="detector" if is_detector else "classifier",
        description=description,
        norm_eps=entry.norm_eps,
        read=lambda: read_checkpoint(fetch_weights(entry)),
    )


def _file(path: str | Path) -> WeightsSource:
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
        raise WeightsError(f"{path}: its metadata describes no model ({error})") from None
    return WeightsSource(
        name=str(path),
        kind=kind.name,
        description=description,
        is_saved=True,
        read=partial(read_checkpoint, path),
    )
