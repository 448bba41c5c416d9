"""How long each stage of a pipeline was busy."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

STAGES = ("decode", "preprocess", "network")


class StageTimes:
    """Seconds that the stages of extraction were busy, added up over all their threads.

    Stages run at the same time and share the machine, so the shares of the time that passed may add up to more than 1;
    the one near its number of threads is the one that decides.
    """

    def __init__(self) -> None:
        self.busy_seconds = dict.fromkeys(STAGES, 0.0)
        self._began = time.perf_counter()
        self._lock = threading.Lock()

    @contextmanager
    def measure(self, stage: str) -> Iterator[None]:
        """Count what runs inside to ``stage``, one of ``STAGES``."""
        began = time.perf_counter()
        try:
            yield
        finally:
            seconds = time.perf_counter() - began
            with self._lock:
                self.busy_seconds[stage] += seconds

    def shares(self) -> dict[str, float]:
        """Of the time since this was made, stage by stage."""
        passed = time.perf_counter() - self._began
        return {stage: seconds / passed for stage, seconds in self.busy_seconds.items()}

    def __str__(self) -> str:
        return ", ".join(f"{stage} {100 * share:.0f} %" for stage, share in self.shares().items())
