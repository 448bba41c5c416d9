"""Frozen dataclasses to and from YAML: every key is a field, and an unknown one is refused by name, with its place."""

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import yaml

from res3d.settings.suggest import did_you_mean

T = TypeVar("T")

MOST = 1000  # items that one "repeat" may stand for
REPEAT = "repeat"  # a key of a list's item: the item stands there so many times


class _FlowList(list[Any]):
    """A list that is written on one line."""


class _Loader(yaml.SafeLoader):
    """Plain values only, and no key twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for key in keys:
            if isinstance(key, str) and keys.count(key) > 1:
                raise yaml.YAMLError(f"key {key!r} stands twice")
        return super().construct_mapping(node, deep)


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


_Dumper.add_representer(
    _FlowList, lambda dumper, data: dumper.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=True)
)


def dump_dataclass(value: Any) -> str:
    """YAML of a dataclass; fields at their default are left out, equal items in a row written once with ``repeat``."""
    return yaml.dump(_plain(value), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def parse_dataclass(kind: type[T], text: str, *, root: str) -> T:
    """The ``kind`` that ``text`` describes; ``root`` is what errors call the whole.

    Raises ValueError for a key, type or value that has no place in it, naming where it stands.
    """
    try:
        data = yaml.load(text, _Loader)
    except RecursionError:
        raise ValueError(f"{root} is nested too deeply") from None
    except yaml.YAMLError as error:
        raise ValueError(f"{root} is not valid YAML: {' '.join(str(error).split())}") from None
    built: T = _build(kind, data, root)
    return built


def build_dataclass(kind: type[T], data: Mapping[str, Any], *, root: str) -> T:
    """The ``kind`` that plain values describe, as ``parse_dataclass`` makes it of YAML; ``root`` as there.

    Raises:
        ValueError: likewise.
    """
    built: T = _build(kind, data, root)
    return built


def change_dataclass(value: T, changes: Mapping[str, Any], *, root: str) -> T:
    """``value`` with what ``changes`` says in its place: fields by name, those of dataclasses within it likewise.

    Raises:
        ValueError: as ``build_dataclass``.
    """
    return build_dataclass(type(value), _merge(_plain(value), changes), root=root)


def _merge(old: Any, new: Any) -> Any:
    if not isinstance(old, Mapping) or not isinstance(new, Mapping):
        return new
    return {**old, **{key: _merge(old.get(key), item) for key, item in new.items()}}


def _plain(value: Any) -> Any:
    if is_dataclass(value):
        pairs = {f.name: getattr(value, f.name) for f in fields(value)}
        return {f.name: _plain(pairs[f.name]) for f in fields(value) if pairs[f.name] != _default(f)}
    if isinstance(value, tuple) and not any(is_dataclass(item) for item in value):
        return _FlowList(map(_plain, value))
    if isinstance(value, tuple):
        runs: list[tuple[Any, int]] = []
        for item in value:
            if runs and runs[-1][0] == item:
                runs[-1] = (item, runs[-1][1] + 1)
            else:
                runs.append((item, 1))
        return [({REPEAT: count} if count > 1 else {}) | _plain(item) for item, count in runs]
    return value


def _default(field: Any) -> Any:
    return field.default_factory() if field.default_factory is not MISSING else field.default


def _build(hint: Any, value: Any, where: str) -> Any:
    """``value`` as an object of the type ``hint``; ``where`` is its path."""
    origin, args = get_origin(hint), get_args(hint)
    if is_dataclass(hint):
        return _build_dataclass(hint, value, where)
    if origin is tuple:
        return _build_tuple(args, value, where)
    if origin in (Union, UnionType):
        return _build_union(args, value, where)
    if origin is Literal and value in args and not isinstance(value, bool):
        return value
    if hint is float and isinstance(value, (int, float, str)) and not isinstance(value, bool):
        try:
            return float(value)  # YAML 1.1 reads 1e-5, which has no dot, as text
        except ValueError:
            pass
    if hint in (int, str) and isinstance(value, hint) and not isinstance(value, bool):
        return value
    if hint is bool and isinstance(value, bool):
        return value
    raise ValueError(f"{where}: expected {_name(hint)}, not {value!r}")


def _name(hint: Any) -> str:
    return " | ".join(map(_name, get_args(hint))) if get_args(hint) else str(getattr(hint, "__name__", repr(hint)))


def _build_union(choices: tuple[Any, ...], value: Any, where: str) -> Any:
    if value is None and NoneType in choices:
        return None
    choices = tuple(choice for choice in choices if choice is not NoneType)
    if len(choices) == 1:
        return _build(choices[0], value, where)
    for choice in choices:
        try:
            return _build(choice, value, where)
        except ValueError:
            continue
    raise ValueError(f"{where}: expected {' or '.join(map(_name, choices))}, not {value!r}")


def _build_dataclass(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, Mapping):
        raise ValueError(f"{where}: expected the keys of {kind.__name__}, not {value!r}")
    hints = get_type_hints(kind)
    known = {f.name: f for f in fields(kind) if f.init}
    for key in value:
        if key not in known:
            hint = did_you_mean(str(key), known)
            raise ValueError(f"{where}: unknown key {key!r}{hint} (accepted: {', '.join(known)})")
    for name, f in known.items():
        if name not in value and f.default is MISSING and f.default_factory is MISSING:
            raise ValueError(f"{where}: key {name!r} is missing")
    arguments = {key: _build(hints[key], item, f"{where}.{key}") for key, item in value.items()}
    try:
        return kind(**arguments)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def _build_tuple(args: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, (list, tuple)):
        raise ValueError(f"{where}: expected a list, not {value!r}")
    if args[-1] is not Ellipsis:
        if len(value) != len(args):
            raise ValueError(f"{where}: expected {len(args)} values, not {value!r}")
        return tuple(_build(arg, item, f"{where}[{i}]") for i, (arg, item) in enumerate(zip(args, value, strict=True)))
    items: list[Any] = []
    for index, item in enumerate(value):
        count = 1
        if isinstance(item, Mapping) and REPEAT in item:
            count = item[REPEAT]
            if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= MOST:
                raise ValueError(f"{where}[{index}].{REPEAT}: expected a whole number from 1 to {MOST}, not {count!r}")
            item = {key: part for key, part in item.items() if key != REPEAT}
        items += [_build(args[0], item, f"{where}[{index}]")] * count
    return tuple(items)
