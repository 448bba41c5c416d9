"""``res3d COMMAND ...``: finds the command and runs it."""

import io
import os
import sys
from collections.abc import Sequence

from res3d.cli.errors import FAILED, USAGE_ERROR
from res3d.settings import did_you_mean, resolve
from res3d.threads import limit_spinning
from res3d.version import __version__

# name: (the class, what it does). A module is imported when its command is called, and torch when a command runs:
# neither ``--help`` nor a wrong flag waits for it.
COMMANDS = {
    "extract": ("res3d.cli.extract:ExtractCommand", "features of the clips of videos, one .npz a video"),
    "classify": ("res3d.cli.classify:ClassifyCommand", "what a video shows: the likeliest classes of its clips"),
    "track": ("res3d.cli.track:TrackCommand", "tracks of the objects in videos, in files and drawn on the videos"),
    "describe": ("res3d.cli.describe:DescribeCommand", "a network stage by stage: shapes, layers, costs; as a drawing"),
    "train": ("res3d.cli.train:TrainCommand", "a model from a config: detectors and classifiers, with frozen stages"),
    "evaluate": ("res3d.cli.evaluate:EvaluateCommand", "scores of predicted tracks against the ground truth"),
    "benchmark": ("res3d.cli.benchmark:BenchmarkCommand", "how fast networks are, beside other libraries' networks"),
    "convert": ("res3d.cli.convert:ConvertCommand", "a checkpoint of any origin to a file that rebuilds its model"),
    "sample": ("res3d.cli.sample:SampleCommand", "a generated video with its exact tracks, or clips of classes"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line (by default the process's own) and return its exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # file names may hold what a terminal cannot show
    limit_spinning()
    try:
        return _main([*(sys.argv[1:] if arguments is None else arguments)] or ["--help"])
    except BrokenPipeError:  # whoever read the output is gone, like ``| head``
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED


def _main(arguments: Sequence[str]) -> int:
    name, *rest = arguments
    if name == "--version":
        print(f"res3d {__version__}")
        return 0
    if name in ("-h", "--help"):
        print(_help())
        return 0
    if name not in COMMANDS:
        hint = did_you_mean(name, COMMANDS)
        print(f"res3d: error: unknown command {name!r}{hint} (accepted: {', '.join(COMMANDS)})", file=sys.stderr)
        return USAGE_ERROR
    return _run(name, rest)


def _run(name: str, arguments: Sequence[str]) -> int:
    from res3d.cli.command import run_command

    return run_command(resolve(COMMANDS[name][0]), name, arguments)


def _help() -> str:
    lines = ["usage: res3d [--version] COMMAND ...", "", "commands:"]
    lines += [f"  {name:<10} {text}" for name, (_, text) in COMMANDS.items()]
    return "\n".join([*lines, "", "res3d COMMAND --help tells more."])
