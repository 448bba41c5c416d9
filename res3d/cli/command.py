"""A function as a command: its signature is the command line and the schema of ``--config`` files.

Exit codes: what the function returns; 2 for a wrong flag, config or value (``UsageError``); 130 after Ctrl-C.
"""

import inspect
import re
import sys
from argparse import ArgumentError
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Literal, get_args, get_origin, get_type_hints

from docstring_parser import parse as parse_docstring
from jsonargparse import ActionYesNo, ArgumentParser

from res3d.version import __version__

USAGE_ERROR = 2
INTERRUPTED = 130


class UsageError(ValueError):
    """A command line or config that cannot be carried out; the message is one line."""


def run_command(function: Callable[..., int], name: str, arguments: Sequence[str]) -> int:
    """Parse ``arguments`` for ``function``, call it, and return the exit code. Errors are one line on stderr."""
    program = f"res3d {name}"
    parser = build_parser(function, program)
    try:
        flags, loose = _split(function, arguments)
        given = parser.parse_args(flags)
        values = {key: value for key, value in given.as_dict().items() if key != "config"}
        if loose:
            values[_positional(function) or ""] = loose
        return function(**values)
    except ArgumentError as error:
        return _fail(program, _one_line(str(error), get_type_hints(function)))
    except UsageError as error:
        return _fail(program, str(error))
    except (UnicodeDecodeError, RecursionError) as error:  # a config or spec that is no text, or nested without end
        return _fail(program, f"a config or spec cannot be read ({type(error).__name__})")
    except KeyboardInterrupt:
        print(f"\n{program}: interrupted; what was finished is kept", file=sys.stderr)
        return INTERRUPTED


def build_parser(function: Callable[..., int], program: str) -> ArgumentParser:
    """A flag for each parameter of ``function``, documented by its docstring."""
    described = parse_docstring(function.__doc__ or "")
    help_of = {p.arg_name: (p.description or "").replace("\n", " ") for p in described.params}
    positional = _positional(function)
    parser = ArgumentParser(
        prog=program,
        usage=f"{program} [options]" + (f" [{positional} ...]" if positional else ""),
        description=described.description,
        version=__version__,
        exit_on_error=False,
    )
    parser.add_argument("--config", action="config", help="YAML file with any of these settings; flags override it")
    hints = get_type_hints(function)
    for name, parameter in inspect.signature(function).parameters.items():
        hint, text, default = hints[name], help_of[name], parameter.default
        if name == positional:
            parser.add_argument(_flag(name), type=hint, default=[], help=f"{text}; may be given without the flag")
        elif hint is bool:
            parser.add_argument(
                _flag(name), action=ActionYesNo(yes_prefix="", no_prefix="no-"), default=default, help=text
            )
        else:
            parser.add_argument(_flag(name), type=hint, default=default, help=text)
    return parser


def _positional(function: Callable[..., int]) -> str | None:
    """The parameter that takes arguments without a flag: the one that is not keyword-only, a list."""
    parameters = inspect.signature(function).parameters.values()
    return next((p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD), None)


def _split(function: Callable[..., int], arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Flags with their values, and the arguments without a flag, wherever they stood.

    (argparse takes the latter in one place only, and would let an empty list of them override the config's.)
    """
    name = _positional(function)
    hints = get_type_hints(function)
    takes_value = {_flag(key) for key, hint in hints.items() if hint is not bool} | {"--config"}
    lists = {_flag(key) for key, hint in hints.items() if get_origin(hint) is list}
    flags: list[str] = []
    loose: list[str] = []
    rest = iter(arguments)
    for word in rest:
        if word == "--":
            loose += rest
        elif word.startswith("-") and len(word) > 1:
            flags.append(word)
            if word in takes_value and (value := next(rest, None)) is not None:
                flags.append(f"[{value}]" if word in lists and not value.startswith("[") else value)
        else:
            loose.append(word)
    if loose and name is None:
        raise UsageError(f"unknown argument {loose[0]!r}")
    return flags, loose


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
    if unknown := re.match(r"(?:unrecognized arguments: |Option ')([\w-]+)", text):
        given = unknown[1]
        near = get_close_matches(given.lstrip("-").replace("-", "_"), hints, n=1)
        spelled = [_flag(name) if given.startswith("-") else name for name in near]
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
