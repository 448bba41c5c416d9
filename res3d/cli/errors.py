"""Exit codes of the commands, and their error messages on stderr."""

import sys

FAILED = 1  # a file is missing or unreadable, or could not be processed
USAGE_ERROR = 2  # a flag, configuration, model, layer or spec is invalid
INTERRUPTED = 130  # Ctrl-C


class UsageError(ValueError):
    """Invalid command line or configuration. The message is one line."""


class Interrupted(KeyboardInterrupt):
    """Error after Ctrl-C. The message is one line that describes which work is unfinished."""


def report_error(command: str, message: str) -> int:
    """Print an error message of one line on stderr, and return the exit code ``FAILED``."""
    print(f"res3d {command}: {message}", file=sys.stderr, flush=True)
    return FAILED
