"""A function as a command: its signature is the command line and the schema of ``--config`` files.

A function whose only parameter is a dataclass has that one's fields as its flags; fields that are mappings can be given
as a whole, ``--model {width: 0.5}``, or key by key, ``--model.width 0.5``, which changes what the config says.

Exit codes: what the function returns; 2 for a wrong flag, config or value (``UsageError``); 130 after Ctrl-C.
"""

import inspect
import re
import sys
from argparse import ArgumentError
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from difflib import get_close_matches
from typing import Any, Literal, get_args, get_origin, get_type_hints

import yaml
from docstring_parser import parse as parse_docstring
from jsonargparse import ActionYesNo, ArgumentParser

from res3d.settings import Tagged, format_help, read_settings, settings_of, split_words
from res3d.version import __version__

USAGE_ERROR = 2
INTERRUPTED = 130


class UsageError(ValueError):
    """A command line or config that cannot be carried out; the message is one line."""


def run_command(function: Callable[..., int], name: str, arguments: Sequence[str]) -> int:
    """Parse ``arguments`` for ``function``, call it, and return the exit code. Errors are one line on stderr."""
    program = f"res3d {name}"
    kind = next((hint for name, hint in get_type_hints(function).items() if name != "return"), None)
    if is_dataclass(kind) and any(setting.mark(Tagged) for setting in settings_of(kind)):  # type: ignore[arg-type]
        return _run_dataclass(function, kind, program, arguments)
    parser = build_parser(function, program)
    try:
        flags, loose, changes = _split(function, arguments)
        given = parser.parse_args(flags)
        values = {key: value for key, value in given.as_dict().items() if key != "config"}
        if loose:
            values[_positional(function) or ""] = loose
        for path, text in changes:
            _change(values, path, text)
        return _call(function, values)
    except ArgumentError as error:
        return _fail(program, _one_line(str(error), get_type_hints(_schema(function))))
    except UsageError as error:
        return _fail(program, str(error))
    except (UnicodeDecodeError, RecursionError) as error:  # a config or spec that is no text, or nested without end
        return _fail(program, f"a config or spec cannot be read ({type(error).__name__})")
    except KeyboardInterrupt:
        print(f"\n{program}: interrupted; what was finished is kept", file=sys.stderr)
        return INTERRUPTED


def _run_dataclass(function: Callable[..., int], kind: Any, program: str, arguments: Sequence[str]) -> int:
    """Run a function whose only parameter is a dataclass of settings."""
    try:
        words = split_words(kind, arguments)
        if words.requests:
            print(f"{program} {__version__}" if "version" in words.requests else format_help(kind, program))
            return 0
        return function(read_settings(kind, words))
    except ValueError as error:
        return _fail(program, str(error))
    except KeyboardInterrupt:
        print(f"\n{program}: interrupted; what was finished is kept", file=sys.stderr)
        return INTERRUPTED


def _schema(function: Callable[..., int]) -> Callable[..., Any]:
    """What names the flags: ``function``, or the dataclass that is its only parameter."""
    hints = [hint for name, hint in get_type_hints(function).items() if name != "return"]
    return hints[0] if len(hints) == 1 and is_dataclass(hints[0]) else function  # type: ignore[return-value]


def _call(function: Callable[..., int], values: Mapping[str, Any]) -> int:
    schema = _schema(function)
    if schema is function:
        return function(**values)
    try:
        settings = schema(**values)
    except ValueError as error:
        raise UsageError(str(error)) from None
    return function(settings)


def _change(values: dict[str, Any], path: str, text: str) -> None:
    """Set what a flag like ``--model.spec.box 3`` names; mappings on the way are made where there are none."""
    name, *inner = path.removeprefix("--").split(".")
    keys: list[str | int] = [name.replace("-", "_"), *(int(key) if key.isdecimal() else key for key in inner)]
    place: dict[Any, Any] = values
    for key in keys[:-1]:
        place[key] = dict(place[key]) if isinstance(place.get(key), Mapping) else {}
        place = place[key]
    place[keys[-1]] = _plain(text)


