import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from res3d import threads

V2 = "0::/pod/box\n"
V1 = "4:cpu,cpuacct:/pod\n3:memory:/pod\n"


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("files", "cpus"),
    [
        ({}, 8),
        ({"proc/self/cgroup": V2, "sys/fs/cgroup/pod/box/cpu.max": "max 100000"}, 8),
        ({"proc/self/cgroup": V2, "sys/fs/cgroup/pod/box/cpu.max": "150000 100000"}, 2),
        ({"proc/self/cgroup": V2, "sys/fs/cgroup/pod/cpu.max": "300000 100000"}, 3),
        ({"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "50000 100000"}, 1),
        ({"proc/self/cgroup": "0::/gone\n", "sys/fs/cgroup/cpu.max": "400000 100000"}, 4),
        (
            {
                "proc/self/cgroup": V1,
                "sys/fs/cgroup/cpu,cpuacct/pod/cpu.cfs_quota_us": "200000",
                "sys/fs/cgroup/cpu,cpuacct/pod/cpu.cfs_period_us": "100000",
            },
            2,
        ),
        (
            {
                "proc/self/cgroup": V1,
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000",
            },
            8,
        ),
        ({"proc/self/cgroup": V2, "sys/fs/cgroup/pod/box/cpu.max": "9900000 100000"}, 8),
    ],
)
def test_available_cpus_is_affinity_limited_by_quota(tmp_path, monkeypatch, files, cpus):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert threads.available_cpus(write(tmp_path, files)) == cpus


@pytest.mark.parametrize("variables", [{"OMP_WAIT_POLICY": "ACTIVE"}, {"GOMP_SPINCOUNT": "100"}])
def test_limit_spinning_keeps_the_settings_of_the_user(variables):
    environment = dict(variables)
    threads.limit_spinning(environment)
    assert environment == variables


@pytest.mark.slow
def test_openmp_reads_the_spin_count():
    code = "from res3d.threads import limit_spinning; limit_spinning(); import torch"
    environment = {
        name: value for name, value in os.environ.items() if name not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
    }
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment | {"OMP_DISPLAY_ENV": "verbose"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    if "GOMP_SPINCOUNT" not in done.stderr:
        pytest.skip("torch is not built with GNU OpenMP")
    assert "GOMP_SPINCOUNT = '10000'" in done.stderr


@pytest.mark.usefixtures("one_thread")
def test_use_threads_sets_the_threads_of_every_library(monkeypatch):
    environment: dict[str, str] = {}
    threads.use_threads(3, environment)
    assert torch.get_num_threads() == 3
    assert environment["OMP_NUM_THREADS"] == environment["MKL_NUM_THREADS"] == "3"
    threads.use_threads(None, environment)
    assert torch.get_num_threads() == 3, "variables in the environment are not changed"
    monkeypatch.setattr(threads, "available_cpus", lambda: 2)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    environment = {}
    threads.use_threads(None, environment)
    assert torch.get_num_threads() == 2
    assert environment["OMP_NUM_THREADS"] == "2"
    with pytest.raises(ValueError, match="threads must be ≥ 1, not 0"):
        threads.use_threads(0, environment)


def test_decoder_threads_respect_the_quota(monkeypatch):
    assert threads.decoder_threads(3) == 3
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(threads, "available_cpus", lambda: 8)
    assert threads.decoder_threads(None) == 0
    monkeypatch.setattr(threads, "available_cpus", lambda: 2)
    assert threads.decoder_threads(None) == 2
