"""Reading and writing of dataclasses as YAML."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TypeVar

import yaml

from res3d.settings.fields import Setting, markers_of, settings_of
from res3d.settings.markers import Tagged
from res3d.settings.reader import REPEAT, build_dataclass, build_value
from res3d.settings.suggest import shorten
from res3d.settings.types import Value
from res3d.settings.variant import Variant

T = TypeVar("T")

MOST_NODES = 200_000  # nodes of a document with its aliases expanded
MERGE = "tag:yaml.org,2002:merge"  # tag of the key "<<" in {<<: *base, length: 16}


class _FlowList(list[Value]):
    """A list that is written on one line: ``[1, 2]``."""


class _Loader(yaml.SafeLoader):
    """YAML loader that refuses duplicate keys and aliases that expand to too many nodes ("billion laughs")."""

    def get_single_node(self) -> yaml.Node | None:
        node = super().get_single_node()
        if node is not None and _count_nodes(node, {}) > MOST_NODES:
            raise yaml.YAMLError(f"aliases expand to more than {MOST_NODES} values")
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Value, Value]:
        names: set[str] = set()
        for key, _ in node.value:
            name = None if key.tag == MERGE else self.construct_object(key, deep=True)
            if isinstance(name, str) and name in names:
                raise yaml.YAMLError(f"duplicate key {shorten(name)}")
            names |= {name} if isinstance(name, str) else set()
        return super().construct_mapping(node, deep)


def _count_nodes(node: yaml.Node, sizes: dict[int, int | None]) -> int:
    """Return the number of nodes of a document; nodes of an alias count once per use. ``sizes`` is the cache."""
    if id(node) in sizes:
        if (size := sizes[id(node)]) is None:
            raise yaml.YAMLError("an alias refers to a value that contains it")
        return size
    sizes[id(node)] = None
    children: list[yaml.Node] = []
    if isinstance(node, yaml.MappingNode):
        children = [part for pair in node.value for part in pair]
    elif isinstance(node, yaml.SequenceNode):
        children = node.value
    sizes[id(node)] = size = 1 + sum(_count_nodes(child, sizes) for child in children)
    return size


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Value) -> bool:
        return True


_Dumper.add_representer(
    _FlowList, lambda dumper, data: dumper.represent_sequence("tag:yaml.org,2002:seq", data, flow_style=True)
)


def load_yaml(text: str, *, root: str) -> Value:
    """Return the plain values of a YAML document; ``root`` is its name in error messages.

    Raises:
        ValueError: the text is not valid YAML, has a duplicate key, or has aliases that expand to too many values.
    """
    try:
        return yaml.load(text, _Loader)
    except RecursionError:
        raise ValueError(f"{root} is nested too deeply") from None
    except (yaml.YAMLError, ValueError) as error:
        raise ValueError(f"{root} is not valid YAML: {' '.join(str(error).split())}") from None


def dump_dataclass(value: Value, *, defaults: bool = False) -> str:
    """Return a dataclass as YAML. Consecutive equal items of a list are written once, with a ``repeat`` key.

    Args:
        value: the dataclass.
        defaults: also write the fields that have their default value.
    """
    return yaml.dump(plain(value, defaults), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)


def parse_dataclass(kind: type[T], text: str, *, root: str) -> T:
    """Build a dataclass from a YAML document; ``root`` is its name in error messages.

    Raises:
        ValueError: see ``load_yaml`` and ``build_dataclass``.
    """
    result: T = build_value(kind, load_yaml(text, root=root), root)
    return result


def change_dataclass(value: T, changes: Mapping[str, Value], *, root: str) -> T:
    """Return a copy of a dataclass with the fields in ``changes`` replaced, also inside nested dataclasses.

    Raises:
        ValueError: see ``build_dataclass``.
    """
    # With defaults: a nested default may differ from the defaults of the fields inside it.
    return build_dataclass(type(value), merge(plain(value, defaults=True), changes), root=root)


def merge(old: Value, new: Value) -> Value:
    """Return the union of two trees of mappings. If both have a value under a key, the new one is used."""
    if not isinstance(old, Mapping) or not isinstance(new, Mapping):
        return new
    return {**old, **{key: merge(old.get(key), item) for key, item in new.items()}}


def plain(value: Value, defaults: bool = False) -> Value:
    """Return a value as YAML has it: dataclasses as mappings, tuples as lists, paths as text."""
    if is_dataclass(value):
        return _plain_fields(value, defaults)
    if isinstance(value, Mapping):
        return {plain(key): plain(item, defaults) for key, item in value.items()}
    if isinstance(value, (tuple, list)) and any(is_dataclass(item) for item in value):
        return _plain_runs(value, defaults)
    if isinstance(value, (tuple, list)):
        return _FlowList(plain(item, defaults) for item in value)
    return str(value) if isinstance(value, Path) else value


def _plain_fields(value: Value, defaults: bool) -> dict[str, Value]:
    settings = {setting.name: setting for setting in settings_of(value.__class__)}
    values = {f.name: getattr(value, f.name) for f in fields(value) if f.name in settings}
    return {
        name: _plain_field(settings[name], item, defaults)
        for name, item in values.items()
        if defaults or item != settings[name].default
    }


def _plain_field(setting: Setting, value: Value, defaults: bool) -> Value:
    for tagged in markers_of(setting.hint, Tagged):
        if isinstance(value, Variant):
            return {tagged.key: value.tag, **plain(value.given, defaults)}
        if is_dataclass(value):
            tag = next(tag for tag in tagged.tags if tagged.type_of(tag) is type(value))
            inner = _plain_fields(value, defaults)
            return tag if tagged.bare and not inner else {tagged.key: tag, **inner}
    return plain(value, defaults)


def _plain_runs(items: Value, defaults: bool) -> list[Value]:
    runs: list[tuple[Value, int]] = []
    for item in items:
        if runs and runs[-1][0] == item:
            runs[-1] = (item, runs[-1][1] + 1)
        else:
            runs.append((item, 1))
    return [({REPEAT: count} if count > 1 else {}) | plain(item, defaults) for item, count in runs]