def _plain(text: str) -> Any:
    """The value that a text stands for in YAML; numbers like 1e-3, which YAML 1.1 takes for text, too."""
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        return text
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def build_parser(function: Callable[..., int], program: str) -> ArgumentParser:
    """A flag for each parameter of ``function``, documented by its docstring."""
    schema = _schema(function)
    described = parse_docstring(function.__doc__ or "")
    documented = parse_docstring(schema.__doc__ or "")
    help_of = {p.arg_name: (p.description or "").replace("\n", " ") for p in documented.params}
    positional = _positional(function)
    # "IN OUT - a checkpoint, and ..." says what has to be there; without, they may be left out.
    needed, dash, _ = help_of.get(positional or "", "").partition(" - ")
    loose = needed if dash else f"[{positional} ...]"
    parser = ArgumentParser(
        prog=program,
        usage=f"{program} [options]" + (f" {loose}" if positional else ""),
        description=described.description,
        version=__version__,
        exit_on_error=False,
    )
    parser.add_argument("--config", action="config", help="YAML file with any of these settings; flags override it")
    hints = get_type_hints(schema)
    for name, default in _defaults(schema).items():
        hint, text = hints[name], help_of[name]
        if name == positional:
            parser.add_argument(_flag(name), type=hint, default=[], help=f"{text}; may be given without the flag")
        elif hint is bool:
            parser.add_argument(
                _flag(name), action=ActionYesNo(yes_prefix="", no_prefix="no-"), default=default, help=text
            )
        else:
            parser.add_argument(_flag(name), type=hint, default=default, help=text)
    return parser


def _defaults(schema: Callable[..., Any]) -> dict[str, Any]:
    if not is_dataclass(schema):
        return {name: parameter.default for name, parameter in inspect.signature(schema).parameters.items()}
    return {f.name: f.default if f.default_factory is MISSING else f.default_factory() for f in fields(schema)}


def _positional(function: Callable[..., int]) -> str | None:
    """The parameter that takes arguments without a flag: the one that is not keyword-only, a list."""
    parameters = inspect.signature(_schema(function)).parameters.values()
    return next((p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD), None)


def _split(
    function: Callable[..., int], arguments: Sequence[str]
) -> tuple[list[str], list[str], list[tuple[str, str]]]:
    """Flags with their values, the arguments without a flag, wherever they stood, and flags that set part of a mapping.

    (argparse takes the latter in one place only, and would let an empty list of them override the config's.)
    """
    name = _positional(function)
    hints = get_type_hints(_schema(function))
    takes_value = {_flag(key) for key, hint in hints.items() if hint is not bool} | {"--config"}
    lists = {_flag(key) for key, hint in hints.items() if get_origin(hint) is list}
    flags: list[str] = []
    loose: list[str] = []
    changes: list[tuple[str, str]] = []
    mappings = {_flag(key) for key, hint in hints.items() if _is_mapping(hint)}
    rest = iter(arguments)
    for word in rest:
        if word == "--":
            loose += rest
        elif "." in (path := word.partition("=")[0]) and path.partition(".")[0] in mappings:
            text = word.partition("=")[2] if "=" in word else next(rest, "")
            changes.append((path, text))
        elif word.startswith("-") and len(word) > 1:
            flags.append(word)
            if word in takes_value and (value := next(rest, None)) is not None:
                flags.append(f"[{value}]" if word in lists and not value.startswith("[") else value)
        elif name is None:
            flags.append(word)  # the parser says what is wrong with it, or with the flag before it
        else:
            loose.append(word)
    return flags, loose, changes


def _is_mapping(hint: Any) -> bool:
    """``dict[...]``, or that or None."""
    return any(get_origin(choice) is dict for choice in (hint, *get_args(hint)))


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _fail(program: str, message: str) -> int:
    print(f"{program}: error: {message}", file=sys.stderr)
    return USAGE_ERROR


def _one_line(message: str, hints: Mapping[str, Any]) -> str:
    """jsonargparse's message in one sentence, with the nearest accepted name beside an unknown one."""
    text = " ".join(message.split())
    if wrong := re.match(r'Parser key "(\w+)": .*?(?:Given|Got) value: (.*)$', text):
        key, value = wrong.groups()
        if key in hints:
            return f"{_flag(key)} must be {_describe(hints[key])}, not {value!r}"
    if unknown := re.match(r"(unrecognized arguments: |Option ')([\w-]+)", text):
        in_file, given = unknown[1].startswith("Option"), unknown[2]
        near = get_close_matches(given.lstrip("-").replace("-", "_"), hints, n=1)
        spelled = [name if in_file else _flag(name) for name in near]
        return f"unknown option {given!r}" + (f"; did you mean {spelled[0]!r}?" if near else "; see --help")
    return text


def _describe(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return f"one of {', '.join(map(repr, get_args(hint)))}"
    if get_origin(hint) is list:
        (kind,) = get_args(hint)
        choices = f" of {', '.join(map(repr, get_args(kind)))}" if get_origin(kind) is Literal else ""
        return f"a list like a,b{choices}"
    if get_origin(hint) is tuple:
        return f"a list like [{', '.join(kind.__name__ for kind in get_args(hint))}]"
    return str(getattr(hint, "__name__", hint)).replace(" | None", "")
