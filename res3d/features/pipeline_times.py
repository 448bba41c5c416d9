"""Times for which the parts of the extraction pipeline are busy."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

PARTS = ("decode", "preprocess", "network")


class PipelineTimes:
    """Seconds for which the parts of extraction were busy, added up over all their threads.

    Parts run at the same time and share the machine, so the shares of the time that passed may add up to more than 1;
    the one near its number of threads is the one that decides.
    """

    def __init__(self) -> None:
        self.busy_seconds = dict.fromkeys(PARTS, 0.0)
        self._began = time.perf_counter()
        self._lock = threading.Lock()

    @contextmanager
    def measure(self, part: str) -> Iterator[None]:
        """Add the time that is spent inside to ``part``, one of ``PARTS``."""
        began = time.perf_counter()
        try:
            yield
        finally:
            seconds = time.perf_counter() - began
            with self._lock:
                self.busy_seconds[part] += seconds

    def shares(self) -> dict[str, float]:
        """Return the busy time of each part over the time since this was made."""
        passed = time.perf_counter() - self._began
        return {part: seconds / passed for part, seconds in self.busy_seconds.items()}

    def __str__(self) -> str:
        return ", ".join(f"{part} {100 * share:.0f} %" for part, share in self.shares().items())
