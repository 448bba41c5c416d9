"""Sampler of training batches. The clips of a step depend only on the seed and the number of the step."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True, slots=True)
class BatchSampler:
    """Sampler of the batches of one process.

    Clips are shuffled at the start of each epoch; the last clips of an epoch are skipped if they do not fill a batch.
    The batch of a step does not depend on the number of processes. It is divided into ``accumulate`` consecutive parts,
    and each part into one consecutive share per process.

    Raises:
        ValueError: the dataset has fewer clips than a batch.
    """

    num_clips: int
    """Number of clips in the dataset."""
    batch_size: int
    """Clips per optimizer step, over all processes and accumulated parts."""
    seed: int = 0
    """Seed of the order of the clips; each epoch has another order."""
    accumulate: int = 1
    """Parts of a batch whose gradients are accumulated."""
    processes: int = 1
    """Number of processes that share a batch."""
    process: int = 0
    """Rank of this process, from 0."""

    def __post_init__(self) -> None:
        if self.num_clips < self.batch_size:
            raise ValueError(
                f"batch_size must be ≤ {self.num_clips}, the number of training clips, not {self.batch_size}"
            )

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps per epoch."""
        return self.num_clips // self.batch_size

    @property
    def part_size(self) -> int:
        """Clips per forward pass of one process."""
        return self.batch_size // (self.processes * self.accumulate)

    def rest_of_epoch(self, step: int) -> list[list[int]]:
        """Return the clip indices of each forward pass of this process, from a step to the end of its epoch.

        Args:
            step: number of the step, counted from 0 at the start of the run.
        """
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
    """Return the indices of the clips that one process scores.

    All processes score the same number of clips, so that none has to wait for another. If the clips cannot be divided
    evenly, the first ones are scored twice.

    Args:
        num_clips: number of clips in the dataset.
        processes: number of processes.
        process: rank of this process, from 0.
    """
    share = -(-num_clips // processes)
    return [number % num_clips for number in range(process, share * processes, processes)]
