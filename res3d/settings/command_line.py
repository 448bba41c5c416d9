"""A command line and its config files to a dataclass: flags over configs, configs over defaults.

Every setting is a flag by its dotted path, ``--link.max-lost 3``, and by its other names; there are no abbreviations.
Mappings and tagged unions are given whole, ``--model '{width: 0.5}'``, or key by key, ``--model.width 0.5``, which
changes what the configs say.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, is_dataclass
from pathlib import Path
from types import NoneType
from typing import TypeAlias, TypeVar, get_args

from res3d.settings.fields import Setting, markers_of, origin_of, settings_of, without_markers
from res3d.settings.markers import Tagged
from res3d.settings.names import Target, flag_of, is_open, names_of, positional_of, targets_of
from res3d.settings.reader import build_dataclass, build_value, located, unknown_key
from res3d.settings.suggest import nearest_name, shorten
from res3d.settings.text import from_text
from res3d.settings.types import ANYTHING, Class, Hint, Value
from res3d.settings.yaml_form import load_yaml

T = TypeVar("T")
Keys: TypeAlias = tuple[str, ...]  # from the command down to a setting

GENERAL = {  # flags that every command has, besides its settings
    "config": "YAML file with any of the settings; flags override it, and later files earlier ones.",
    "print_config": "Print all settings as a config file, and do nothing else.",
    "version": "Print the version, and do nothing else.",
    "help": "Print this help, and do nothing else.",
}
REQUESTS = ("help", "version", "print_config")  # those that take no value


@dataclass(frozen=True, kw_only=True, slots=True)
class Assignment:
    """A flag and its value."""

    flag: str
    """As it was written."""
    target: Target
    keys: tuple[str, ...]
    """Below the target, which is then a mapping or a tagged union."""
    value: str | bool
    """The text of the value; True or False of a switch."""


@dataclass(kw_only=True, slots=True)
class Words:
    """The words of a command line by what they mean."""

    assignments: list[Assignment] = field(default_factory=list)
    positional: list[str] = field(default_factory=list)
    configs: list[str] = field(default_factory=list)
    requests: set[str] = field(default_factory=set)
    """Of "help", "version" and "print_config"."""


def split_words(kind: Class, arguments: Sequence[str]) -> Words:
    """Sort the words of a command line; no value is looked at yet.

    Raises:
        ValueError: an unknown flag, one that lacks its value, or a word without a flag where the command takes none.
    """
    words, rest = Words(), list(arguments)
    while rest:
        word = rest.pop(0)
        if word == "--":
            words.positional += rest
            break
        if word.startswith("-") and len(word) > 1:
            _take_flag(kind, word, rest, words)
        else:
            words.positional.append(word)
    if words.positional and positional_of(kind) is None:
        raise ValueError(_unknown_option(kind, words.positional[0]))
    return words


def read_settings(kind: type[T], words: Words) -> T:
    """Build the command from its config files and flags.

    Raises:
        ValueError: a config that cannot be read, a key, type or value that has no place in it, or a value that the
            command refuses; names the file or the flag.
    """
    tree: dict[str, Value] = {}
    for path in words.configs:
        for keys, value in _read_config(kind, path).items():
            _set(tree, keys, value)
    for assignment in words.assignments:
        _assign(tree, assignment)
    positional = positional_of(kind)
    if words.positional and positional is not None:
        _set(tree, positional.path, words.positional)
    return build_dataclass(kind, tree, root="")


def deprecation_lines(words: Words) -> list[str]:
    """Return a line for each deprecated flag that was used."""
    used = {a.flag: a.target.flag for a in words.assignments if _name_of(a.flag) in a.target.deprecated}
    return [f"{old} is now called {new}" for old, new in used.items()]


def _take_flag(kind: Class, word: str, rest: list[str], words: Words) -> None:
    """Add a flag to ``words``, with its value from behind "=" or from the ``rest``."""
    flag, equals, text = word.partition("=")
    name = "help" if flag == "-h" else _name_of(flag)
    if name in REQUESTS:
        words.requests.add(name)
        return
    if name == "config":
        words.configs.append(text if equals else _next_value(kind, flag, GENERAL[name], rest))
        return
    found = _find(kind, flag)
    if found is None:
        raise ValueError(_unknown_option(kind, flag))
    target, keys, switched = found
    value: str | bool
    if equals or switched is None:
        value = text if equals else _next_value(kind, flag, target.setting.doc, rest)
    else:
        value = switched
    words.assignments.append(Assignment(flag=flag, target=target, keys=keys, value=value))


def _next_value(kind: Class, flag: str, doc: str, rest: list[str]) -> str:
    if not rest or (rest[0].startswith("--") and (_find(kind, rest[0]) or _name_of(rest[0]) in GENERAL)):
        raise ValueError(f"{flag} needs a value" + (f" ({doc.rstrip('.')})" if doc else ""))
    return rest.pop(0)


def _find(kind: Class, flag: str) -> tuple[Target, tuple[str, ...], bool | None] | None:
    """What a flag sets, the keys below it, and the value that a switch gives it; None for an unknown flag."""
    names, name = names_of(kind), _name_of(flag)
    if not flag.startswith("--"):
        return None
    if (target := names.get(name)) is not None:
        return target, (), True if target.is_switch else None
    positive = names.get(name.removeprefix("no_"))
    if positive is not None and positive.is_switch:
        return positive, (), False
    parts = flag.removeprefix("--").split(".")
    for depth in range(len(parts) - 1, 0, -1):
        target = names.get(_name_of(".".join(parts[:depth])))
        if target is not None and target.is_open:
            return target, tuple(parts[depth:]), None
    return None


def _name_of(flag: str) -> str:
    return flag.removeprefix("--").partition("=")[0].replace("-", "_")


def _unknown_option(kind: Class, word: str) -> str:
    flag = word.partition("=")[0]
    names = [name for target in targets_of(kind) for name in target.names] + [*GENERAL]
    is_meant = word.startswith("-") or "=" in word  # and not a file, say, which the command does not take
    near = nearest_name(_name_of(flag.lstrip("-")), names) if is_meant else None
    return f"unknown option {shorten(flag)}" + (f"; did you mean {flag_of(near)!r}?" if near else "; see --help")


def _read_config(kind: Class, path: str) -> dict[Keys, Value]:
    """The settings of a config file, by their paths in the command."""
    try:
        data = load_yaml(Path(path).read_text(encoding="utf-8"), root=path)
    except OSError as error:
        raise ValueError(f"--config {path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ValueError(f"--config {path}: not UTF-8 text") from None
    names, found = names_of(kind), {}
    for key, value in _items(data, path):
        if key not in names:
            accepted = dict.fromkeys(target.names[0] for target in targets_of(kind))
            raise ValueError(located(path, unknown_key(key, accepted)))
        target = names[key]
        for keys, item in _leaves(target.setting, target.path, value, f"{path}: {key}"):
            if keys in found:
                raise ValueError(f"{path}: {'.'.join(keys)!r} stands twice, once as {key!r}")
            found[keys] = item
    return found


def _items(data: Value, where: str) -> Iterator[tuple[Value, Value]]:
    if data is not None and not isinstance(data, Mapping):
        raise ValueError(f"{where}: expected a mapping of settings, not {shorten(data)}")
    yield from (data or {}).items()


def _leaves(
    setting: Setting, path: tuple[str, ...], value: Value, where: str
) -> Iterator[tuple[tuple[str, ...], Value]]:
    """The settings in a value of a config; a nested dataclass's are looked at one by one."""
    if not setting.nested or not isinstance(value, Mapping):
        _check(setting.hint, value, where)
        yield path, value
        return
    inner = {below.name: below for below in settings_of(setting.bare)}
    for key, item in value.items():
        if key not in inner:
            raise ValueError(located(where, unknown_key(key, inner)))
        yield from _leaves(inner[key], (*path, key), item, f"{where}.{key}")


