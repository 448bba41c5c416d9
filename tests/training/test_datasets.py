import pytest
import torch

from res3d.training.datasets import AugmentedClips, Normalization, TrainingClips, TrainingSample, ViewIndex
from res3d.training.seeding import mix_seeds


class RandomClips:
    """Dataset of random clips whose target is the number of the clip."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, number):
        return torch.rand(3, 2, 4, 4), number


def views_of(augment=None, normalize=None) -> AugmentedClips:
    return AugmentedClips(RandomClips(), augment, normalize or Normalization(), seed=7)


def test_view_is_drawn_from_seed_clip_and_view():
    torch.manual_seed(mix_seeds(7, 2, 5))
    expected = torch.rand(3, 2, 4, 4)
    clip, target = views_of()[2, 5]
    assert torch.equal(clip, expected)
    assert target == 2
    assert not torch.equal(views_of()[2, 6][0], expected)


def test_reading_a_view_does_not_change_torchs_generators(monkeypatch):
    state = torch.get_rng_state()
    monkeypatch.setattr(torch, "manual_seed", None)  # it would seed the generators of GPUs, too
    views_of()[1, 0]
    assert torch.equal(torch.get_rng_state(), state)


def test_clip_is_augmented_and_then_normalized():
    def augment(clip, target):
        return torch.full_like(clip, 0.5), target + 10

    clip, target = views_of(augment, Normalization(mean=[0.1, 0.2, 0.3], std=[0.5, 0.5, 0.5]))[3, 0]
    assert clip[:, 0, 0, 0].tolist() == pytest.approx([0.8, 0.6, 0.4])
    assert target == 13


def test_normalization_per_channel():
    clip = torch.ones(2, 1, 2, 2)
    normalized = Normalization(mean=[1.0, 0.0], std=[1.0, 4.0])(clip)
    assert normalized[:, 0, 0, 0].tolist() == [0.0, 0.25]
    assert torch.equal(Normalization()(clip), clip)
    with pytest.raises(ValueError, match="std has 1 numbers, but clips have 2 channels"):
        Normalization(std=[1.0])(clip)


class OneViewCache:
    """Cache of the first view of clip 1."""

    sample = TrainingSample(ViewIndex(1, 0), torch.zeros(3, 2, 4, 4), 1, {"stem": torch.ones(1)})

    def read(self, index):
        return self.sample if index == ViewIndex(1, 0) else None


def test_training_clips_come_from_the_cache_or_the_dataset():
    clips = TrainingClips(views_of(), OneViewCache())
    assert clips[1, 0] is OneViewCache.sample
    sample = clips[1, 1]
    assert (sample.index, sample.target, sample.maps) == (ViewIndex(1, 1), 1, None)
    assert torch.equal(sample.clip, views_of()[1, 1][0])
    assert TrainingClips(views_of())[1, 0].maps is None
