import threading
import time

import pytest

from res3d.video import prefetch as prefetch_module
from res3d.video.prefetch import map_in_threads, prefetch


def running_threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name == "res3d-prefetch"]


def test_items_are_computed_in_order_in_another_thread():
    def items():
        for n in range(100):
            yield n, threading.current_thread()

    pairs = list(prefetch(items(), depth=3))
    assert [n for n, _ in pairs] == list(range(100))
    assert {thread for _, thread in pairs} != {threading.main_thread()}
    assert not running_threads()


def test_prefetch_computes_at_most_depth_items_ahead():
    computed = []

    def items():
        for n in range(100):
            computed.append(n)
            yield n

    ahead = prefetch(items(), depth=2)
    next(ahead)
    time.sleep(0.1)
    assert len(computed) <= 4  # one in use, two waiting, one about to be queued
    ahead.close()


def test_error_is_raised_after_the_items_before_it():
    def items():
        yield 1
        raise KeyError("broken")

    ahead = prefetch(items(), depth=5)
    assert next(ahead) == 1
    with pytest.raises(KeyError, match="broken"):
        next(ahead)
    assert not running_threads()


def test_close_stops_the_thread_and_closes_the_source():
    closed = threading.Event()

    def items():
        try:
            while True:
                yield 0
        finally:
            closed.set()

    ahead = prefetch(items(), depth=2)
    next(ahead)
    ahead.close()
    assert closed.is_set()
    assert not running_threads()


def test_closing_a_chain_stops_all_its_threads():
    closed = threading.Event()

    def items():
        try:
            while True:
                yield 1
        finally:
            closed.set()

    def doubled(source):
        try:
            for n in source:
                yield 2 * n
        finally:
            source.close()

    chain = prefetch(doubled(prefetch(items(), depth=2)), depth=2)
    assert next(chain) == 2
    chain.close()
    assert closed.is_set()
    assert not running_threads()


def test_error_in_iter_is_raised():
    class Broken:
        def __iter__(self):
            raise RuntimeError("no items")

    with pytest.raises(RuntimeError, match="no items"):
        list(prefetch(Broken(), depth=1))


def test_closing_a_chain_does_not_wait_for_a_silent_source(monkeypatch):
    """Decoding up to a late ``start`` takes long without yielding an item; Ctrl-C must not wait for it."""
    monkeypatch.setattr(prefetch_module, "JOIN_SECONDS", 0.1)
    release = threading.Event()

    def silent():
        yield 1
        release.wait(30)

    stop = threading.Event()
    inner = prefetch(silent(), depth=1, stop=stop)
    chain = prefetch((2 * n for n in inner), depth=1, stop=stop)
    assert next(chain) == 2
    start = time.monotonic()
    chain.close()
    elapsed = time.monotonic() - start
    release.set()
    assert elapsed < 4


def test_map_in_threads_keeps_the_order():
    threads = set()

    def slow(n):
        threads.add(threading.current_thread())
        time.sleep(0.02 if n % 2 else 0.0)
        return 2 * n

    assert list(map_in_threads(slow, (n for n in range(20)), workers=3)) == [2 * n for n in range(20)]
    assert 1 < len(threads) <= 3


@pytest.mark.parametrize("broken", [0, 3, 49])
def test_error_in_the_middle_of_a_chain_is_raised(broken, monkeypatch):
    """The error closes the earlier part of the chain, which stops all threads; it must be raised every time."""
    monkeypatch.setattr(prefetch_module, "POLL_SECONDS", 0.01)

    def fail(n):
        if n == broken:
            raise MemoryError("full")
        return n

    for _ in range(5):
        stop = threading.Event()
        chain = prefetch(
            map_in_threads(fail, prefetch(iter(range(50)), depth=2, stop=stop), workers=2), depth=2, stop=stop
        )
        items = []
        with pytest.raises(MemoryError, match="full"):
            items.extend(chain)
        assert items == list(range(len(items)))
        assert not running_threads()


def test_map_in_threads_ends_its_threads_after_error_and_close():
    def fail(n):
        if n == 3:
            raise ValueError("three")
        return n

    results = map_in_threads(fail, (n for n in range(10)), workers=2)
    with pytest.raises(ValueError, match="three"):
        list(results)
    closed = []

    def items():
        try:
            yield from range(10)
        finally:
            closed.append(True)

    results = map_in_threads(fail, items(), workers=2)
    next(results)
    results.close()
    assert closed
    assert not [t for t in threading.enumerate() if t.name.startswith("res3d-worker")]
