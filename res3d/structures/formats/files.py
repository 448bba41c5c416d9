"""Reading of text and JSON files, with errors that name the file."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from res3d.settings.types import Json


def read_text(path: str | Path) -> str:
    """Return the text of a file.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the path cannot be read (it may be a folder), or the content is not UTF-8 text.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise ValueError(f"{path}: not a UTF-8 text file") from None
    except OSError as error:
        raise ValueError(f"{path}: cannot be read ({error.strerror})") from None


def read_json(path: str | Path) -> Json:
    """Return the object in a JSON file.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: the file cannot be read, or does not contain a JSON object.
    """
    text = read_text(path)
    try:
        data = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not a JSON file ({error})") from None
    if not isinstance(data, dict):
        raise ValueError(f"{path}: must be a JSON object with images and annotations, not a {type(data).__name__}")
    return data


@contextmanager
def invalid_content_errors(path: str | Path, kind: str) -> Iterator[None]:
    """Context manager that converts errors caused by invalid content to a ValueError that names the file.

    Args:
        path: the file; errors that start with it are not changed.
        kind: content that the file should have, such as "CocoVID JSON".
    """
    try:
        with np.errstate(over="ignore"):  # a number too large for float32 becomes infinite, which the checks refuse
            yield
    except ValueError as error:
        if str(error).startswith(f"{path}: "):
            raise
        raise ValueError(f"{path}: invalid {kind} ({error})") from None
    except (TypeError, KeyError, AttributeError, OverflowError) as error:
        raise ValueError(f"{path}: invalid {kind} ({type(error).__name__}: {error})") from None


def get_entries(data: Json, key: str, path: str | Path, required: tuple[str, ...]) -> list[Json]:
    """Return the list of objects under ``key``.

    Args:
        data: a file's JSON object.
        key: key of the list.
        path: the file, for error messages.
        required: keys that every object in the list must have.

    Raises:
        ValueError: the list or a required key is missing or invalid; the message names the file and the first entry.
    """
    entries = data.get(key)
    if not isinstance(entries, list):
        raise ValueError(f"{path}: the list {key!r} is missing")
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise ValueError(f"{path}: entry {number} of {key!r} is not a JSON object")
        if missing := [name for name in required if name not in entry]:
            raise ValueError(f"{path}: entry {number} of {key!r} has no {', '.join(map(repr, missing))}")
    return entries
