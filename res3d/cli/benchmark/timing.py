"""Timing that a busy machine disturbs as little as possible: runs take turns, and medians are compared."""

import re
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import torch

from res3d.inference import give_back_freed

CEILING_SIZE = 2048  # rows and columns of the matrices whose product is taken for the most that a machine does


@dataclass(frozen=True, kw_only=True, slots=True)
class Timing:
    """Seconds of each run of one contestant, in the order in which they ran."""

    seconds: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.seconds:
            raise ValueError("a timing needs at least one run")

    @property
    def median(self) -> float:
        return median(self.seconds)


def time_in_turns(
    contestants: Mapping[str, Callable[[], object]],
    *,
    repeats: int,
    device: torch.device,
    under: Callable[[str], AbstractContextManager[object]] = lambda name: nullcontext(),
) -> dict[str, Timing]:
    """Run all ``repeats`` times in turns, so that whatever slows the machine slows all alike.

    Each is run twice in its turn, and the second time counts: caches and freed memory are then its own. ``under`` gives
    what a contestant's turn happens in.

    Raises:
        ValueError: ``repeats`` below 1.
    """
    if repeats < 1:
        raise ValueError(f"repeats must be ≥ 1, not {repeats}")
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(repeats):
        for name, run in contestants.items():
            with under(name):
                run()
                _wait(device)
                began = time.perf_counter()
                run()
                _wait(device)
                seconds[name].append(time.perf_counter() - began)
    return {name: Timing(seconds=tuple(values)) for name, values in seconds.items()}


def measure_ceiling(dtype: torch.dtype, device: torch.device, *, repeats: int = 5) -> float:
    """FLOP/s (two a multiply-add) of a 2048³ matrix product, the median of ``repeats``."""
    a, b = (torch.randn(CEILING_SIZE, CEILING_SIZE, device=device).to(dtype) for _ in range(2))
    timing = time_in_turns({"product": lambda: a @ b}, repeats=repeats, device=device)["product"]
    return 2 * CEILING_SIZE**3 / timing.median


def measure_memory(run: Callable[[], object], device: torch.device) -> int | None:
    """Bytes that ``run`` takes at its peak beyond what was held before; None where the system does not tell."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run()
        return torch.cuda.max_memory_allocated(device) - before
    clear, status = Path("/proc/self/clear_refs"), Path("/proc/self/status")
    try:
        give_back_freed()  # else it would hide what is allocated again
        clear.write_text("5")  # Linux: forget the highest resident size so far
        before = _resident(status.read_text(), "VmRSS")
        run()
        return max(0, _resident(status.read_text(), "VmHWM") - before)
    except OSError:
        return None


def _resident(status: str, field: str) -> int:
    found = re.search(rf"^{field}:\s*(\d+) kB", status, re.M)
    if found is None:
        raise OSError(f"/proc/self/status has no {field}")
    return 1024 * int(found[1])


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
