"""Video files named on a command line, and settings for the part of each video that is read."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from glob import glob, has_magic
from pathlib import Path
from typing import TYPE_CHECKING

from res3d.cli.errors import UsageError

if TYPE_CHECKING:
    from res3d.video import VideoReader

# Suffixes of the files that are read from a folder. A file that is named directly may have any suffix.
SUFFIXES = (
    *(".3gp", ".asf", ".avi", ".flv", ".gif", ".m2ts", ".m4v", ".mjpeg", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg"),
    *(".mts", ".mxf", ".ogv", ".ts", ".vob", ".webm", ".wmv", ".y4m"),
)


@dataclass(frozen=True, kw_only=True)
class ReaderSettings:
    """Part and frame rate of each video that is read."""

    start: float = 0.0
    """Time in seconds at which reading starts."""
    end: float | None = None
    """Time in seconds before which reading ends. By default the end of the video."""
    fps: float | None = None
    """Frames per second that videos are resampled to. By default the frame rate of the video."""
    allow_truncated: bool = False
    """Process the readable frames of videos that are truncated or damaged, and print a warning. Without it, such a
    video is an error."""
    stream: int | None = None
    """Number of the video stream, from 0, in files with several. Without it, FFmpeg chooses, by the default-track flag
    and the bit rate."""

    def check(self) -> None:
        """Check the time range and the frame rate.

        Raises:
            UsageError: a value is out of range; the message names the flag.
        """
        from res3d.video import MIN_FPS

        if not 0 <= self.start < float("inf"):
            raise UsageError(f"--start must be ≥ 0 seconds, not {self.start}")
        if self.end is not None and not self.start < self.end:
            raise UsageError(f"--end must be later than --start ({self.start} s), not {self.end}")
        if self.fps is not None and not MIN_FPS <= self.fps < float("inf"):
            raise UsageError(f"--fps must be ≥ {MIN_FPS}, not {self.fps}")
        if self.stream is not None and self.stream < 0:
            raise UsageError(f"--stream must be ≥ 0, not {self.stream}")

    def open(self, path: Path, *, threads: int | None, decoders: int = 1) -> "VideoReader":
        """Return a reader for this part of a video; see ``VideoReader`` for ``threads`` and ``decoders``."""
        from res3d.video import VideoReader

        return VideoReader(
            path,
            start=self.start,
            end=self.end,
            fps=self.fps,
            allow_truncated=self.allow_truncated,
            decoders=decoders,
            threads=threads,
            stream=self.stream,
        )


def print_remarks(reader: "VideoReader") -> None:
    """Print the damage that the last iteration of a reader met, and its notes."""
    if reader.damage:
        print(f"{reader.path}: truncated or damaged: {reader.damage}; only the readable frames were used")
    for note in reader.notes:
        print(f"{reader.path}: {note}")


def expand_videos(arguments: Sequence[str]) -> list[Path]:
    """Return the video files that arguments name: files, videos in folders, and matches of globs (also "**").

    A file that is named twice is returned once. A file that does not exist is returned too, so that it is reported
    with the results of the others.

    Raises:
        UsageError: a folder or a glob has no video, or two files have the same stem and so the same names of results.
    """
    videos: dict[str, Path] = {}
    for argument in arguments:
        if not argument:
            raise UsageError("the name of a video must not be empty")
        path = Path(argument)
        if path.is_dir():
            files = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
            problem = f"folder {argument!r} contains no video ({', '.join(SUFFIXES)})"
        elif has_magic(argument) and not path.exists():
            files = sorted(p for p in map(Path, glob(argument, recursive=True)) if p.is_file())
            problem = f"no file matches {argument!r}"
        else:
            files, problem = [path], ""
        if not files:
            raise UsageError(problem)
        for file in files:
            videos.setdefault(os.path.abspath(file), file)  # noqa: PTH100 (resolve() would merge a link with its target)
    stems: dict[str, Path] = {}
    for file in videos.values():
        other = stems.setdefault(file.stem, file)
        if other is not file:
            raise UsageError(
                f"{other} and {file} have the same name, so their results would too; use a different --out for each"
            )
    return list(videos.values())
