"""Fixtures for tests of commands."""

import signal
import threading
import time
from collections.abc import Callable, Iterator

import pytest


@pytest.fixture
def ctrl_c() -> Iterator[Callable[[Callable[[], bool]], None]]:
    """Return a function that sends one SIGINT to the main thread as soon as a condition holds.

    The command under test has to run for long enough after that; otherwise the signal stops the test.
    """
    ended = threading.Event()
    threads = []
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)

    def send_when(condition: Callable[[], bool]) -> None:
        def wait() -> None:
            while not ended.is_set():
                if condition():
                    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
                    return
                time.sleep(0.01)

        threads.append(threading.Thread(target=wait, daemon=True))
        threads[-1].start()

    yield send_when
    ended.set()
    for thread in threads:
        thread.join()
    signal.signal(signal.SIGINT, handler)
