"""The video files that a command line names, and the part of each that is read."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from glob import glob, has_magic
from pathlib import Path
from typing import TYPE_CHECKING

from res3d.cli.errors import UsageError

if TYPE_CHECKING:
    from res3d.video import VideoReader

# What a folder is searched for; a file that is named is tried whatever its suffix.
SUFFIXES = (
    *(".3gp", ".asf", ".avi", ".flv", ".gif", ".m2ts", ".m4v", ".mjpeg", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg"),
    *(".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv", ".y4m"),
)


@dataclass(frozen=True, kw_only=True)
class ReaderSettings:
    """The part of each video that is read."""

    start: float = 0.0
    """Seconds to begin at."""
    end: float | None = None
    """Seconds to end before."""
    fps: float | None = None
    """Resample videos to this frame rate."""
    allow_truncated: bool = False
    """Use the frames of videos that end or break early, and say so."""

    def check(self) -> None:
        """Refuse a range or rate that no video has.

        Raises:
            UsageError: naming the flag.
        """
        from res3d.video import MIN_FPS

        if not 0 <= self.start < float("inf"):
            raise UsageError(f"--start must be ≥ 0 seconds, not {self.start}")
        if self.end is not None and not self.start < self.end:
            raise UsageError(f"--end must be later than --start ({self.start} s), not {self.end}")
        if self.fps is not None and not MIN_FPS <= self.fps < float("inf"):
            raise UsageError(f"--fps must be ≥ {MIN_FPS}, not {self.fps}")

    def open(self, path: Path, *, threads: int | None, decoders: int = 1) -> "VideoReader":
        """Return a reader of that part of a video; ``threads`` and ``decoders`` are its own."""
        from res3d.video import VideoReader

        return VideoReader(
            path,
            start=self.start,
            end=self.end,
            fps=self.fps,
            allow_truncated=self.allow_truncated,
            decoders=decoders,
            threads=threads,
        )


def expand_videos(arguments: Sequence[str]) -> list[Path]:
    """Return the files that arguments name: files, what is in folders, and what globs match ("**" included).

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
