"""Timing on a busy machine: contestants run in turns, and medians are compared."""

import re
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch

from res3d.inference import give_back_freed

CEILING_SIZE = 2048  # rows and columns of the matrices whose product measures the peak speed of a machine


@dataclass(frozen=True, kw_only=True, slots=True)
class Timing:
    """Times of the runs of one contestant, in order.

    Raises:
        ValueError: there is no run.
    """

    seconds: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.seconds:
            raise ValueError("a timing needs at least one run")

    @property
    def median(self) -> float:
        """Median time in seconds."""
        return median(self.seconds)


def time_in_turns(
    contestants: Mapping[str, Callable[[], object]],
    *,
    repeats: int,
    device: torch.device,
    under: Callable[[str], AbstractContextManager[object]] = lambda name: nullcontext(),
) -> dict[str, Timing]:
    """Run all contestants in turns and return the times of each, so that other load slows all of them equally.

    A contestant runs twice in its turn, and only the second run is timed: the first one fills the caches and the pools
    of freed memory with its own data.

    Args:
        contestants: functions to time, by name.
        repeats: number of turns.
        device: the device that the functions compute on. CUDA is synchronized before and after the timed run.
        under: returns the context manager in which the contestant of a name runs.

    Raises:
        ValueError: ``repeats`` is below 1.
    """
    if repeats < 1:
        raise ValueError(f"repeats must be ≥ 1, not {repeats}")
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(repeats):
        for name, run in contestants.items():
            with under(name):
                run()
                _wait(device)
                start = time.perf_counter()
                run()
                _wait(device)
                seconds[name].append(time.perf_counter() - start)
    return {name: Timing(seconds=tuple(values)) for name, values in seconds.items()}


def measure_ceiling(dtype: torch.dtype, device: torch.device, *, repeats: int = 5) -> float:
    """Return the FLOP/s, two per multiply-add, of a 2048³ matrix product: the median of ``repeats`` runs."""
    a, b = (torch.randn(CEILING_SIZE, CEILING_SIZE, device=device).to(dtype) for _ in range(2))
    timing = time_in_turns({"product": lambda: a @ b}, repeats=repeats, device=device)["product"]
    return 2 * CEILING_SIZE**3 / timing.median


def measure_memory(run: Callable[[], object], device: torch.device) -> int | None:
    """Return the peak memory of ``run`` in bytes, beyond what was allocated before; None if it cannot be measured."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run()
        return torch.cuda.max_memory_allocated(device) - before
    clear, status = Path("/proc/self/clear_refs"), Path("/proc/self/status")
    try:
        give_back_freed()  # else ``run`` would reuse freed memory that still counts as resident
        clear.write_text("5")  # Linux: reset the peak resident size
        before = _resident(status.read_text(), "VmRSS")
        run()
        return max(0, _resident(status.read_text(), "VmHWM") - before)
    except OSError:
        return None


def _resident(status: str, field: str) -> int:
    match = re.search(rf"^{field}:\s*(\d+) kB", status, re.M)
    if match is None:
        raise OSError(f"/proc/self/status has no {field}")
    return 1024 * int(match[1])


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
