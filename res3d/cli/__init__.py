"""The command line, ``res3d COMMAND``: one module per command."""

from res3d.cli.main import main

__all__ = ["main"]
