"""How far the work on a video is: a bar on a terminal, else a line every ten seconds."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

SECONDS = 10.0  # from one line to the next


class Progress(Protocol):
    """Takes the number of frames that were done since it was called last."""

    def __call__(self, frames: int, /) -> object: ...


@contextmanager
def show_progress(name: str, total: int | None, *, seconds: float = SECONDS) -> Iterator[Progress]:
    """Show, on stderr, how many of a video's frames are done, while the block lasts.

    Args:
        name: of the video.
        total: its number of frames, where that is known.
        seconds: from one line to the next, where stderr is no terminal.
    """
    if sys.stderr.isatty():
        from tqdm import tqdm

        with tqdm(total=total, desc=name, unit=" frames", leave=False) as bar:
            yield bar.update
    else:
        yield _Lines(name, total, seconds)


class _Lines:
    """Prints a line when the last one is old enough."""

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
