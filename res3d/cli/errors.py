"""Exit codes, and the lines on stderr that go with them."""

import sys

FAILED = 1  # a file is missing or cannot be read, or work on it failed
USAGE_ERROR = 2  # a wrong flag, config, model, layer or spec
INTERRUPTED = 130  # Ctrl-C


class UsageError(ValueError):
    """A command line or config that cannot be carried out; the message is one line."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, and what became of the work so far, in one line."""


def report_error(command: str, message: str) -> int:
    """Print one line on stderr; return the exit code for files that failed."""
    print(f"res3d {command}: {message}", file=sys.stderr, flush=True)
    return FAILED
