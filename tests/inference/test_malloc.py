"""Freed memory stays in the process, counted in page faults of the next allocation, which do not depend on time."""

import os
import platform
import subprocess
import sys

import pytest
from helpers.paths import ROOT

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")

SCRIPT = """
import resource
import torch
from res3d.inference.malloc import give_back_freed, usual_memory

def faults():
    torch.ones(12 * 2**20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def fewest_faults():
    counts = [faults() for _ in range(6)]
    return min(b - a for a, b in zip(counts, counts[1:]))

untouched = fewest_faults()
with usual_memory():
    default = fewest_faults()
after = fewest_faults()
before = faults()
give_back_freed()
print(untouched, default, after, faults() - before)
"""


def count_faults(**environment: str) -> list[int]:
    """Count page faults: before, inside and after ``usual_memory``, and after ``give_back_freed``."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("MALLOC_", "GLIBC_"))}
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**inherited, **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [int(number) for number in run.stdout.split()]


def test_freed_memory_stays_in_the_process_until_it_is_returned():
    untouched, default, after, returned = count_faults()
    many = 48 * 2**20 // os.sysconf("SC_PAGESIZE") // 1024  # the fewest faults, if pages are huge
    assert untouched >= many
    assert default >= many
    assert after < many, "usual_memory ends with keep_freed_memory"
    assert returned >= many


def test_limits_in_the_environment_are_not_changed():
    untouched, _, after, _ = count_faults(MALLOC_MMAP_THRESHOLD_="100000")
    assert after >= untouched > 0
