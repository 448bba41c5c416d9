"""Loaders of training and validation batches, and the time that is spent waiting for them."""

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
    """Seconds spent waiting for data."""

    seconds: float = 0.0

    def measure(self, batches: Iterator[Item]) -> Iterator[Item]:
        """Yield the batches, and add the time that each takes to come."""
        while True:
            started = time.perf_counter()
            batch = next(batches, None)
            self.seconds += time.perf_counter() - started
            if batch is None:
                return
            yield batch


class TrainingLoader:
    """The batches, lists of ``TrainingSample``, from the run's next step to the end of its epoch.

    Args:
        clips: the clips to train on.
        sampler: decides which clips are in which batch.
        next_step: returns the number of the run's next step.
        num_views: views of a clip, which are taken in turn; None draws a new one in every epoch.
        workers: processes that load.
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
    """The clips to score, lists of (clip index, clip, target).

    Args:
        clips: the clips; the first view of each is scored.
        indices: the clips that this process scores.
        batch_size: clips per list.
        workers: processes that load.
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
    # A generator of its own for the base seed of the workers, which nothing uses: creating a loader would otherwise
    # advance torch's global generator, and with it what the steps draw.
    generator = torch.Generator().manual_seed(0)
    yield from DataLoader(clips, batch_sampler=batches, collate_fn=list, num_workers=workers, generator=generator)
