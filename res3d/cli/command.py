"""Commands as dataclasses: the fields are the flags and the keys of configuration files, ``run`` does the work.

Exit codes: the return value of ``run``; 2 for an invalid flag, configuration or value (``UsageError``); 130 after
Ctrl-C.
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
# Keyword arguments of functions that take Literal types; the words of a setting come from a table and are plain str.
Keywords: TypeAlias = dict[str, Any]


class Command(ABC):
    """Base class of the commands, which are frozen dataclasses. The class docstring is the text of ``--help``."""

    computing: Computing
    """CPU threads and, for a command with a network, device and number type. Every command has this field."""

    @abstractmethod
    def run(self) -> int:
        """Run the command and return its exit code.

        Raises:
            UsageError: the settings are invalid.
        """


def run_command(kind: type[Command], name: str, arguments: Sequence[str]) -> int:
    """Read a command line, run the command, and return the exit code. An error is one line on stderr.

    Raises:
        SystemExit: with code 0, after ``--help``, ``--version`` or ``--print-config``.
    """
    program = f"res3d {name}"
    try:
        command = read_command(kind, program, arguments)
        return command.run()
    except UsageError as error:
        print(f"{program}: error: {error}", file=sys.stderr)
        return USAGE_ERROR
    except KeyboardInterrupt as error:
        print(f"\n{program}: interrupted; {str(error) or 'finished files are kept'}", file=sys.stderr)
        return INTERRUPTED


def read_command(kind: type[C], program: str, arguments: Sequence[str]) -> C:
    """Build the command from a command line, and set the number of threads of the libraries from it.

    Raises:
        UsageError: the command line or a configuration file is invalid.
        SystemExit: see ``run_command``.
    """
    try:
        words = split_words(kind, arguments)
        if "help" in words.requests:
            _print_and_exit(format_help(kind, program))
        if "version" in words.requests:
            _print_and_exit(f"{program} {__version__}")
        command = read_settings(kind, words)
        use_threads(command.computing.threads)
    except ValueError as error:
        raise UsageError(" ".join(str(error).splitlines())) from None
    for line in deprecation_lines(words):
        print(f"{program}: {line}", file=sys.stderr)
    if "print_config" in words.requests:
        _print_and_exit(dump_dataclass(command, defaults=True).rstrip("\n"))
    return command


def _print_and_exit(text: str) -> None:
    print(text)
    raise SystemExit(0)
