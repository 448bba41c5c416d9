"""Fields of tracks as keys of a JSON annotation: each JSON format has a table of these, by field."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from res3d.settings.types import Json, Value
from res3d.structures.arrays import Floats
from res3d.structures.formats.numbers import shortest
from res3d.structures.track import Track


@dataclass(frozen=True, slots=True)
class JsonField:
    """One field of a track in an annotation, which is of one object in one frame."""

    write: Callable[[Value], Json]
    """Takes the field's entry for a frame and returns the keys that hold it."""
    read: Callable[[Json], object]
    """Returns the entry, None where the annotation has none."""


def array_field(key: str) -> JsonField:
    """Return the field whose entries one key holds, as numbers in (nested) lists of their shape."""
    return JsonField(
        write=lambda values: {key: _nested(values)},
        read=lambda entry: None if entry.get(key) is None else np.array(entry[key], np.float32),
    )


def _nested(values: Floats) -> list[object]:
    return [*shortest(values)] if values.ndim == 1 else [_nested(part) for part in values]


def write_fields(track: Track, row: int, table: Mapping[str, JsonField]) -> Json:
    """Return the keys of a track's row; a key that several fields write has the last one's value."""
    keys: Json = {}
    for name, field in table.items():
        values = getattr(track, name)
        if values is not None and values[row] is not None:
            keys |= field.write(values[row])
    return keys


def read_fields(entry: Json, table: Mapping[str, JsonField]) -> dict[str, object]:
    """Return the fields of an annotation by name."""
    return {name: field.read(entry) for name, field in table.items()}
