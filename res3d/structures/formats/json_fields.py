"""Conversion of track fields to and from keys of JSON annotations; each JSON format has a table of ``JsonField``."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from res3d.settings.types import Json, Value
from res3d.structures.arrays import Floats
from res3d.structures.formats.numbers import to_short_floats
from res3d.structures.track import Track


@dataclass(frozen=True, slots=True)
class JsonField:
    """Conversion of one track field in an annotation. An annotation describes one object in one frame."""

    write: Callable[[Value], Json]
    """Function from the field's entry for one frame to the annotation's keys for it."""
    read: Callable[[Json], object]
    """Function from an annotation to the field's entry; None if the annotation lacks it."""


def array_field(key: str) -> JsonField:
    """Return a field that is stored under one key, as numbers in nested lists of the entry's shape."""
    return JsonField(
        write=lambda values: {key: _nested(values)},
        read=lambda entry: None if entry.get(key) is None else np.array(entry[key], np.float32),
    )


def _nested(values: Floats) -> list[object]:
    return [*to_short_floats(values)] if values.ndim == 1 else [_nested(part) for part in values]


def write_fields(track: Track, row: int, table: Mapping[str, JsonField]) -> Json:
    """Return the keys for one row of a track. If several fields write the same key, the last one in ``table`` wins."""
    keys: Json = {}
    for name, field in table.items():
        values = getattr(track, name)
        if values is not None and values[row] is not None:
            keys |= field.write(values[row])
    return keys


def read_fields(entry: Json, table: Mapping[str, JsonField]) -> dict[str, object]:
    """Return the fields of an annotation by name."""
    return {name: field.read(entry) for name, field in table.items()}
