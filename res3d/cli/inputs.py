"""Which video files a command line means."""

import os
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from glob import glob, has_magic
from pathlib import Path

from res3d.cli.command import UsageError
from res3d.video import VideoError

FAILED = 1  # the exit code when a named file could not be processed

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
            raise UsageError(f"{other} and {file} have one name, and so would their results; run them into two folders")
    return list(found.values())


def process_videos(
    paths: Sequence[Path],
    action: Callable[[Path], None],
    *,
    command: str,
    smaller: str = "--batch-size, --length or --crop",
    at_once: int = 1,
    stopping: threading.Event | None = None,
) -> int:
    """Run ``action`` on each video, whatever becomes of the others; returns how many failed, each with one line.

    ``at_once`` videos are worked on at a time, in threads. ``stopping`` is set after Ctrl-C: an action that runs then
    has to see it and to end.
    """

    def process(path: Path) -> bool:
        try:
            action(path)
        except (VideoError, OSError) as error:
            text = str(error)
            complain(command, text if text.startswith(str(path)) else f"{path}: {text}")
            return True
        except (RuntimeError, ValueError, MemoryError) as error:  # too little memory, or a clip too small for the model
            first = (str(error).strip() or type(error).__name__).splitlines()[0]
            complain(command, f"{path}: {first} (if memory is short, try a smaller {smaller})")
            return True
        return False

    if at_once == 1:
        return sum(map(process, paths))
    with ThreadPoolExecutor(at_once, thread_name_prefix="res3d-video") as pool:
        try:
            return sum(pool.map(process, paths))
        except BaseException:
            if stopping is not None:
                stopping.set()
            pool.shutdown(cancel_futures=True)
            raise


def complain(command: str, message: str) -> int:
    """Print one line on stderr; returns the exit code for files that failed."""
    print(f"res3d {command}: {message}", file=sys.stderr, flush=True)
    return FAILED
