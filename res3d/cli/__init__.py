"""The command line: one module a command."""

from res3d.cli.main import main

__all__ = ["main"]
