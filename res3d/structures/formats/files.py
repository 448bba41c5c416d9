"""Text and JSON files, read with errors that name them."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from res3d.settings.types import Json


def read_text(path: str | Path) -> str:
    """Return the text of a file.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a file, or not text.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{path}: holds no text") from None
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from None


def read_json(path: str | Path) -> Json:
    """Return the object in a JSON file; errors as ``read_text``, and ValueError for anything but a JSON object."""
    text = read_text(path)
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not a JSON file ({error})") from None
    if not isinstance(data, dict):
        raise ValueError(f"{path}: holds a JSON {type(data).__name__}, not an object with images and annotations")
    return data


@contextmanager
def reading(path: str | Path, kind: str) -> Iterator[None]:
    """Turn errors that arise inside, from whatever a file may hold, into a ValueError that names the file."""
    try:
        with np.errstate(over="ignore"):  # a number too large for float32 is infinite, which is refused
            yield
    except ValueError as error:
        if str(error).startswith(f"{path}: "):
            raise
        raise ValueError(f"{path}: not {kind} as it should be ({error})") from None
    except (TypeError, KeyError, AttributeError, OverflowError) as error:
        raise ValueError(f"{path}: not {kind} as it should be ({type(error).__name__}: {error})") from None


def table_of(data: Json, key: str, path: str | Path, needs: tuple[str, ...]) -> list[Json]:
    """Return the list of objects under ``key``, each of which has the keys that it ``needs``.

    Raises:
        ValueError: a missing or invalid list; names the file and the first invalid entry.
    """
    rows = data.get(key)
    if not isinstance(rows, list):
        raise ValueError(f"{path}: has no list of {key!r}")
    for number, row in enumerate(rows):
        if not isinstance(row, dict):
            raise ValueError(f"{path}: entry {number} of {key!r} is no object")
        if missing := [name for name in needs if name not in row]:
            raise ValueError(f"{path}: entry {number} of {key!r} has no {', '.join(map(repr, missing))}")
    return rows
