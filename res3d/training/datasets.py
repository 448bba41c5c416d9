"""The clips of a run as datasets: augmented, normalized, or read from a cache."""

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
"""Changes a clip [C, T, H, W] in 0..1 and its target; draws from torch's generator."""


class ViewIndex(NamedTuple):
    """The index of an augmented view of a clip."""

    clip: int
    view: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Normalization:
    """``(clip - mean) / std`` of every channel of a clip [C, T, H, W].

    Raises:
        ValueError: when it is called: another number of channels.
    """

    mean: Sequence[float] = ()
    """One number per channel; empty for 0."""
    std: Sequence[float] = ()
    """One number per channel; empty for 1."""

    def __call__(self, clip: Tensor) -> Tensor:
        for name, values in (("mean", self.mean), ("std", self.std)):
            if values and len(values) != clip.shape[0]:
                raise ValueError(f"{name} has {len(values)} numbers for clips of {clip.shape[0]} channels")
        if self.mean:
            clip = clip - clip.new_tensor(self.mean).view(-1, 1, 1, 1)
        if self.std:
            clip = clip / clip.new_tensor(self.std).view(-1, 1, 1, 1)
        return clip


class AugmentedClips(Dataset[Sample]):
    """Augmented views of clips. The view at an index is the same whenever and in whichever process it is made.

    Args:
        data: the clips. What they draw at random (a position in the video) is a function of clip and view, too.
        augment: changes each clip at random; None leaves it as it is.
        normalize: is applied to each clip after that.
        seed: decides what is drawn.
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
            torch.manual_seed(mix_seeds(self.seed, clip_index, view))
            clip, target = self.data[clip_index]
            if self.augment is not None:
                clip, target = self.augment(clip, target)
        return self.normalize(clip), target


@dataclass(frozen=True, slots=True)
class TrainingSample:
    """A view of a clip to train on."""

    index: ViewIndex
    clip: Tensor
    """[C, T, H, W]; with cached ``maps`` a tensor of this shape without memory, whose values mean nothing."""
    target: Target
    maps: FeatureMaps | None = None
    """Cached feature maps of the leading stages, [C, T', H', W'] by stage."""


class SampleCache(Protocol):
    """Samples with cached feature maps."""

    def read(self, index: ViewIndex) -> TrainingSample | None:
        """Return the sample at an index; None if it is not in the cache."""


class TrainingClips(Dataset[TrainingSample]):
    """Samples from a cache, or else from the clips.

    Args:
        clips: the augmented views.
        cache: where feature maps of them may be found.
    """

    def __init__(self, clips: AugmentedClips, cache: SampleCache | None = None) -> None:
        self.clips = clips
        self.cache = cache

    def __getitem__(self, index: tuple[int, int]) -> TrainingSample:
        view = ViewIndex(*index)
        cached = None if self.cache is None else self.cache.read(view)
        return cached or TrainingSample(view, *self.clips[view])
