"""Reading of a command line and its configuration files into a dataclass.

Flags override configuration files, and configuration files override defaults. Every setting is a flag by its dotted
path, ``--link.max-lost 3``, by its short names and by its aliases. Names cannot be abbreviated. A mapping or a tagged
union is set whole, ``--model '{width: 0.5}'``, or key by key, ``--model.width 0.5``; keys that the flag does not name
keep their values from the configuration files.
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
Keys: TypeAlias = tuple[str, ...]  # path of a setting: field names from the command down

GENERAL = {  # flags that every command has besides its settings
    "config": "YAML file with any of the settings. Flags override it; of several files, a later one overrides "
    "an earlier one.",
    "print_config": "Print all settings as a YAML configuration file, then exit.",
    "version": "Print the version, then exit.",
    "help": "Print this help, then exit.",
}
REQUESTS = ("help", "version", "print_config")  # general flags without a value


@dataclass(frozen=True, kw_only=True, slots=True)
class Assignment:
    """One flag of a command line with its value."""

    flag: str
    """The flag as the user wrote it."""
    target: Target
    """The setting that the flag changes."""
    keys: tuple[str, ...]
    """Keys below the target if it is a mapping or a tagged union: ``("width",)`` for ``--model.width``."""
    value: str | bool
    """The text of the value; True or False for a switch."""


@dataclass(kw_only=True, slots=True)
class Words:
    """The words of a command line, sorted by their role."""

    assignments: list[Assignment] = field(default_factory=list)
    """Flags that set something, in order."""
    positional: list[str] = field(default_factory=list)
    """Words without a flag, such as the names of videos."""
    configs: list[str] = field(default_factory=list)
    """Paths of configuration files, in order."""
    requests: set[str] = field(default_factory=set)
    """The requested ones of "help", "version" and "print_config"."""


def split_words(kind: Class, arguments: Sequence[str]) -> Words:
    """Sort the words of a command line by their role. Values are not read yet.

    Raises:
        ValueError: a flag is unknown or lacks its value, or there is a word without a flag and the command takes none.
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
    """Build the command from its configuration files and flags.

    Raises:
        ValueError: a configuration file cannot be read, a key is unknown, or a value is of the wrong type or refused by
            the dataclass. The message names the file or the flag.
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
    """Return one line for each deprecated flag of a command line: "--precision is now called --dtype"."""
    renamed = {a.flag: a.target.flag for a in words.assignments if _name_of(a.flag) in a.target.deprecated}
    return [f"{old} is now called {new}" for old, new in renamed.items()]


def _take_flag(kind: Class, word: str, rest: list[str], words: Words) -> None:
    """Add a flag to ``words``. Its value is the text after "=", else the first word of ``rest``, which is removed."""
    flag, equals, text = word.partition("=")
    name = "help" if flag == "-h" else _name_of(flag)
    if name in REQUESTS:
        words.requests.add(name)
        return
    if name == "config":
        words.configs.append(text if equals else _next_value(kind, flag, GENERAL[name], rest))
        return
    match = _find_target(kind, flag)
    if match is None:
        raise ValueError(_unknown_option(kind, flag))
    target, keys, switch_value = match
    value: str | bool
    if equals or switch_value is None:
        value = text if equals else _next_value(kind, flag, target.setting.doc, rest)
    else:
        value = switch_value
    words.assignments.append(Assignment(flag=flag, target=target, keys=keys, value=value))


def _next_value(kind: Class, flag: str, doc: str, rest: list[str]) -> str:
    if not rest or (rest[0].startswith("--") and (_find_target(kind, rest[0]) or _name_of(rest[0]) in GENERAL)):
        raise ValueError(f"{flag} needs a value" + (f" ({doc.rstrip('.')})" if doc else ""))
    return rest.pop(0)


def _find_target(kind: Class, flag: str) -> tuple[Target, tuple[str, ...], bool | None] | None:
    """Return the setting of a flag, the keys below it, and the value if it is a switch; None for an unknown flag."""
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
    is_option = word.startswith("-") or "=" in word  # else it may be a file for a command that takes none
    suggestion = nearest_name(_name_of(flag.lstrip("-")), names) if is_option else None
    hint = f"; did you mean {flag_of(suggestion)!r}?" if suggestion else "; see --help"
    return f"unknown option {shorten(flag)}{hint}"


def _read_config(kind: Class, path: str) -> dict[Keys, Value]:
    """Return the settings of a configuration file by their paths in the command."""
    try:
        data = load_yaml(Path(path).read_text(encoding="utf-8"), root=path)
    except OSError as error:
        raise ValueError(f"--config {path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ValueError(f"--config {path}: not UTF-8 text") from None
    names, settings = names_of(kind), {}
    for key, value in _items(data, path):
        if key not in names:
            accepted = dict.fromkeys(target.names[0] for target in targets_of(kind))
            raise ValueError(located(path, unknown_key(key, accepted)))
        target = names[key]
        for keys, item in _leaves(target.setting, target.path, value, f"{path}: {key}"):
            if keys in settings:
                raise ValueError(f"{path}: {'.'.join(keys)!r} is set twice, once as {key!r}")
            settings[keys] = item
    return settings


def _items(data: Value, where: str) -> Iterator[tuple[Value, Value]]:
    if data is not None and not isinstance(data, Mapping):
        raise ValueError(f"{where}: expected a mapping of settings, not {shorten(data)}")
    yield from (data or {}).items()


def _leaves(
    setting: Setting, path: tuple[str, ...], value: Value, where: str
) -> Iterator[tuple[tuple[str, ...], Value]]:
    """Yield (path, value) of each setting in a value of a configuration file, one by one for a nested dataclass."""
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
    """Check the type of a value."""
    if not markers_of(hint, Tagged):  # later files and flags may add keys to a tagged union
        build_value(hint, value, where)


def _assign(tree: dict[str, Value], assignment: Assignment) -> None:
    """Apply a flag to the tree of settings."""
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
    """Return the tree keys for the words below a setting, and the type of the value at the last of them.

    ``current`` is the value that the setting has before this flag.
    """
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
    """Return the types of the fields of a dataclass by name, or None for other types.

    For a tagged union they are those of its current tag, or {} while it has no valid tag.
    """
    for tagged in markers_of(hint, Tagged):
        tag = current.get(tagged.key) if isinstance(current, Mapping) else None
        member = tagged.type_of(tag) if isinstance(tag, str) and tag in tagged.tags else None
        return {} if member is None else {setting.name: setting.hint for setting in settings_of(member)}
    for part in _parts(hint):
        if isinstance(part, type) and is_dataclass(part):
            return {setting.name: setting.hint for setting in settings_of(part)}
    return None


def _descend_mapping(hint: Hint, keys: tuple[str, ...]) -> tuple[tuple[Value, ...], Hint]:
    """Return the same as ``_descend`` for a mapping.

    If the values of the mapping are plain, all words together are one key: "backbone.conv5".
    """
    mapping = next((part for part in _parts(hint) if origin_of(part) is dict), None)
    key_hint, value_hint = get_args(mapping) if mapping is not None else (ANYTHING, ANYTHING)
    if value_hint is not ANYTHING and not is_open(value_hint):
        keys = (".".join(keys),)
    number = keys[0].isdecimal() and (key_hint is ANYTHING or int in _parts(key_hint))
    inner, leaf = _descend(value_hint, None, keys[1:])
    return (int(keys[0]) if number else keys[0], *inner), leaf


def _parts(hint: Hint) -> list[Value]:
    """Return a type and its arguments, such as the members of a union, without None."""
    bare = without_markers(hint)
    return [part for part in (bare, *get_args(bare)) if part is not NoneType]


def _set(tree: dict[str, Value], keys: tuple[Value, ...], value: Value) -> None:
    """Set a value in a tree, and create mappings on its path that do not exist."""
    branch: dict[Value, Value] = tree
    for key in keys[:-1]:
        branch[key] = dict(branch[key]) if isinstance(branch.get(key), Mapping) else {}  # YAML aliases share mappings
        branch = branch[key]
    branch[keys[-1]] = value
