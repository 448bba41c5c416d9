"""The clips of every training step: a function of the seed and of the step's number, whatever came before."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchSampler:
    """The batches of one process. Clips are shuffled anew in every epoch; those left over by whole batches are skipped.

    The batch of a step is the same however many processes share it: each takes a consecutive part of it, and divides
    that again into consecutive parts where gradients are accumulated.

    Raises:
        ValueError: fewer clips than a batch has.
    """

    num_clips: int
    """Clips of the dataset."""
    batch_size: int
    """Clips of a step, over all processes and accumulated parts."""
    seed: int = 0
    """Decides the order of the clips, together with the epoch."""
    accumulate: int = 1
    """Parts that a process divides its share of a batch into."""
    processes: int = 1
    """Processes that share a batch."""
    process: int = 0
    """This process, from 0."""

    def __post_init__(self) -> None:
        if self.num_clips < self.batch_size:
            raise ValueError(f"batch_size must be ≤ {self.num_clips}, the clips to train on, not {self.batch_size}")

    @property
    def steps_per_epoch(self) -> int:
        """Steps of the optimizer per epoch."""
        return self.num_clips // self.batch_size

    @property
    def part_size(self) -> int:
        """Clips that go through the model of one process at once."""
        return self.batch_size // (self.processes * self.accumulate)

    def rest_of_epoch(self, step: int) -> list[list[int]]:
        """Return the parts from step ``step`` (counted from the start of the run) to the end of its epoch, in order."""
        epoch, first = divmod(step, self.steps_per_epoch)
        shuffled = self._shuffle(epoch)
        size = self.part_size
        return [
            shuffled[start : start + size].tolist()
            for number in range(first, self.steps_per_epoch)
            for part in range(self.accumulate)
            for start in [number * self.batch_size + (part * self.processes + self.process) * size]
        ]

    def _shuffle(self, epoch: int) -> NDArray[np.int64]:
        return np.random.default_rng([self.seed, epoch]).permutation(self.num_clips)


def split_clips(num_clips: int, processes: int, process: int) -> list[int]:
    """Return the clips that one process scores.

    All processes get equally many, so that none waits for another; where that does not come out even, the first clips
    are scored twice.
    """
    share = -(-num_clips // processes)
    return [number % num_clips for number in range(process, share * processes, processes)]