def _check(hint: Hint, value: Value, where: str) -> None:
    """Refuse a value of the wrong type; a tagged union may get more keys yet."""
    if not markers_of(hint, Tagged):
        build_value(hint, value, where)


def _assign(tree: dict[str, Value], assignment: Assignment) -> None:
    """Set what a flag says."""
    target = assignment.target
    current: Value = tree
    for name in target.path:
        current = current.get(name, {}) if isinstance(current, Mapping) else {}
    for tagged in markers_of(target.setting.hint, Tagged):
        if assignment.keys and tagged.bare and isinstance(current, str):
            current = {tagged.key: current}
            _set(tree, target.path, current)
    keys, hint = _descend(target.setting.hint, current, assignment.keys)
    value = assignment.value
    if isinstance(value, str):
        value = from_text(hint, value)
    if not target.setting.nested:
        _check(hint, value, assignment.flag)
    _set(tree, (*target.path, *keys), value)


def _descend(hint: Hint, current: Value, keys: tuple[str, ...]) -> tuple[tuple[Value, ...], Hint]:
    """The keys below a setting that words name, and the type of what is there; ``current`` is what is there now."""
    if not keys:
        return (), hint
    members = _members(hint, current)
    if members is None:
        return _descend_mapping(hint, keys)
    name = keys[0].replace("-", "_")
    below = current.get(name) if isinstance(current, Mapping) else None
    inner, leaf = _descend(members.get(name, ANYTHING), below, keys[1:])
    return (name, *inner), leaf


def _members(hint: Hint, current: Value) -> dict[str, Value] | None:
    """The types of a dataclass's fields by name; of a tagged union, those of the tag that it has now."""
    for tagged in markers_of(hint, Tagged):
        tag = current.get(tagged.key) if isinstance(current, Mapping) else None
        known = tagged.type_of(tag) if isinstance(tag, str) and tag in tagged.tags else None
        return {} if known is None else {setting.name: setting.hint for setting in settings_of(known)}
    for part in _parts(hint):
        if isinstance(part, type) and is_dataclass(part):
            return {setting.name: setting.hint for setting in settings_of(part)}
    return None


def _descend_mapping(hint: Hint, keys: tuple[str, ...]) -> tuple[tuple[Value, ...], Hint]:
    """As ``_descend``, below a mapping: of plain values, one key holds all the words, "backbone.conv5"."""
    mapping = next((part for part in _parts(hint) if origin_of(part) is dict), None)
    key_hint, value_hint = get_args(mapping) if mapping is not None else (ANYTHING, ANYTHING)
    if value_hint is not ANYTHING and not is_open(value_hint):
        keys = (".".join(keys),)
    number = keys[0].isdecimal() and (key_hint is ANYTHING or int in _parts(key_hint))
    inner, leaf = _descend(value_hint, None, keys[1:])
    return (int(keys[0]) if number else keys[0], *inner), leaf


def _parts(hint: Hint) -> list[Value]:
    """The types of a union, or the type itself, without None."""
    bare = without_markers(hint)
    return [part for part in (bare, *get_args(bare)) if part is not NoneType]


def _set(tree: dict[str, Value], keys: tuple[Value, ...], value: Value) -> None:
    """Set a value in a tree; mappings on the way are copied, since YAML's aliases share them, or made."""
    place: dict[Value, Value] = tree
    for key in keys[:-1]:
        place[key] = dict(place[key]) if isinstance(place.get(key), Mapping) else {}
        place = place[key]
    place[keys[-1]] = value
