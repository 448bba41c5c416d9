import threading
import time

import pytest

from res3d.video.prefetch import map_in_threads, prefetch


def threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name == "res3d-prefetch"]


def test_items_come_in_order_and_from_another_thread():
    def items():
        for n in range(100):
            yield n, threading.current_thread()

    got = list(prefetch(items(), depth=3))
    assert [n for n, _ in got] == list(range(100))
    assert {thread for _, thread in got} != {threading.main_thread()}
    assert not threads()


def test_it_runs_no_further_ahead_than_asked():
    made = []

    def items():
        for n in range(100):
            made.append(n)
            yield n

    ahead = prefetch(items(), depth=2)
    next(ahead)
    time.sleep(0.3)
    assert len(made) <= 4  # one given, two waiting, one in hand
    ahead.close()


def test_an_error_comes_after_the_items_before_it():
    def items():
        yield 1
        raise KeyError("broken")

    ahead = prefetch(items(), depth=5)
    assert next(ahead) == 1
    with pytest.raises(KeyError, match="broken"):
        next(ahead)
    assert not threads()


def test_closing_stops_the_thread_and_closes_the_source():
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
    assert not threads()


def test_chains_stop_together():
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
    assert not threads()


def test_an_iterable_that_cannot_be_iterated_is_an_error_not_a_hang():
    class Broken:
        def __iter__(self):
            raise RuntimeError("no items")

    with pytest.raises(RuntimeError, match="no items"):
        list(prefetch(Broken(), depth=1))


def test_closing_a_chain_does_not_wait_for_a_source_that_gives_nothing():
    """Skipping to a late start decodes for long without an item; Ctrl-C must not wait for it."""
    release = threading.Event()

    def silent():
        yield 1
        release.wait(30)

    stop = threading.Event()
    inner = prefetch(silent(), depth=1, stop=stop)
    chain = prefetch((2 * n for n in inner), depth=1, stop=stop)
    assert next(chain) == 2
    began = time.monotonic()
    chain.close()
    took = time.monotonic() - began
    release.set()
    assert took < 8


def test_a_function_is_mapped_in_order_by_several_threads():
    seen = set()

    def slow(n):
        seen.add(threading.current_thread())
        time.sleep(0.02 if n % 2 else 0.0)
        return 2 * n

    assert list(map_in_threads(slow, (n for n in range(20)), workers=3)) == [2 * n for n in range(20)]
    assert 1 < len(seen) <= 3


@pytest.mark.parametrize("broken", [0, 3, 49])
def test_an_error_in_the_middle_of_a_chain_is_no_end(broken):
    """It closes what is before it, which stops all; it must come out all the same, every time."""

    def fail(n):
        if n == broken:
            raise MemoryError("full")
        return n

    for _ in range(5):
        stop = threading.Event()
        chain = prefetch(
            map_in_threads(fail, prefetch(iter(range(50)), depth=2, stop=stop), workers=2), depth=2, stop=stop
        )
        got = []
        with pytest.raises(MemoryError, match="full"):
            got.extend(chain)
        assert got == list(range(len(got)))
        assert not threads()


def test_errors_of_the_function_and_closing_end_the_threads():
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
