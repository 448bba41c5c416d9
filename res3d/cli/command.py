"""A command as a dataclass: its fields are its flags and the keys of its config files, its ``run`` is what it does.

Exit codes: what ``run`` returns; 2 for a wrong flag, config or value (``UsageError``); 1 for files that failed; 130
after Ctrl-C.
"""

import sys
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from res3d.cli.threads import Computing, use_threads
from res3d.settings import Short, deprecation_lines, dump_dataclass, format_help, read_settings, split_words
from res3d.version import __version__

FAILED = 1
USAGE_ERROR = 2
INTERRUPTED = 130


class UsageError(ValueError):
    """A command line or config that cannot be carried out; the message is one line."""


@dataclass(frozen=True, kw_only=True)
class Command(ABC):
    """What every command has. The docstring of a command is the beginning of its ``--help``."""

    computing: Annotated[Computing, Short()] = Computing()
    """What the command computes on."""

    @abstractmethod
    def run(self) -> int:
        """Do it; return the exit code.

        Raises:
            UsageError: settings that cannot be carried out.
        """


def run_command(kind: type[Command], name: str, arguments: Sequence[str]) -> int:
    """Read a command line, run the command, and return the exit code. Errors are one line on stderr.

    Raises:
        SystemExit: after ``--help``, ``--version`` and ``--print-config``, with code 0.
    """
    program = f"res3d {name}"
    try:
        command = read_command(kind, program, arguments)
        use_threads(command.computing.threads)
        return command.run()
    except ValueError as error:
        if not isinstance(error, (UsageError, SettingsError)):
            raise
        print(f"{program}: error: {error}", file=sys.stderr)
        return USAGE_ERROR
    except KeyboardInterrupt:
        print(f"\n{program}: interrupted; what was finished is kept", file=sys.stderr)
        return INTERRUPTED
