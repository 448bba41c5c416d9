"""Which video files a command line means."""

import os
from collections.abc import Sequence
from glob import glob, has_magic
from pathlib import Path

from res3d.cli.command import UsageError

# What a folder is searched for; a file that is named is tried whatever its suffix.
SUFFIXES = (
    *(".3gp", ".asf", ".avi", ".flv", ".gif", ".m2ts", ".m4v", ".mjpeg", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg"),
    *(".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv", ".y4m"),
)


def expand_videos(arguments: Sequence[str]) -> list[Path]:
    """The files that arguments name: files as they are, folders searched through, globs expanded ("**" included).

    A file named twice counts once. Files that do not exist are kept, to be reported when their turn comes.

    Raises:
        UsageError: a folder or glob without a video, or two files with one stem, whose results would share a name.
    """
    found: dict[str, Path] = {}
    for argument in arguments:
        if not argument:
            raise UsageError("an empty name is no video")
        path = Path(argument)
        if path.is_dir():
            files = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
            what = f"folder {argument!r} holds no video ({', '.join(SUFFIXES)})"
        elif has_magic(argument) and not path.exists():
            files = sorted(p for p in map(Path, glob(argument, recursive=True)) if p.is_file())
            what = f"no file matches {argument!r}"
        else:
            files, what = [path], ""
        if not files:
            raise UsageError(what)
        for file in files:
            found.setdefault(os.path.abspath(file), file)  # noqa: PTH100 (links are files of their own)
    stems: dict[str, Path] = {}
    for file in found.values():
        other = stems.setdefault(file.stem, file)
        if other is not file:
            raise UsageError(
                f"{other} and {file} would both be written to {file.stem}.npz; extract them to two folders"
            )
    return list(found.values())
