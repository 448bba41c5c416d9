"""Datasets of training samples: augmented and normalized clips, or cached feature maps."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias

import torch
from torch import Tensor
from torch.utils.data import Dataset

from res3d.data import ClipData
from res3d.training.seeding import mix_seeds
from res3d.training.task import FeatureMaps, Sample, Target

Augment: TypeAlias = Callable[[Tensor, Target], Sample]
"""Function that changes a clip [C, T, H, W] in 0..1 and its target, with torch's global random generator."""


class ViewIndex(NamedTuple):
    """Index of an augmented view of a clip."""

    clip: int
    """Index of the clip in the dataset."""
    view: int
    """Number of the view, from 0."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Normalization:
    """Normalization of a clip [C, T, H, W] to ``(clip - mean) / std`` per channel.

    A call raises ValueError if the clip has another number of channels.
    """

    mean: Sequence[float] = ()
    """One number per channel; empty for 0."""
    std: Sequence[float] = ()
    """One number per channel; empty for 1."""

    def __call__(self, clip: Tensor) -> Tensor:
        for name, values in (("mean", self.mean), ("std", self.std)):
            if values and len(values) != clip.shape[0]:
                raise ValueError(f"{name} has {len(values)} numbers, but clips have {clip.shape[0]} channels")
        if self.mean:
            clip = clip - clip.new_tensor(self.mean).view(-1, 1, 1, 1)
        if self.std:
            clip = clip / clip.new_tensor(self.std).view(-1, 1, 1, 1)
        return clip


class AugmentedClips(Dataset[Sample]):
    """Augmented views of clips. A view depends only on the seed and its index, not on the time or process of access.

    Args:
        data: the clips; their own random choices (a location in the video) are determined by seed and index, too.
        augment: changes each clip at random; None does not change it.
        normalize: applied to each clip after ``augment``.
        seed: seed of all random choices.
    """

    def __init__(
        self, data: ClipData, augment: Augment | None, normalize: Callable[[Tensor], Tensor], seed: int
    ) -> None:
        self.data = data
        self.augment = augment
        self.normalize = normalize
        self.seed = seed

    def __getitem__(self, index: tuple[int, int]) -> Sample:
        clip_index, view = index
        with torch.random.fork_rng(devices=[]):
            # torch.manual_seed would also seed the generators of GPUs, which are not forked here, and is much slower.
            torch.default_generator.manual_seed(mix_seeds(self.seed, clip_index, view))
            clip, target = self.data[clip_index]
            if self.augment is not None:
                clip, target = self.augment(clip, target)
        return self.normalize(clip), target


@dataclass(frozen=True, slots=True)
class TrainingSample:
    """One augmented view of a clip, as training uses it."""

    index: ViewIndex
    clip: Tensor
    """[C, T, H, W]; if ``maps`` are cached, a placeholder of this shape that takes no memory."""
    target: Target
    maps: FeatureMaps | None = None
    """Cached feature maps [C, T', H', W'] of the first stages, by stage."""


class SampleCache(Protocol):
    """Cache of samples with feature maps."""

    def read(self, index: ViewIndex) -> TrainingSample | None:
        """Return the sample at an index, or None if the cache does not have it."""


class TrainingClips(Dataset[TrainingSample]):
    """Training samples, from a cache if it has them and else from the clips.

    Args:
        clips: the augmented views.
        cache: cache of the samples.
    """

    def __init__(self, clips: AugmentedClips, cache: SampleCache | None = None) -> None:
        self.clips = clips
        self.cache = cache

    def __getitem__(self, index: tuple[int, int]) -> TrainingSample:
        view = ViewIndex(*index)
        cached = None if self.cache is None else self.cache.read(view)
        return cached or TrainingSample(view, *self.clips[view])
