"""Batches of clips for a run, and how long it waits for them."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from res3d.data import ClipData
from res3d.training.order import Order, mix_seeds

Sample = tuple[Tensor, Any]
Change = Callable[[Tensor, Any], Sample]


@dataclass(frozen=True, kw_only=True, slots=True)
class Normalization:
    """``(clip - mean) / std`` of every channel of a clip [C, T, H, W]; an empty mean is 0, an empty std 1.

    Raises:
        ValueError: when it is called: another number of channels.
    """

    mean: Sequence[float] = ()
    std: Sequence[float] = ()

    def __call__(self, clip: Tensor) -> Tensor:
        for name, values in (("mean", self.mean), ("std", self.std)):
            if values and len(values) != clip.shape[0]:
                raise ValueError(f"{name} has {len(values)} numbers for clips of {clip.shape[0]} channels")
        if self.mean:
            clip = clip - clip.new_tensor(self.mean).view(-1, 1, 1, 1)
        if self.std:
            clip = clip / clip.new_tensor(self.std).view(-1, 1, 1, 1)
        return clip


class Views(Dataset[Sample]):
    """Clips changed at random: view ``v`` of clip ``n``, asked for as ``(n, v)``, is the same whenever it is asked for.

    Args:
        data: the clips; what they draw themselves, like their places, is a function of clip and view too.
        change: what is done to each at random, if anything; draws from torch's generator.
        normalize: what is done to each clip after that.
        seed: decides what is drawn.
    """

    def __init__(self, data: ClipData, change: Change | None, normalize: Callable[[Tensor], Tensor], seed: int) -> None:
        self.data = data
        self.change = change
        self.normalize = normalize
        self.seed = seed

    def __getitem__(self, asked: tuple[int, int]) -> Sample:
        number, view = asked
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(mix_seeds(self.seed, number, view))
            clip, target = self.data[number]
            if self.change is not None:
                clip, target = self.change(clip, target)
        return self.normalize(clip), target


class Kept(Protocol):
    """Clips whose maps are kept, see ``KeptMaps``."""

    def read(self, asked: tuple[int, int]) -> "Loaded | None": ...


@dataclass(frozen=True, slots=True)
class Loaded:
    """A view of a clip, or what is kept of it."""

    asked: tuple[int, int]  # number and view
    clip: Tensor  # of its size; where maps are known, of no other meaning
    target: Any
    maps: Mapping[str, Tensor] | None = None  # by stage, [C, T, H, W]


class _Loading(Dataset[Loaded]):
    """Views out of what is kept, else made."""

    def __init__(self, views: Views, kept: Kept | None) -> None:
        self.views = views
        self.kept = kept

    def __getitem__(self, asked: tuple[int, int]) -> Loaded:
        found = None if self.kept is None else self.kept.read(asked)
        return found or Loaded(asked, *self.views[asked])


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
    """Iterating gives the batches from the run's next step to the end of its epoch, lists of ``Loaded``.

    Args:
        views: the clips.
        kept: where maps of them may be kept.
        order: which of them come when.
        step: tells the number of the next step.
        num_views: how many views there are of a clip, taken in turn; None: a new one every epoch.
        workers: processes that load.
    """

    def __init__(
        self,
        views: Views,
        order: Order,
        step: Callable[[], int],
        *,
        num_views: int | None,
        workers: int,
        kept: Kept | None = None,
    ) -> None:
        self.data = _Loading(views, kept)
        self.order = order
        self.step = step
        self.num_views = num_views
        self.workers = workers
        self.waiting = Waiting()

    def __len__(self) -> int:
        return self.order.steps_per_epoch * self.order.accumulate

    def __iter__(self) -> Iterator[list[Loaded]]:
        step = self.step()
        epoch = step // self.order.steps_per_epoch
        view = epoch % self.num_views if self.num_views else epoch
        batches = [[(number, view) for number in part] for part in self.order.rest_of_epoch(step)]
        yield from self.waiting.measure(iter(_loader(self.data, batches, self.workers)))


class ScoringLoader:
    """Iterating gives lists of (number, clip, target).

    Args:
        views: the clips, whose first view is scored.
        numbers: which of them this process scores.
        batch_size: how many at a time.
        workers: processes that load.
    """

    def __init__(self, views: Views, numbers: Sequence[int], *, batch_size: int, workers: int) -> None:
        self.views = views
        self.batches = [list(numbers[start : start + batch_size]) for start in range(0, len(numbers), batch_size)]
        self.workers = workers

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[list[tuple[int, Tensor, Any]]]:
        asked = [[(number, 0) for number in numbers] for numbers in self.batches]
        for numbers, samples in zip(self.batches, _loader(self.views, asked, self.workers), strict=True):
            yield [(number, clip, target) for number, (clip, target) in zip(numbers, samples, strict=True)]


def _loader(data: Any, batches: list[Any], workers: int) -> DataLoader[Any]:
    generator = torch.Generator().manual_seed(0)  # of the workers' seeds, which nothing draws by: it would take torch's
    return DataLoader(data, batch_sampler=batches, collate_fn=list, num_workers=workers, generator=generator)
