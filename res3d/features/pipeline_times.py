"""Busy times of the parts of the extraction pipeline."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

PARTS = ("decode", "preprocess", "network")


class PipelineTimes:
    """Busy time of each part of the extraction, in seconds, added up over all its threads.

    The parts run at the same time, so their shares of the elapsed time may add up to more than 1. The part whose share
    is close to its number of threads is the bottleneck.
    """

    def __init__(self) -> None:
        self.busy_seconds = dict.fromkeys(PARTS, 0.0)
        self._start = time.perf_counter()
        self._lock = threading.Lock()

    @contextmanager
    def measure(self, part: str) -> Iterator[None]:
        """Add the time until the block ends to ``part``, one of ``PARTS``."""
        start = time.perf_counter()
        try:
            yield
        finally:
            seconds = time.perf_counter() - start
            with self._lock:
                self.busy_seconds[part] += seconds

    def shares(self) -> dict[str, float]:
        """Return the busy time of each part divided by the time since the object was created."""
        elapsed = time.perf_counter() - self._start
        return {part: seconds / elapsed for part, seconds in self.busy_seconds.items()}

    def __str__(self) -> str:
        return ", ".join(f"{part} {100 * share:.0f} %" for part, share in self.shares().items())
