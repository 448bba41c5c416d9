"""Plain values, as YAML holds them, to values of annotated types: strict, with the path of what is wrong.

Errors are one line: ``spec.stages[3]: unknown key 'widht'; did you mean 'width'? (accepted: ...)``. Of the libraries
that read nested dataclasses from YAML and flags, jsonargparse, tyro and pydantic-settings were tried in its place: none
names the path, the value, what is accepted and the nearest name in one line; tyro reads no YAML, and pydantic answers
with its own exception of several lines.
"""

from collections.abc import Callable, Mapping
from dataclasses import MISSING, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Literal, TypeVar, Union, get_args

from res3d.settings.fields import markers_of, origin_of, settings_of, without_markers
from res3d.settings.markers import Choice, Tagged
from res3d.settings.suggest import did_you_mean, name_list, shorten
from res3d.settings.types import ANYTHING, Class, Hint, Value
from res3d.settings.variant import Variant

T = TypeVar("T")

MOST = 1000  # items that one "repeat" may stand for
REPEAT = "repeat"  # a key of a list's item: the item stands there so many times


def build_dataclass(kind: type[T], data: Mapping[str, Value], *, root: str) -> T:
    """Build a dataclass from plain values by field; ``root`` is what errors call the whole.

    Raises:
        ValueError: a key that is no field, a value of another type, or one that the dataclass refuses; names its path.
    """
    built: T = build_value(kind, data, root)
    return built


def check_arguments(kind: Class, data: Value, root: str) -> dict[str, Value]:
    """Return the arguments that a dataclass would be built with, by field, of the fields' types.

    Raises:
        ValueError: as ``build_dataclass``, but for what the dataclass itself refuses.
    """
    if not isinstance(data, Mapping):
        raise ValueError(located(root, f"expected the keys of {kind.__name__}, not {shorten(data)}"))
    settings = {setting.name: setting for setting in settings_of(kind)}
    for key in data:
        if key not in settings:
            raise ValueError(located(root, unknown_key(key, settings)))
    for name, setting in settings.items():
        if name not in data and setting.default is MISSING:
            meaning = f" ({setting.doc.rstrip('.')})" if setting.doc else ""
            raise ValueError(located(root, f"key {name!r} is missing{meaning}"))
    return {key: build_value(settings[key].hint, value, join(root, key)) for key, value in data.items()}


def build_value(hint: Hint, value: Value, where: str) -> Value:
    """Build a value of the type ``hint``, which may be ``Annotated``; ``where`` is its path in errors.

    Raises:
        ValueError: as ``build_dataclass``.
    """
    kind = without_markers(hint)
    if value is None and (kind is NoneType or NoneType in get_args(kind)):
        return None
    for choice in markers_of(hint, Choice):
        return _read_word(choice, value, where)
    for tagged in markers_of(hint, Tagged):
        return _build_tagged(tagged, kind, value, where)
    if isinstance(kind, type) and is_dataclass(kind):
        return value if isinstance(value, kind) else _build_dataclass(kind, value, where)
    build = _BUILDERS.get(origin_of(kind))
    if build is None:
        raise TypeError(f"{where}: settings cannot be of type {kind!r}")
    return build(kind, value, where)


def join(where: str, key: Value) -> str:
    """Return the path of a key below a path."""
    return f"{where}.{key}" if where else str(key)


def located(where: str, message: str) -> str:
    """Return an error message after the path of what it is about."""
    return f"{where}: {message}" if where else message


def unknown_key(key: Value, accepted: Mapping[str, Value]) -> str:
    """Return the error message for a key that is not accepted."""
    return f"unknown key {shorten(key)}{did_you_mean(str(key), accepted)} (accepted: {name_list(accepted)})"


def _build_dataclass(kind: Hint, value: Value, where: str) -> Value:
    arguments = check_arguments(kind, value, where)
    try:
        return kind(**arguments)
    except ValueError as error:
        raise ValueError(located(where, str(error))) from None


def _read_word(choice: Choice, value: Value, where: str) -> str:
    text = str(value)  # YAML takes the word 32 for a number
    word = choice.also.get(text, text)
    if isinstance(value, (str, int)) and word in choice.words:
        return word
    hint = did_you_mean(text, choice.words)
    raise ValueError(located(where, f"expected one of {name_list(choice.words)}, not {shorten(value)}{hint}"))


def _build_tagged(tagged: Tagged, kind: Hint, value: Value, where: str) -> Value:
    unbuilt = Variant in {origin_of(part) for part in (kind, *get_args(kind))}
    if isinstance(value, Variant):
        return value if unbuilt else value.build()
    if is_dataclass(value) and not unbuilt:
        return value
    if tagged.bare and isinstance(value, str):
        value = {tagged.key: value}
    if not isinstance(value, Mapping):
        raise ValueError(located(where, f"expected a mapping with {tagged.key!r}, not {shorten(value)}"))
    tag = value.get(tagged.key)
    if not isinstance(tag, str) or tag not in tagged.tags:
        what = f"not {shorten(tag)}{did_you_mean(str(tag), tagged.tags)}" if tagged.key in value else "and is missing"
        raise ValueError(f"{join(where, tagged.key)} must be one of {name_list(tagged.tags)}, {what}")
    given = {key: item for key, item in value.items() if key != tagged.key}
    member = tagged.type_of(tag)
    if not unbuilt:
        return _build_dataclass(member, given, where)
    return Variant(tag=tag, kind=member, given=given, arguments=check_arguments(member, given, where), root=where)


