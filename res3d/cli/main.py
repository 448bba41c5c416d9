"""``res3d COMMAND ...``: finds the command's function and runs it."""

import io
import sys
from collections.abc import Sequence
from importlib import import_module

from res3d.cli.command import USAGE_ERROR, run_command
from res3d.version import __version__

# name: (module, function, what it does). A module is imported when called: no command waits for another's libraries.
COMMANDS = {
    "extract": ("res3d.cli.extract", "extract", "features of the clips of videos, one .npz a video"),
    "classify": ("res3d.cli.classify", "classify", "what a video shows: the likeliest classes of its clips"),
    "track": ("res3d.cli.track", "track", "tracks of the objects in videos, in files and drawn on the videos"),
    "describe": ("res3d.cli.describe", "describe", "a network stage by stage: shapes, layers, costs; and as a drawing"),
    "train": ("res3d.cli.train", "train", "a model from a config: detectors and classifiers, with frozen stages"),
    "evaluate": ("res3d.cli.evaluate", "evaluate", "scores of predicted tracks against the ground truth"),
    "benchmark": ("res3d.cli.benchmark", "benchmark", "how fast networks are, beside other libraries' networks"),
    "convert": ("res3d.cli.convert", "convert", "a checkpoint of any origin to a file that rebuilds its model"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line (by default the process's own) and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # file names may hold what a terminal cannot show
    name, *rest = [*(sys.argv[1:] if arguments is None else arguments)] or ["--help"]
    if name == "--version":
        print(f"res3d {__version__}")
        return 0
    if name in ("-h", "--help"):
        print(_help())
        return 0
    if name not in COMMANDS:
        print(f"res3d: error: unknown command {name!r} (accepted: {', '.join(COMMANDS)})", file=sys.stderr)
        return USAGE_ERROR
    module, function, _ = COMMANDS[name]
    return run_command(getattr(import_module(module), function), name, rest)


def _help() -> str:
    lines = ["usage: res3d [--version] COMMAND ...", "", "commands:"]
    lines += [f"  {name:<10} {text}" for name, (_, _, text) in COMMANDS.items()]
    return "\n".join([*lines, "", "res3d COMMAND --help tells more."])
