"""``res3d COMMAND ...``: select the command and run it."""

import io
import os
import sys
from collections.abc import Sequence

from res3d.cli.errors import FAILED, USAGE_ERROR
from res3d.settings import did_you_mean, resolve
from res3d.threads import limit_spinning
from res3d.version import __version__

# name: (class, summary). The module of a command is imported when the command is called, and torch when it runs, so
# that --help and the message for an invalid flag do not wait for torch.
COMMANDS = {
    "extract": ("res3d.cli.extract:ExtractCommand", "compute features of the clips of videos, one .npz file per video"),
    "classify": ("res3d.cli.classify:ClassifyCommand", "print the most probable classes of videos and of their clips"),
    "track": ("res3d.cli.track:TrackCommand", "detect and track objects in videos; write tracks and annotated videos"),
    "describe": ("res3d.cli.describe:DescribeCommand", "print layers, shapes and costs of a network stage by stage"),
    "train": ("res3d.cli.train:TrainCommand", "train a detector or a classifier from a YAML configuration"),
    "evaluate": ("res3d.cli.evaluate:EvaluateCommand", "score predicted tracks against the ground truth"),
    "benchmark": (
        "res3d.cli.benchmark:BenchmarkCommand",
        "compare the speed of networks with those of other libraries",
    ),
    "convert": ("res3d.cli.convert:ConvertCommand", "convert a checkpoint of another project to a res3d model file"),
    "sample": ("res3d.cli.sample:SampleCommand", "generate a video with its exact tracks, or labelled videos"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code. ``arguments`` defaults to those of the process."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # file names may have characters that a terminal cannot show
    limit_spinning()
    try:
        return _main([*(sys.argv[1:] if arguments is None else arguments)] or ["--help"])
    except BrokenPipeError:  # the reader of the output has ended, as in ``res3d ... | head``
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
    return "\n".join([*lines, "", "res3d COMMAND --help prints the options of a command."])
