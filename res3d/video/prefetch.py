"""An iterable run ahead in its own thread, and a function applied to its items in several."""

import queue
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")

POLL_SECONDS = 0.1  # how soon either side notices that the other is gone
JOIN_SECONDS = 2.0


class StreamStoppedError(Exception):
    """Iteration was ended from outside, through an event."""


class _End:
    """Last item of a producer, with its error if it had one."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


class _Channel(Generic[T]):
    """Items on their way from the thread that makes them to the iteration that takes them."""

    def __init__(self, depth: int | Callable[[T], int], stop: threading.Event) -> None:
        self.stop = stop
        self.failures: list[BaseException] = []  # what cannot be sent any more once ``stop`` is set
        self.ready: queue.SimpleQueue[T | _End] = queue.SimpleQueue()
        self._depth = depth
        self._slots: threading.Semaphore | None = None

    def produce(self, items: Iterable[T]) -> None:
        """Send all items, then the end."""
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
        """Hand an item on as soon as there is a free slot; False once ``stop`` is set."""
        if self._slots is None:
            self._slots = threading.Semaphore(self._depth(item) if callable(self._depth) else self._depth)
        while not self.stop.is_set():
            if self._slots.acquire(timeout=POLL_SECONDS):
                self.ready.put(item)
                return True
        return False

    def free_slot(self) -> None:
        """Let the producer send one more item."""
        assert self._slots is not None  # made before the first item was sent
        self._slots.release()


class Prefetcher(Iterator[T]):
    """Iterator over the same items, which a thread makes ahead from now on.

    An error of ``items`` is raised here, after the items before it. ``close()``, and so the end of the iteration, stops
    the thread and closes ``items``.

    Args:
        items: anything to iterate over.
        depth: how many items wait at most; or a function that tells it from the first item.
        stop: an event that a chain of prefetchers shares, so that closing the last ends them all at once; a thread in
            the middle of an item is given two seconds and then left to end by itself.
        interrupt: an event that others set to end the iteration.
        name: of the thread.

    Raises:
        StreamStoppedError: on iteration, soon after ``interrupt`` was set.
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
                if channel.failures:  # which is why somebody further up the chain set ``stop``
                    raise channel.failures[0] from None
                self._ended = True
        return _End(None)

    def close(self) -> None:
        """End the thread and close what it iterates over; a second time nothing happens."""
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
    """Yield the items of a ``Prefetcher`` whose thread starts with the iteration."""
    with closing(Prefetcher(items, depth=depth, stop=stop, interrupt=interrupt)) as ahead:
        yield from ahead


def map_in_threads(
    function: Callable[[T], R], items: Generator[T, None, None], *, workers: int
) -> Generator[R, None, None]:
    """``map(function, items)``, in order, computed by ``workers`` threads at a time and no further ahead than that.

    Errors of ``function`` and ``items`` are raised here, after the results before them. Closing this closes ``items``.
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
