"""CPU threads: how many a process may use, how many its libraries start, and how idle ones wait."""

import os
import sys
from collections.abc import Iterator, MutableMapping
from math import ceil
from pathlib import Path

# What OpenMP (of torch), MKL, OpenBLAS (of NumPy and SciPy) and OpenCV read when they are loaded
COUNTS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")
# How long an idle thread of GNU's OpenMP (torch on Linux) spins before it sleeps. Its default of 300,000 rounds takes
# the CPU from other processes; none costs a process that is alone up to a third (docs/benchmarks.md, "Beside other
# processes").
SPIN_COUNT = "10000"


def available_cpus(root: Path = Path("/")) -> int:
    """Return the CPUs that this process may use: those it is bound to, and no more than its container's quota.

    Args:
        root: of the file systems that say so, proc and sys.
    """
    return max(1, min([_bound_cpus(), *map(ceil, _quotas(root))]))


def decoder_threads(count: int | None) -> int:
    """Return the number of threads for a video decoder; 0 leaves it to FFmpeg, which knows no quota.

    Args:
        count: what the user asks for; None for as many as there are CPUs.
    """
    cpus = available_cpus()
    return count or (cpus if cpus < _bound_cpus() else 0)


def limit_spinning(environment: MutableMapping[str, str] = os.environ) -> None:
    """Let idle threads of OpenMP sleep soon, unless the user says how they wait.

    To be called before torch is imported.
    """
    if "OMP_WAIT_POLICY" not in environment:
        environment.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)


def use_threads(count: int | None, environment: MutableMapping[str, str] = os.environ) -> None:
    """Let each library of this process, and of those it starts, compute with so many threads.

    Args:
        count: threads; None leaves it to the user's environment, or else to the CPUs that are available.
        environment: of this process.

    Raises:
        ValueError: fewer than one.
    """
    if count is not None and count < 1:
        raise ValueError(f"threads must be ≥ 1, not {count}")
    if count is None and any(name in environment for name in COUNTS):
        return
    threads = count or available_cpus()
    if count is not None or threads < (os.cpu_count() or 1):
        environment.update(dict.fromkeys(COUNTS, str(threads)))
    if (torch := sys.modules.get("torch")) is not None:  # which has read the environment already
        torch.set_num_threads(threads if count else min(threads, torch.get_num_threads()))
    if (cv2 := sys.modules.get("cv2")) is not None:
        cv2.setNumThreads(threads)


def _bound_cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _quotas(root: Path) -> Iterator[float]:
    """CPUs that the control groups of this process allow, of either version of cgroups."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, group = line.split(":", 2)
        if not controllers:
            yield from _quotas_above(root / "sys/fs/cgroup", group, "cpu.max")
        elif "cpu" in controllers.split(","):
            for mount in ("cpu", "cpu,cpuacct"):
                yield from _quotas_above(root / "sys/fs/cgroup" / mount, group, "cpu.cfs_quota_us")


def _quotas_above(mount: Path, group: str, file: str) -> Iterator[float]:
    """The quotas of a group and of those that hold it; a container sees its own at the mount."""
    folder = mount / group.strip("/")
    for place in (folder, *folder.parents):
        words = _read(place / file).split()
        words += _read(place / "cpu.cfs_period_us").split() if file == "cpu.cfs_quota_us" else []
        if len(words) == 2 and words[0].isdecimal() and words[1].isdecimal() and int(words[1]):
            yield int(words[0]) / int(words[1])
        if place == mount:
            return


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
