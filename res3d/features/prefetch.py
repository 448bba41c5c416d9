"""An iterator run ahead in its own thread, and a function on its items in several."""

import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

POLL_SECONDS = 0.1  # how soon either side notices that the other is gone
JOIN_SECONDS = 2.0


class _End:
    """What a producer sends last: its error, if it had one."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def prefetch(items: Iterable[T], *, depth: int, stop: threading.Event | None = None) -> Generator[T, None, None]:
    """The same items, made up to ``depth`` ahead in a thread.

    An error of ``items`` is raised here, after the items before it. Closing this generator, or leaving it through an
    error, stops the thread and closes ``items``. Generators in a chain share one ``stop``, so that closing the last
    ends them all at once; a thread in the middle of an item is given two seconds and then left to end by itself.
    """
    stop = stop or threading.Event()
    ahead: queue.Queue[T | _End] = queue.Queue(maxsize=depth)
    failures: list[BaseException] = []  # what cannot be sent any more once ``stop`` is set

    def offer(item: T | _End) -> bool:
        while not stop.is_set():
            try:
                ahead.put(item, timeout=POLL_SECONDS)
                return True
            except queue.Full:
                continue
        return False

    def produce() -> None:
        error: BaseException | None = None
        source: object = None
        try:
            source = iter(items)
            for item in source:
                if not offer(item):
                    break
        except BaseException as raised:
            error = raised
        try:
            if close := getattr(source, "close", None):
                close()
        except BaseException as raised:
            error = error or raised
        if not offer(_End(error)) and error is not None:
            failures.append(error)

    thread = threading.Thread(target=produce, daemon=True, name="res3d-prefetch")
    thread.start()
    ended = False
    try:
        while True:
            try:
                item = ahead.get(timeout=POLL_SECONDS)
            except queue.Empty:
                if not stop.is_set() or thread.is_alive() or not ahead.empty():
                    continue
                if failures:  # which is why somebody further up the chain set ``stop``
                    raise failures[0] from None
                return
            if isinstance(item, _End):
                ended = True
                if item.error is not None:
                    raise item.error
                return
            yield item
    finally:
        if not ended:
            stop.set()
        thread.join(JOIN_SECONDS)


def map_in_threads(
    function: Callable[[T], R], items: Generator[T, None, None], *, workers: int
) -> Generator[R, None, None]:
    """``map(function, items)``, in order, computed by ``workers`` threads at a time and no further ahead than that.

    Errors of ``function`` and ``items`` are raised here. Closing this closes ``items``.
    """
    running: deque[Future[R]] = deque()
    with closing(items), ThreadPoolExecutor(workers, thread_name_prefix="res3d-worker") as pool:
        for item in items:
            running.append(pool.submit(function, item))
            if len(running) > workers:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