def _build_union(hint: Hint, value: Value, where: str) -> Value:
    choices = [choice for choice in get_args(hint) if choice is not NoneType]
    if len(choices) == 1:
        return build_value(choices[0], value, where)
    for choice in choices:
        try:
            return build_value(choice, value, where)
        except ValueError:
            continue
    raise ValueError(located(where, f"expected {' or '.join(map(type_name, choices))}, not {shorten(value)}"))


def _build_tuple(hint: Hint, value: Value, where: str) -> tuple[Value, ...]:
    args = get_args(hint)
    if args and args[-1] is Ellipsis:
        return tuple(_build_items(args[0], value, where))
    if not isinstance(value, (list, tuple)):
        raise ValueError(located(where, f"expected a list, not {shorten(value)}"))
    if len(value) != len(args):
        raise ValueError(located(where, f"expected {len(args)} values, not {shorten(value)}"))
    return tuple(build_value(arg, item, f"{where}[{i}]") for i, (arg, item) in enumerate(zip(args, value, strict=True)))


def _build_list(hint: Hint, value: Value, where: str) -> list[Value]:
    return _build_items(get_args(hint)[0], value, where)


def _build_items(hint: Hint, value: Value, where: str) -> list[Value]:
    if not isinstance(value, (list, tuple)):
        raise ValueError(located(where, f"expected a list, not {shorten(value)}"))
    items: list[Value] = []
    for index, item in enumerate(value):
        place, count = f"{where}[{index}]", 1
        if isinstance(item, Mapping) and REPEAT in item:
            count = _check_count(item[REPEAT], place)
            item = {key: part for key, part in item.items() if key != REPEAT}
        items += [build_value(hint, item, place)] * count
    return items


def _check_count(count: Value, where: str) -> int:
    if isinstance(count, int) and not isinstance(count, bool) and 1 <= count <= MOST:
        return count
    raise ValueError(f"{where}.{REPEAT}: expected a whole number from 1 to {MOST}, not {shorten(count)}")


def _build_mapping(hint: Hint, value: Value, where: str) -> dict[Value, Value]:
    if not isinstance(value, Mapping):
        raise ValueError(located(where, f"expected a mapping, not {shorten(value)}"))
    keys, values = get_args(hint) or (ANYTHING, ANYTHING)
    return {build_value(keys, key, where): build_value(values, item, join(where, key)) for key, item in value.items()}


def _build_literal(hint: Hint, value: Value, where: str) -> Value:
    words = get_args(hint)
    if value in words and not isinstance(value, bool):
        return value
    names = list(map(str, words))
    near = did_you_mean(str(value), names)
    raise ValueError(located(where, f"expected one of {name_list(names)}, not {shorten(value)}{near}"))


def _build_scalar(hint: Hint, value: Value, where: str) -> Value:
    right = isinstance(value, hint) and (hint is bool or not isinstance(value, bool))
    return value if right else _refuse(hint, value, where)


def _build_float(hint: Hint, value: Value, where: str) -> float:
    if isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:
            return float(value)  # YAML 1.1 reads 1e-5, which has no dot, as text
        except (ValueError, OverflowError):
            pass
    return float(_refuse(hint, value, where))


def _build_path(hint: Hint, value: Value, where: str) -> Path:
    return Path(value) if isinstance(value, (str, Path)) else Path(_refuse(hint, value, where))


def _refuse(hint: Hint, value: Value, where: str) -> Value:
    raise ValueError(located(where, f"expected {type_name(hint)}, not {shorten(value)}"))


def type_name(hint: Hint) -> str:
    """Return the name of a type for an error message."""
    hint = without_markers(hint)
    if origin_of(hint) is Literal:
        return f"one of {name_list(map(str, get_args(hint)))}"
    if origin_of(hint) in (Union, UnionType):
        return " or ".join(map(type_name, get_args(hint)))
    hint = origin_of(hint)
    return _TYPE_NAMES.get(hint) or str(getattr(hint, "__name__", hint))


_TYPE_NAMES: Mapping[Hint, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    Path: "a path",
    NoneType: "null",
    list: "a list",
    tuple: "a list",
    dict: "a mapping",
}
_BUILDERS: Mapping[Hint, Callable[[Hint, Value, str], Value]] = {
    ANYTHING: lambda hint, value, where: value,
    Union: _build_union,
    UnionType: _build_union,
    tuple: _build_tuple,
    list: _build_list,
    dict: _build_mapping,
    Literal: _build_literal,
    int: _build_scalar,
    str: _build_scalar,
    bool: _build_scalar,
    float: _build_float,
    Path: _build_path,
}
