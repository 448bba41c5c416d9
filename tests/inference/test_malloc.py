"""Freed memory that stays is not zeroed anew: counted in page faults, which depend on no clock."""

import os
import platform
import subprocess
import sys

import pytest
from helpers.paths import ROOT

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc alone")

SCRIPT = """
import resource
import torch
from res3d.inference.malloc import give_back_freed, usual_memory

def faults():
    torch.ones(12 * 2**20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def least():
    counts = [faults() for _ in range(6)]
    return min(b - a for a, b in zip(counts, counts[1:]))

alone = least()
with usual_memory():
    usual = least()
kept = least()
before = faults()
give_back_freed()
print(alone, usual, kept, faults() - before)
"""


def count(**environment: str) -> list[int]:
    own = {key: value for key, value in os.environ.items() if not key.startswith(("MALLOC_", "GLIBC_"))}
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**own, **environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return [int(number) for number in run.stdout.split()]


def test_freed_memory_is_kept_until_it_is_given_back():
    alone, usual, kept, given_back = count()
    many = 48 * 2**20 // os.sysconf("SC_PAGESIZE") // 1024  # the fewest, where pages are huge
    assert alone >= many
    assert usual >= many
    assert kept < many, "after usual_memory, as after keep_freed_memory"
    assert given_back >= many


def test_the_users_own_limits_are_left_in_force():
    alone, _, kept, _ = count(MALLOC_MMAP_THRESHOLD_="100000")
    assert kept >= alone > 0
