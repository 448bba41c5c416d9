"""Iteration ahead of use in a background thread, and mapping of a function over items in several threads."""

import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")

POLL_SECONDS = 0.1  # interval at which producer and consumer check whether the other has stopped
JOIN_SECONDS = 2.0  # how long ``close`` waits for the thread


class StreamStoppedError(Exception):
    """Error of an iteration that an event stopped."""


class _End:
    """End marker of a producer, with its error or None."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


class _Channel(Generic[T]):
    """Bounded queue between the producer thread and the consumer."""

    def __init__(self, depth: int | Callable[[T], int], stop: threading.Event) -> None:
        self.stop = stop
        self.failures: list[BaseException] = []  # errors after ``stop`` was set, when nothing is sent anymore
        self.ready: queue.SimpleQueue[T | _End] = queue.SimpleQueue()
        self._depth = depth
        self._slots: threading.Semaphore | None = None

    def produce(self, items: Iterable[T]) -> None:
        """Send all items, then the end marker; close the iterator."""
        error: BaseException | None = None
        source: object = None
        try:
            source = iter(items)
            for item in source:
                if not self._send(item):
                    break
        except BaseException as raised:
            error = raised
        try:
            if close := getattr(source, "close", None):
                close()
        except BaseException as raised:
            error = error or raised
        if self.stop.is_set():
            if error is not None:
                self.failures.append(error)
        else:
            self.ready.put(_End(error))

    def _send(self, item: T) -> bool:
        """Wait for a free slot and send an item; return False if ``stop`` is set."""
        if self._slots is None:
            self._slots = threading.Semaphore(self._depth(item) if callable(self._depth) else self._depth)
        while not self.stop.is_set():
            if self._slots.acquire(timeout=POLL_SECONDS):
                self.ready.put(item)
                return True
        return False

    def free_slot(self) -> None:
        """Allow the producer to send one more item."""
        assert self._slots is not None  # created before the first item was sent
        self._slots.release()


class Prefetcher(Iterator[T]):
    """Iterator over the items of an iterable, which a thread computes ahead of their use. The thread starts at once.

    An error of ``items`` is raised by the iteration, after the items before the error. ``close()`` stops the thread and
    closes ``items``; the end of the iteration calls it.

    Args:
        items: the iterable.
        depth: maximum number of waiting items, or a function that returns it for the first item.
        stop: an event shared by a chain of prefetchers, so that closing the last one stops them all. A thread that is
            computing an item gets two seconds to end; after that, ``close`` returns and the thread ends by itself.
        interrupt: an event that ends the iteration when the caller sets it.
        name: name of the thread.

    Raises:
        StreamStoppedError: during iteration, soon after ``interrupt`` was set.
    """

    def __init__(
        self,
        items: Iterable[T],
        *,
        depth: int | Callable[[T], int],
        stop: threading.Event | None = None,
        interrupt: threading.Event | None = None,
        name: str = "res3d-prefetch",
    ) -> None:
        self._interrupt = interrupt
        self._ended = self._closed = False
        self._channel: _Channel[T] = _Channel(depth, stop or threading.Event())
        self._thread = threading.Thread(target=self._channel.produce, args=(items,), daemon=True, name=name)
        self._thread.start()

    def __next__(self) -> T:
        try:
            item = self._take()
        except BaseException:
            self.close()
            raise
        if not isinstance(item, _End):
            self._channel.free_slot()
            return item
        self._ended = True
        self.close()
        if item.error is not None:
            raise item.error
        raise StopIteration

    def _take(self) -> T | _End:
        channel = self._channel
        while not self._ended:
            if self._interrupt is not None and self._interrupt.is_set():
                raise StreamStoppedError("stopped")
            try:
                return channel.ready.get(timeout=POLL_SECONDS)
            except queue.Empty:
                if not channel.stop.is_set() or self._thread.is_alive() or not channel.ready.empty():
                    continue
                if channel.failures:  # the failure made another prefetcher of the chain set ``stop``
                    raise channel.failures[0] from None
                self._ended = True
        return _End(None)

    def close(self) -> None:
        """Stop the thread and close the iterable. Further calls have no effect."""
        if self._closed:
            return
        self._closed = True
        if not self._ended:
            self._ended = True
            self._channel.stop.set()
        self._thread.join(JOIN_SECONDS)

    def __del__(self) -> None:
        if not self._ended:
            self._channel.stop.set()


def prefetch(
    items: Iterable[T],
    *,
    depth: int,
    stop: threading.Event | None = None,
    interrupt: threading.Event | None = None,
) -> Generator[T, None, None]:
    """Yield the items of a ``Prefetcher`` with these arguments. Its thread starts with the iteration."""
    with closing(Prefetcher(items, depth=depth, stop=stop, interrupt=interrupt)) as prefetcher:
        yield from prefetcher


def map_in_threads(
    function: Callable[[T], R], items: Generator[T, None, None], *, workers: int
) -> Generator[R, None, None]:
    """Yield ``map(function, items)`` in order, computed by ``workers`` threads.

    At most ``workers`` items are computed ahead of the iteration. The iteration raises errors of ``function`` and
    ``items`` after the results before the error. Closing the generator closes ``items``.
    """
    running: deque[Future[R]] = deque()
    failure: Exception | None = None
    with closing(items), ThreadPoolExecutor(workers, thread_name_prefix="res3d-worker") as pool:
        while failure is None:
            try:
                running.append(pool.submit(function, next(items)))
            except StopIteration:
                break
            except Exception as error:
                failure = error
            if len(running) > workers:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    if failure is not None:
        raise failure
