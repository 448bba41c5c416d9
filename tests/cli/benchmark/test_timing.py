import time

import pytest
import torch

from res3d.cli.benchmark.timing import Timing, measure_ceiling, measure_memory, time_in_turns

CPU = torch.device("cpu")


def test_contestants_run_in_turns_with_a_warm_up():
    order = []
    runs = {"slow": lambda: (order.append("slow"), time.sleep(0.03)), "quick": lambda: order.append("quick")}
    timings = time_in_turns(runs, repeats=3, device=CPU)
    assert order == ["slow", "slow", "quick", "quick"] * 3
    assert all(len(timing.seconds) == 3 for timing in timings.values())
    assert timings["slow"].median >= 0.03 > timings["quick"].median


def test_median_of_a_timing():
    assert Timing(seconds=(3.0, 1.0, 100.0)).median == 3.0


def test_empty_timing_is_refused():
    with pytest.raises(ValueError, match="repeats must be ≥ 1, not 0"):
        time_in_turns({}, repeats=0, device=CPU)
    with pytest.raises(ValueError, match="at least one run"):
        Timing(seconds=())


@pytest.mark.slow
def test_ceiling_is_a_plausible_rate():
    assert 1e8 < measure_ceiling(torch.float32, CPU, repeats=1) < 1e15


@pytest.mark.slow
def test_measure_memory_returns_the_peak():
    peak = measure_memory(lambda: torch.ones(64, 2**20).sum(), CPU)
    assert peak is None or 0.8 * 2**28 < peak < 2 * 2**28
