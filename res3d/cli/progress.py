"""Progress of the work on a video: a bar on a terminal, else one line every ten seconds."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

SECONDS = 10.0  # between two lines


class Progress(Protocol):
    """Callback with the number of frames that were processed since the last call."""

    def __call__(self, frames: int, /) -> object: ...


@contextmanager
def show_progress(name: str, total: int | None, *, seconds: float = SECONDS) -> Iterator[Progress]:
    """Show on stderr how many frames of a video are processed, until the block ends.

    Args:
        name: name of the video.
        total: number of frames of the video; None if it is not known.
        seconds: time between two lines, if stderr is not a terminal.
    """
    if sys.stderr.isatty():
        from tqdm import tqdm

        with tqdm(total=total, desc=name, unit=" frames", leave=False) as bar:
            yield bar.update
    else:
        yield _Lines(name, total, seconds)


class _Lines:
    """Prints one line when ``seconds`` have passed since the last line."""

    def __init__(self, name: str, total: int | None, seconds: float) -> None:
        self._name, self._total, self._seconds = name, total, seconds
        self._done, self._began = 0, time.monotonic()
        self._next = self._began + seconds

    def __call__(self, frames: int, /) -> None:
        self._done += frames
        if (now := time.monotonic()) < self._next:
            return
        self._next = now + self._seconds
        of = "" if self._total is None else f" of {self._total}"
        speed = self._done / (now - self._began)
        print(f"{self._name}: {self._done}{of} frames, {speed:.1f} frames/s", file=sys.stderr, flush=True)
