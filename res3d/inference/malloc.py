"""Settings of glibc's malloc, by which the memory of freed maps stays with the process.

Left to itself, the C library hands every large block back to the system when it is freed, and the system zeroes its
pages when it gives them out again. A network frees and asks for maps of tens of megabytes layer by layer: that can take
a third of its time.
"""

import ctypes
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

KEPT = 2**30  # bytes that may stay with the process, beyond what is in use
TRIM_THRESHOLD, MMAP_THRESHOLD, MMAP_MAX = -1, -3, -4  # of glibc's malloc.h
# What the limits rise to by themselves in a process that uses much memory
USUAL = {TRIM_THRESHOLD: 2**26, MMAP_THRESHOLD: 2**25, MMAP_MAX: 65_536}
OWN_SETTINGS = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_MMAP_MAX_", "GLIBC_TUNABLES")


def keep_freed_memory() -> None:
    """Let up to 1 GiB of freed memory stay with the process, from now on.

    Does nothing with another C library than glibc, or where the user's environment sets its limits.
    """
    if (mallopt := _mallopt()) is None:
        return
    mallopt(TRIM_THRESHOLD, KEPT)
    if not mallopt(MMAP_THRESHOLD, KEPT):  # glibc before 2.35 takes no more than 32 MiB
        mallopt(MMAP_MAX, 0)


@contextmanager
def usual_memory() -> Iterator[None]:
    """While it lasts, large blocks are handed back as in a process that never called ``keep_freed_memory``.

    (Almost: what then lies between blocks in use stays.)
    """
    if (mallopt := _mallopt()) is None:
        yield
        return
    for limit, value in USUAL.items():
        mallopt(limit, value)
    give_back_freed()
    try:
        yield
    finally:
        keep_freed_memory()


def give_back_freed() -> None:
    """Hand all freed memory back now."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


@cache
def _mallopt() -> Callable[[int, int], int] | None:
    if os.name != "posix" or any(name in os.environ for name in OWN_SETTINGS):
        return None
    return getattr(ctypes.CDLL(None), "mallopt", None)
