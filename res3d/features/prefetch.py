"""An iterator run ahead in its own thread."""

import queue
import threading
from collections.abc import Generator, Iterable
from typing import TypeVar

T = TypeVar("T")

POLL_SECONDS = 0.1  # how soon a producer notices that nobody wants its items any more


class _End:
    """What a producer sends last: its error, if it had one."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def prefetch(items: Iterable[T], *, depth: int) -> Generator[T, None, None]:
    """The same items, made up to ``depth`` ahead in a thread.

    An error of ``items`` is raised here, after the items before it. Closing this generator, or leaving it through an
    error, stops the thread and closes ``items``.
    """
    ahead: queue.Queue[T | _End] = queue.Queue(maxsize=depth)
    stop = threading.Event()

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
        source = iter(items)
        try:
            for item in source:
                if not offer(item):
                    break
        except BaseException as raised:
            error = raised
        finally:
            if close := getattr(source, "close", None):
                close()
            offer(_End(error))

    thread = threading.Thread(target=produce, daemon=True, name="res3d-prefetch")
    thread.start()
    try:
        while True:
            item = ahead.get()
            if isinstance(item, _End):
                if item.error is not None:
                    raise item.error
                return
            yield item
    finally:
        stop.set()
        thread.join()
