"""Batches of clips for a run, and how long it waits for them."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from res3d.data import ClipData
from res3d.training.order import Order, mix_seeds

Sample = tuple[Tensor, Any]
Change = Callable[[Tensor, Any], Sample]


class Views(Dataset[Sample]):
    """Clips changed at random: view ``v`` of clip ``n``, asked for as ``(n, v)``, is the same whenever it is asked for.

    Args:
        data: the clips.
        change: what is done to each; draws from torch's generator.
        seed: decides what is drawn.
    """

    def __init__(self, data: ClipData, change: Change, seed: int) -> None:
        self.data = data
        self.change = change
        self.seed = seed

    def __getitem__(self, asked: tuple[int, int]) -> Sample:
        number, view = asked
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(mix_seeds(self.seed, number, view))
            return self.change(*self.data[number])


@dataclass
class Waiting:
    """Seconds spent waiting for data."""

    seconds: float = 0.0

    def measure(self, loader: Iterator[Any]) -> Iterator[Any]:
        """What ``loader`` gives."""
        while True:
            started = time.perf_counter()
            batch = next(loader, None)
            self.seconds += time.perf_counter() - started
            if batch is None:
                return
            yield batch


class TrainingLoader:
    """Iterating gives the batches from the run's next step to the end of its epoch, lists of (clip, target).

    Args:
        views: the clips.
        order: which of them come when.
        step: tells the number of the next step.
        num_views: how many views there are of a clip, taken in turn; None: a new one every epoch.
        workers: processes that load.
    """

    def __init__(
        self, views: Views, order: Order, step: Callable[[], int], *, num_views: int | None, workers: int
    ) -> None:
        self.views = views
        self.order = order
        self.step = step
        self.num_views = num_views
        self.workers = workers
        self.waiting = Waiting()

    def __len__(self) -> int:
        return self.order.steps_per_epoch * self.order.accumulate

    def __iter__(self) -> Iterator[list[Sample]]:
        step = self.step()
        epoch = step // self.order.steps_per_epoch
        view = epoch % self.num_views if self.num_views else epoch
        batches = [[(number, view) for number in part] for part in self.order.rest_of_epoch(step)]
        yield from self.waiting.measure(iter(_loader(self.views, batches, self.workers)))


class ScoringLoader:
    """Iterating gives lists of (number, clip, target), one clip each.

    Args:
        data: the clips.
        numbers: which of them this process scores.
        workers: processes that load.
    """

    def __init__(self, data: ClipData, numbers: Sequence[int], *, workers: int) -> None:
        self.data = data
        self.numbers = numbers
        self.workers = workers

    def __len__(self) -> int:
        return len(self.numbers)

    def __iter__(self) -> Iterator[list[tuple[int, Tensor, Any]]]:
        batches = _loader(self.data, [[number] for number in self.numbers], self.workers)
        for number, ((clip, target),) in zip(self.numbers, batches, strict=True):
            yield [(number, clip, target)]


def _loader(data: Any, batches: list[Any], workers: int) -> DataLoader[Any]:
    generator = torch.Generator().manual_seed(0)  # of the workers' seeds, which nothing draws by: it would take torch's
    return DataLoader(data, batch_sampler=batches, collate_fn=list, num_workers=workers, generator=generator)
