"""Settings of glibc's malloc that keep the memory of freed feature maps in the process.

By default, glibc returns every large block to the system when it is freed, and the system zeroes the pages of the next
block. A network allocates and frees feature maps of tens of megabytes in every layer. This can take a third of its
time.
"""

import ctypes
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache

MAX_FREED = 2**30  # bytes of freed memory that may stay in the process
TRIM_THRESHOLD, MMAP_THRESHOLD, MMAP_MAX = -1, -3, -4  # parameters of mallopt, from glibc's malloc.h
# The values that glibc itself raises the limits to in a process that frees large blocks
DEFAULT_LIMITS = {TRIM_THRESHOLD: 2**26, MMAP_THRESHOLD: 2**25, MMAP_MAX: 65_536}
USER_VARIABLES = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_MMAP_MAX_", "GLIBC_TUNABLES")


def keep_freed_memory() -> None:
    """Keep up to 1 GiB of freed memory in the process, from now on.

    Does nothing if the C library is not glibc, or if the user's environment sets malloc's limits (``USER_VARIABLES``).
    """
    if (mallopt := _mallopt()) is None:
        return
    mallopt(TRIM_THRESHOLD, MAX_FREED)
    if not mallopt(MMAP_THRESHOLD, MAX_FREED):  # glibc before 2.35 accepts at most 32 MiB
        mallopt(MMAP_MAX, 0)


@contextmanager
def usual_memory() -> Iterator[None]:
    """Restore malloc's default limits inside a ``with`` block, and call ``keep_freed_memory`` at its end.

    Large blocks are then returned to the system as in a process that never called ``keep_freed_memory``, except for
    freed memory between blocks that are in use.
    """
    if (mallopt := _mallopt()) is None:
        yield
        return
    for limit, value in DEFAULT_LIMITS.items():
        mallopt(limit, value)
    give_back_freed()
    try:
        yield
    finally:
        keep_freed_memory()


def give_back_freed() -> None:
    """Return all freed memory to the system now."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


@cache
def _mallopt() -> Callable[[int, int], int] | None:
    if os.name != "posix" or any(name in os.environ for name in USER_VARIABLES):
        return None
    return getattr(ctypes.CDLL(None), "mallopt", None)
