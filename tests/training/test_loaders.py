import time

import pytest
import torch

from res3d.data import Augmentation
from res3d.training.batch_sampler import BatchSampler
from res3d.training.datasets import AugmentedClips, Normalization, TrainingClips
from res3d.training.loaders import LoadingTime, ScoringLoader, TrainingLoader


class Numbers:
    """Clip ``n`` is full of n / 10."""

    def __init__(self, count: int = 6) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number):
        return torch.full((3, 2, 8, 8), number / 10), number


def changed(clip, target):
    return clip + torch.rand(()) * 0.01, target


def loader_of(*, step=lambda: 0, num_views=None, workers=0, change=changed, count=6) -> TrainingLoader:
    clips = TrainingClips(AugmentedClips(Numbers(count), change, Normalization(), seed=5))
    sampler = BatchSampler(num_clips=count, batch_size=2)
    return TrainingLoader(clips, sampler, step, num_views=num_views, workers=workers)


def test_batches_are_the_orders_and_a_step_says_where_they_begin():
    loader = loader_of()
    assert len(loader) == 3
    whole = [[item.target for item in batch] for batch in loader]
    assert whole == loader.sampler.rest_of_epoch(0)
    later = loader_of(step=lambda: 4)
    assert [[item.target for item in batch] for batch in later] == loader.sampler.rest_of_epoch(4)
    assert len(later) == 3, "Lightning counts whole epochs"


def clips_by_number(loader) -> dict[int, torch.Tensor]:
    return {item.target: item.clip for batch in loader for item in batch}


def test_a_view_is_the_same_whenever_it_is_asked_for():
    first = clips_by_number(loader_of())
    again = clips_by_number(loader_of(workers=1))
    second = clips_by_number(loader_of(step=lambda: 3))
    assert all(torch.equal(first[n], again[n]) for n in range(6)), "whoever loads it"
    assert not any(torch.equal(first[n], second[n]) for n in range(6)), "every epoch draws anew"
    assert len({float((first[n] - n / 10).mean()) for n in range(6)}) == 6, "every clip draws for itself"


def test_a_number_of_views_is_taken_in_turn():
    epochs = [clips_by_number(loader_of(step=lambda s=3 * e: s, num_views=2)) for e in range(4)]
    assert all(torch.equal(epochs[0][n], epochs[2][n]) for n in range(6))
    assert all(torch.equal(epochs[1][n], epochs[3][n]) for n in range(6))
    assert not any(torch.equal(epochs[0][n], epochs[1][n]) for n in range(6))


def test_loading_draws_nothing_from_the_steps_generator():
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    clips_by_number(loader_of(change=Augmentation(flip=0.5, scale=(0.9, 1.1))))
    assert torch.equal(torch.rand(4), expected)


def test_time_spent_waiting_is_measured():
    waiting = LoadingTime()

    def slow():
        for n in range(3):
            time.sleep(0.02)
            yield n

    assert list(waiting.measure(slow())) == [0, 1, 2]
    assert 0.06 <= waiting.seconds < 1
    before = waiting.seconds
    for _ in waiting.measure(iter([1, 2])):
        time.sleep(0.02)
    assert waiting.seconds - before < 0.01, "what is done with a batch does not count"


def test_scoring_batches_are_of_the_numbers_asked_for():
    normalize = Normalization(mean=[0.1, 0.1, 0.1], std=[0.5, 0.5, 0.5])
    loader = ScoringLoader(AugmentedClips(Numbers(), None, normalize, seed=5), [4, 1, 3], batch_size=2, workers=0)
    batches = list(loader)
    assert len(loader) == len(batches) == 2
    assert [[(n, t) for n, _, t in batch] for batch in batches] == [[(4, 4), (1, 1)], [(3, 3)]]
    assert torch.allclose(batches[0][0][1], torch.tensor((0.4 - 0.1) / 0.5))


class RandomNumbers(Numbers):
    """Clips that are cut at a random place, as some data's are."""

    def __getitem__(self, number):
        clip, target = super().__getitem__(number)
        return clip + torch.rand(()), target


def test_scores_are_of_the_same_clips_every_time():
    views = AugmentedClips(RandomNumbers(), None, Normalization(), seed=5)
    clips = []
    for workers, numbers in ((0, [0, 1, 2]), (1, [0, 1, 2]), (0, [2])):
        torch.manual_seed(len(clips))
        loader = ScoringLoader(views, numbers, batch_size=2, workers=workers)
        clips.append({n: clip for batch in loader for n, clip, _ in batch})
    assert all(torch.equal(clips[0][n], clips[1][n]) for n in range(3))
    assert torch.equal(clips[0][2], clips[2][2])


def test_normalization_is_of_each_channel():
    clip = torch.ones(2, 1, 2, 2)
    done = Normalization(mean=[1.0, 0.0], std=[1.0, 4.0])(clip)
    assert done[:, 0, 0, 0].tolist() == [0.0, 0.25]
    assert torch.equal(Normalization()(clip), clip)
    with pytest.raises(ValueError, match="std has 1 numbers for clips of 2 channels"):
        Normalization(std=[1.0])(clip)
