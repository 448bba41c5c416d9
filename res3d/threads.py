"""CPU threads: number available to the process, number that libraries start, and waiting of idle threads."""

import os
import sys
from collections.abc import Iterator, MutableMapping
from math import ceil
from pathlib import Path

# Variables that OpenMP (in torch), MKL, OpenBLAS (in NumPy and SciPy) and OpenCV read when they are loaded.
COUNTS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")
# Rounds that an idle thread of GNU OpenMP (torch on Linux) spins before it sleeps. The default, 300,000, takes CPU time
# from other processes; 0 makes a process that runs alone up to a third slower (docs/benchmarks.md, "Beside other
# processes").
SPIN_COUNT = "10000"


def available_cpus(root: Path = Path("/")) -> int:
    """Return the number of CPUs that the process may use: its CPU affinity, limited by the quota of its container.

    Args:
        root: folder that contains the file systems proc and sys.
    """
    return max(1, min([_bound_cpus(), *map(ceil, _quotas(root))]))


def decoder_threads(count: int | None) -> int:
    """Return the number of threads for a video decoder. 0 lets FFmpeg choose, which ignores the quota of a container.

    Args:
        count: number that the user requests; None for one thread per available CPU.
    """
    cpus = available_cpus()
    return count or (cpus if cpus < _bound_cpus() else 0)


def limit_spinning(environment: MutableMapping[str, str] = os.environ) -> None:
    """Make idle OpenMP threads sleep after a short spin, unless the environment already sets their waiting policy.

    Call it before torch is imported.
    """
    if "OMP_WAIT_POLICY" not in environment:
        environment.setdefault("GOMP_SPINCOUNT", SPIN_COUNT)


def use_threads(count: int | None, environment: MutableMapping[str, str] = os.environ) -> None:
    """Set the number of threads of each library, in this process and in those that it starts.

    Args:
        count: number of threads. None uses the variables in the environment, or without them the available CPUs.
        environment: environment variables of the process.

    Raises:
        ValueError: ``count`` is below 1.
    """
    if count is not None and count < 1:
        raise ValueError(f"threads must be ≥ 1, not {count}")
    if count is None and any(name in environment for name in COUNTS):
        return
    threads = count or available_cpus()
    if count is not None or threads < (os.cpu_count() or 1):
        environment.update(dict.fromkeys(COUNTS, str(threads)))
    if (torch := sys.modules.get("torch")) is not None:  # it has already read the environment
        torch.set_num_threads(threads if count else min(threads, torch.get_num_threads()))
    if (cv2 := sys.modules.get("cv2")) is not None:
        cv2.setNumThreads(threads)


def _bound_cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _quotas(root: Path) -> Iterator[float]:
    """Yield the CPU quotas of the control groups of this process, for cgroups version 1 and 2."""
    for line in _read(root / "proc/self/cgroup").splitlines():
        _, controllers, group = line.split(":", 2)
        if not controllers:
            yield from _quotas_above(root / "sys/fs/cgroup", group, "cpu.max")
        elif "cpu" in controllers.split(","):
            for mount in ("cpu", "cpu,cpuacct"):
                yield from _quotas_above(root / "sys/fs/cgroup" / mount, group, "cpu.cfs_quota_us")


def _quotas_above(mount: Path, group: str, file: str) -> Iterator[float]:
    """Yield the quotas of a group and its parents, in CPUs. A container sees its own quota at the mount."""
    start = mount / group.strip("/")
    for folder in (start, *start.parents):
        words = _read(folder / file).split()
        words += _read(folder / "cpu.cfs_period_us").split() if file == "cpu.cfs_quota_us" else []
        if len(words) == 2 and words[0].isdecimal() and words[1].isdecimal() and int(words[1]):
            yield int(words[0]) / int(words[1])
        if folder == mount:
            return


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""
