"""Text of ``--help``: settings under headings, each with its docstring, accepted words and default."""

import shutil
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, is_dataclass
from inspect import cleandoc
from pathlib import Path
from types import NoneType
from typing import Literal, get_args

import yaml

from res3d.settings.command_line import GENERAL
from res3d.settings.fields import Setting, markers_of, origin_of, without_markers
from res3d.settings.markers import Choice, Group, Positional, Short, Shown, Tagged
from res3d.settings.names import Target, flag_of, positional_of, targets_of
from res3d.settings.types import Class, Hint
from res3d.settings.yaml_form import plain

INDENT, COLUMN = 2, 26  # columns in which flags and their descriptions begin
WIDTHS = (60, 110)  # least and greatest length of a line
OPTIONS = "options"  # heading of settings without a group
WORDS: Mapping[Hint, str] = {int: "N", float: "X", str: "TEXT", Path: "PATH", dict: "{KEY: VALUE, ...}"}
MOST_WORDS = 40  # characters of choices beside the flag; longer lists follow the description


def format_help(kind: Class, program: str) -> str:
    """Return the help of a command: usage line, docstring of the class, and settings under their headings."""
    width = min(max(shutil.get_terminal_size().columns, WIDTHS[0]), WIDTHS[1])
    positional = positional_of(kind)
    parts = [usage(kind, program), *_paragraphs(cleandoc(kind.__doc__ or ""), width)]
    if positional is not None:
        parts.append(_entry(positional.setting.name, positional.setting.doc, width).strip("\n"))
    for title, targets in grouped(kind).items():
        lines = [_entry(_flags(target), meaning_of(target.setting), width) for target in targets]
        parts.append("\n".join([textwrap.fill(f"{title}:", width, subsequent_indent=" " * INDENT), *lines]))
    general = [_entry(_general_flag(name), meaning, width) for name, meaning in GENERAL.items()]
    return "\n\n".join([*parts, "\n".join(["general:", *general])])


def usage(kind: Class, program: str) -> str:
    """Return the usage line of a command: "usage: res3d track [options] [videos ...]"."""
    positional = positional_of(kind)
    mark = None if positional is None else positional.setting.mark(Positional)
    return f"usage: {program} [options]" + ("" if mark is None else f" {mark.usage}")


def choices_of(hint: Hint) -> tuple[str, ...]:
    """Return the accepted words of a type with a closed set of them, also inside a list or a union; else ()."""
    for part in (hint, *get_args(without_markers(hint))):
        for mark in markers_of(part, Choice):
            return mark.words
        for tagged in markers_of(part, Tagged):
            return tuple(tagged.tags)
        if origin_of(part) is Literal:
            return tuple(map(str, get_args(part)))
    return ()


def _paragraphs(text: str, width: int) -> Iterator[str]:
    for paragraph in text.split("\n\n"):
        yield textwrap.fill(" ".join(paragraph.split()), width)


def grouped(kind: Class) -> dict[str, list[Target]]:
    """Return the settings of a command by heading: the title of their ``Group``, or the name of their dataclass."""
    titles = {target.path: _title(target) for target in targets_of(kind) if target.setting.nested}
    groups: dict[str, list[Target]] = {}
    for target in targets_of(kind):
        if target.setting.nested or target.setting.mark(Positional) is not None:
            continue
        group = target.setting.mark(Group)
        title = group.title if group else titles.get(target.path[:-1], OPTIONS)
        groups.setdefault(title, []).append(target)
    return groups


def _title(target: Target) -> str:
    dotted = "" if target.setting.mark(Short) is None else f", also as --{'.'.join(target.path)}.NAME"
    meaning = target.setting.doc.rstrip(".")
    group = target.setting.mark(Group)
    name = group.title if group else target.path[-1].replace("_", " ")
    return f"{name} ({meaning[:1].lower()}{meaning[1:]}{dotted})" if meaning else name


def _flags(target: Target) -> str:
    if target.is_switch:
        return f"{target.flag}, --no-{target.flag.removeprefix('--')}"
    return f"{target.flag} {value_word(target.setting)}"


def value_word(setting: Setting) -> str:
    """Return the placeholder for the value of a setting: N, FOLDER, auto|float32."""
    marker = setting.mark(Shown)
    if marker is not None:
        return marker.word
    is_list = any(origin_of(part) in (list, tuple) for part in (setting.bare, *get_args(setting.bare)))
    words = "|".join(choices_of(setting.hint))
    if not words:
        return _type_word(setting.bare)
    word = words if len(words) <= MOST_WORDS else "WORD"
    for tagged in markers_of(setting.hint, Tagged):
        return word if tagged.bare else f"{{{tagged.key}: {word}, ...}}"
    return f"{word},..." if is_list else word


def _type_word(hint: Hint) -> str:
    bare = without_markers(hint)
    parts = [part for part in (bare, *get_args(bare)) if part is not NoneType]
    sequence = next((part for part in parts if origin_of(part) in (list, tuple)), None)
    if sequence is not None:
        items = [_type_word(part) for part in get_args(sequence) if part is not Ellipsis]
        return ",".join(items) if len(items) > 1 else f"{items[0]},..."
    return next((WORDS[origin_of(part)] for part in parts if origin_of(part) in WORDS), "VALUE")


def meaning_of(setting: Setting) -> str:
    """Return the docstring of a setting, its accepted words if ``value_word`` does not list them, and its default."""
    words = choices_of(setting.hint)
    choices = f" One of {', '.join(words)}." if len("|".join(words)) > MOST_WORDS else ""
    default = _default(setting)
    return f"{setting.doc}{choices}{f' (default: {default})' if default else ''}".strip()


def _default(setting: Setting) -> str:
    value = setting.default
    if value is MISSING:
        return "none; required"
    for tagged in markers_of(setting.hint, Tagged):
        return next((tag for tag in tagged.tags if tagged.type_of(tag) is type(value)), "")
    if value is None or value == "" or is_dataclass(value) or (isinstance(value, (list, tuple, dict)) and not value):
        return ""
    if isinstance(value, bool):
        return "on" if value else ""
    if not isinstance(value, (list, tuple)):
        return str(value)
    if any(map(is_dataclass, value)):
        return yaml.safe_dump([plain(item) for item in value], default_flow_style=True, width=1000).strip()
    return ",".join(map(str, value))


def _general_flag(name: str) -> str:
    return {"config": "--config FILE", "help": "-h, --help"}.get(name, flag_of(name))


def _entry(flag: str, meaning: str, width: int) -> str:
    """Return a flag with its description beside it, or below it if the flag is long."""
    indent = " " * COLUMN
    text = textwrap.fill(meaning, width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False)
    begin = " " * INDENT + flag
    if not text or len(begin) > COLUMN - 2:
        return f"{begin}\n{text}" if text else begin
    return begin + text[len(begin) :]
