"""Loaders of training and validation batches, with a measurement of the waiting time."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from res3d.training.batch_sampler import BatchSampler
from res3d.training.datasets import AugmentedClips, TrainingClips, TrainingSample, ViewIndex
from res3d.training.task import Target

Item = TypeVar("Item")


@dataclass
class LoadingTime:
    """Time spent waiting for data."""

    seconds: float = 0.0
    """Total in seconds."""

    def measure(self, batches: Iterator[Item]) -> Iterator[Item]:
        """Yield the batches, and add the time until each one is available to ``seconds``."""
        while True:
            started = time.perf_counter()
            batch = next(batches, None)
            self.seconds += time.perf_counter() - started
            if batch is None:
                return
            yield batch


class TrainingLoader:
    """Loader of training batches, from the next step of the run to the end of its epoch.

    Each item is a list of ``TrainingSample`` for one forward pass.

    Args:
        clips: the training clips.
        sampler: selects the clips of each batch.
        next_step: returns the number of the next step of the run.
        num_views: number of views per clip, which alternate from epoch to epoch; None uses a new view in every epoch.
        workers: processes that load data; 0 loads in this process.
    """

    def __init__(
        self,
        clips: TrainingClips,
        sampler: BatchSampler,
        next_step: Callable[[], int],
        *,
        num_views: int | None,
        workers: int,
    ) -> None:
        self.clips = clips
        self.sampler = sampler
        self.next_step = next_step
        self.num_views = num_views
        self.workers = workers
        self.loading_time = LoadingTime()

    def __len__(self) -> int:
        return self.sampler.steps_per_epoch * self.sampler.accumulate

    def __iter__(self) -> Iterator[list[TrainingSample]]:
        step = self.next_step()
        epoch = step // self.sampler.steps_per_epoch
        view = epoch % self.num_views if self.num_views else epoch
        parts = [[ViewIndex(clip, view) for clip in part] for part in self.sampler.rest_of_epoch(step)]
        yield from self.loading_time.measure(_load(self.clips, parts, self.workers))


class ScoringLoader:
    """Loader of validation batches. Each item is a list of (clip index, clip, target).

    Args:
        clips: the clips; view 0 of each is scored.
        indices: indices of the clips that this process scores.
        batch_size: clips per list.
        workers: processes that load data; 0 loads in this process.
    """

    def __init__(self, clips: AugmentedClips, indices: Sequence[int], *, batch_size: int, workers: int) -> None:
        self.clips = clips
        self.batches = [list(indices[start : start + batch_size]) for start in range(0, len(indices), batch_size)]
        self.workers = workers

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[tuple[int, Tensor, Target]]]:
        views = [[ViewIndex(clip, 0) for clip in batch] for batch in self.batches]
        for indices, samples in zip(self.batches, _load(self.clips, views, self.workers), strict=True):
            yield [(index, clip, target) for index, (clip, target) in zip(indices, samples, strict=True)]


def _load(clips: Dataset[Item], batches: Sequence[list[ViewIndex]], workers: int) -> Iterator[list[Item]]:
    """Yield the items of each batch as a list."""
    # A dedicated generator for the base seed of the workers. Otherwise creating the loader would advance torch's global
    # generator and change the random numbers of the steps. The base seed itself is not used: see AugmentedClips.
    generator = torch.Generator().manual_seed(0)
    yield from DataLoader(clips, batch_sampler=batches, collate_fn=list, num_workers=workers, generator=generator)
