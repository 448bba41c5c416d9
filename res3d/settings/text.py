"""Conversion of command-line words to plain values, as YAML has them, by the type of the setting."""

from pathlib import Path
from types import NoneType, UnionType
from typing import Literal, Union, get_args

from res3d.settings.fields import markers_of, origin_of, without_markers
from res3d.settings.markers import Choice
from res3d.settings.types import Hint, Value
from res3d.settings.yaml_form import load_yaml

NOTHING = ("null", "none", "None")  # words for None


def from_text(hint: Hint, text: str) -> Value:
    """Return the plain value of a text: "a,b" or "[a, b]" for a list, "{a: 1}" for a mapping.

    A text that is not valid for the type is returned unchanged, or as YAML reads it; ``build_value`` refuses it later.
    """
    bare = without_markers(hint)
    parts = get_args(bare) if origin_of(bare) in (Union, UnionType) else (bare,)
    kinds = [part for part in parts if part is not NoneType]
    is_text = markers_of(hint, Choice) or str in kinds
    if NoneType in parts and (text == "null" or (text in NOTHING and not is_text)):
        return None
    if is_text:
        return text
    return _of_kind(kinds[0], text) if len(kinds) == 1 else yaml_value(text)


def yaml_value(text: str) -> Value:
    """Return the value of a text in YAML, or the text if it is not valid YAML.

    Numbers like 1e-3, which YAML 1.1 reads as text, are returned as floats.
    """
    try:
        value = load_yaml(text, root="value")
    except ValueError:
        return text
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def _of_kind(kind: Hint, text: str) -> Value:
    origin = origin_of(kind)
    if origin in (list, tuple):
        return _list(get_args(kind), text)
    if origin is Literal:
        return next((word for word in get_args(kind) if str(word) == text), text)
    return text if origin in (str, Path) else yaml_value(text)


def _list(kinds: tuple[Value, ...], text: str) -> Value:
    if text.lstrip().startswith("["):
        return yaml_value(text)
    words = [word.strip() for word in text.split(",")] if text else []
    item = [kinds[0]] * len(words) if len(kinds) != len(words) or Ellipsis in kinds else kinds
    return [from_text(hint, word) for hint, word in zip(item, words, strict=True)]
