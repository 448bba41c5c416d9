"""Freed memory stays in the process, counted in page faults of the next allocation, which do not depend on time."""

import os
import platform
import subprocess
import sys

import pytest
from helpers.paths import ROOT

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")

SIZE = 48 * 2**20  # bytes of the blocks that are allocated
LOAD_ALONE = """
from importlib.util import module_from_spec, spec_from_file_location

spec = spec_from_file_location("malloc", "res3d/inference/malloc.py")
malloc = module_from_spec(spec)
spec.loader.exec_module(malloc)
"""
BYTES = (LOAD_ALONE, f"bytearray({SIZE})")  # without the package, whose import of PyTorch takes seconds
TENSOR = ("import torch; from res3d.inference import malloc", f"torch.ones({SIZE // 4})")

SCRIPT = """
import resource
{load}

def faults():
    {allocate}
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def fewest_faults():
    counts = [faults() for _ in range(6)]
    return min(b - a for a, b in zip(counts, counts[1:]))

untouched = fewest_faults()
with malloc.usual_memory():
    default = fewest_faults()
after = fewest_faults()
before = faults()
malloc.give_back_freed()
print(untouched, default, after, faults() - before)
"""


def count_faults(load: str, allocate: str, **environment: str) -> list[int]:
    """Count page faults in a new process: before, inside and after ``usual_memory``, and after ``give_back_freed``."""
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("MALLOC_", "GLIBC_"))}
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(load=load, allocate=allocate)],
        env={**inherited, **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [int(number) for number in run.stdout.split()]


@pytest.mark.parametrize(
    ("load", "allocate"),
    [pytest.param(*BYTES, id="bytes"), pytest.param(*TENSOR, id="tensor", marks=pytest.mark.slow)],
)
def test_freed_memory_stays_in_the_process_until_it_is_returned(load, allocate):
    untouched, default, after, returned = count_faults(load, allocate)
    many = SIZE // os.sysconf("SC_PAGESIZE") // 1024  # the fewest faults, if pages are huge
    assert untouched >= many
    assert default >= many
    assert after < many, "usual_memory ends with keep_freed_memory"
    assert returned >= many


@pytest.mark.slow
def test_limits_in_the_environment_are_not_changed():
    untouched, _, after, _ = count_faults(*BYTES, MALLOC_MMAP_THRESHOLD_="100000")
    assert after >= untouched > 0
