"""A command as a dataclass: its fields are its flags and the keys of its configs, and ``run`` is what it does.

Exit codes: what ``run`` returns; 2 for a wrong flag, config or value (``UsageError``); 130 after Ctrl-C.
"""

import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, TypeAlias, TypeVar

from res3d.cli.computing import Computing
from res3d.cli.errors import INTERRUPTED, USAGE_ERROR, UsageError
from res3d.settings import deprecation_lines, dump_dataclass, format_help, read_settings, split_words
from res3d.threads import use_threads
from res3d.version import __version__

C = TypeVar("C", bound="Command")
Keywords: TypeAlias = dict[str, Any]  # of a function that takes literals: settings have their words from tables


class Command(ABC):
    """Base of the commands, which are frozen dataclasses. ``--help`` begins with the docstring of the command."""

    computing: Computing
    """A field of every command, under its last heading."""

    @abstractmethod
    def run(self) -> int:
        """Carry it out, and return the exit code.

        Raises:
            UsageError: settings that cannot be carried out.
        """


def run_command(kind: type[Command], name: str, arguments: Sequence[str]) -> int:
    """Read a command line, run the command, and return the exit code. Errors are one line on stderr.

    Raises:
        SystemExit: after ``--help``, ``--version`` or ``--print-config``, with code 0.
    """
    program = f"res3d {name}"
    try:
        command = read_command(kind, program, arguments)
        return command.run()
    except UsageError as error:
        print(f"{program}: error: {error}", file=sys.stderr)
        return USAGE_ERROR
    except KeyboardInterrupt as error:
        print(f"\n{program}: interrupted; {str(error) or 'what was finished is kept'}", file=sys.stderr)
        return INTERRUPTED


def read_command(kind: type[C], program: str, arguments: Sequence[str]) -> C:
    """Return the command that a command line describes, and let libraries use the threads that it names.

    Raises:
        UsageError: a command line or config that is wrong.
        SystemExit: as ``run_command``.
    """
    try:
        words = split_words(kind, arguments)
        if "help" in words.requests:
            _print_and_leave(format_help(kind, program))
        if "version" in words.requests:
            _print_and_leave(f"{program} {__version__}")
        command = read_settings(kind, words)
        use_threads(command.computing.threads)
    except ValueError as error:
        raise UsageError(" ".join(str(error).splitlines())) from None
    for line in deprecation_lines(words):
        print(f"{program}: {line}", file=sys.stderr)
    if "print_config" in words.requests:
        _print_and_leave(dump_dataclass(command, defaults=True).rstrip("\n"))
    return command


def _print_and_leave(text: str) -> None:
    print(text)
    raise SystemExit(0)
