"""Which clips a step of training sees: a function of the seed and the step's number, whatever came before."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray


def mix_seeds(*numbers: int) -> int:
    """One seed of several numbers; near numbers give far seeds."""
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)


@dataclass(frozen=True, kw_only=True, slots=True)
class Order:
    """The clips of every step of one process. Every epoch is shuffled anew; clips that fill no batch wait for the next.

    The batch of a step is the same however many processes share it: they take consecutive parts, and each of them
    consecutive parts again where gradients are accumulated.

    Raises:
        ValueError: fewer clips than a batch has.
    """

    num_clips: int
    batch_size: int  # of a step, over all processes and accumulated parts
    seed: int = 0
    accumulate: int = 1
    processes: int = 1
    process: int = 0  # which one this is

    def __post_init__(self) -> None:
        if self.num_clips < self.batch_size:
            raise ValueError(f"{self.num_clips} clips to train on are fewer than a batch of {self.batch_size}")

    @property
    def steps_per_epoch(self) -> int:
        return self.num_clips // self.batch_size

    def rest_of_epoch(self, step: int) -> list[list[int]]:
        """From step ``step`` on (counted from the start of the run) to the end of its epoch: the parts in order."""
        epoch, first = divmod(step, self.steps_per_epoch)
        shuffled = self._shuffled(epoch)
        size = self.batch_size // (self.processes * self.accumulate)
        return [
            shuffled[start : start + size].tolist()
            for number in range(first, self.steps_per_epoch)
            for part in range(self.accumulate)
            for start in [number * self.batch_size + (part * self.processes + self.process) * size]
        ]

    def _shuffled(self, epoch: int) -> NDArray[np.int64]:
        return np.random.default_rng([self.seed, epoch]).permutation(self.num_clips)


def share_out(num_clips: int, processes: int, process: int) -> list[int]:
    """The clips that one process scores. All get equally many, so that none waits: some clips are scored twice."""
    each = -(-num_clips // processes)
    return [number % num_clips for number in range(process, each * processes, processes)]


def seed_step(*numbers: int) -> None:
    """Make what torch draws next a function of these numbers."""
    torch.manual_seed(mix_seeds(*numbers))
