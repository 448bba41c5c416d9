import time

import torch

from res3d.data import Augmentation
from res3d.training.batch_sampler import BatchSampler
from res3d.training.datasets import AugmentedClips, Normalization, TrainingClips
from res3d.training.loaders import LoadingTime, ScoringLoader, TrainingLoader


class NumberedClips:
    """Dataset whose clip ``n`` is filled with n / 10."""

    def __init__(self, count: int = 6) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number):
        return torch.full((3, 2, 8, 8), number / 10), number


def add_noise(clip, target):
    return clip + torch.rand(()) * 0.01, target


def loader_of(*, step=lambda: 0, num_views=None, workers=0, augment=add_noise, count=6) -> TrainingLoader:
    clips = TrainingClips(AugmentedClips(NumberedClips(count), augment, Normalization(), seed=5))
    sampler = BatchSampler(num_clips=count, batch_size=2)
    return TrainingLoader(clips, sampler, step, num_views=num_views, workers=workers)


def test_batches_follow_the_sampler_from_the_next_step():
    loader = loader_of()
    assert len(loader) == 3
    epoch = [[item.target for item in batch] for batch in loader]
    assert epoch == loader.sampler.rest_of_epoch(0)
    resumed = loader_of(step=lambda: 4)
    assert [[item.target for item in batch] for batch in resumed] == loader.sampler.rest_of_epoch(4)
    assert len(resumed) == 3, "Lightning expects the length of a whole epoch"


def clips_by_number(loader) -> dict[int, torch.Tensor]:
    """Return the clips of all batches by clip number, which is the target."""
    return {item.target: item.clip for batch in loader for item in batch}


def test_views_depend_on_clip_and_epoch_only():
    first = clips_by_number(loader_of())
    in_worker = clips_by_number(loader_of(workers=1))
    second = clips_by_number(loader_of(step=lambda: 3))
    assert all(torch.equal(first[n], in_worker[n]) for n in range(6)), "independent of the process"
    assert not any(torch.equal(first[n], second[n]) for n in range(6)), "different in every epoch"
    assert len({float((first[n] - n / 10).mean()) for n in range(6)}) == 6, "different for every clip"


def test_views_alternate_from_epoch_to_epoch():
    epochs = [clips_by_number(loader_of(step=lambda s=3 * e: s, num_views=2)) for e in range(4)]
    assert all(torch.equal(epochs[0][n], epochs[2][n]) for n in range(6))
    assert all(torch.equal(epochs[1][n], epochs[3][n]) for n in range(6))
    assert not any(torch.equal(epochs[0][n], epochs[1][n]) for n in range(6))


def test_loading_does_not_advance_torchs_generator():
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    clips_by_number(loader_of(augment=Augmentation(flip=0.5, scale=(0.9, 1.1))))
    assert torch.equal(torch.rand(4), expected)


def test_waiting_time_is_measured():
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
    assert waiting.seconds - before < 0.01, "the time between batches does not count"


def test_scoring_loader_yields_the_given_clips_normalized():
    normalize = Normalization(mean=[0.1, 0.1, 0.1], std=[0.5, 0.5, 0.5])
    loader = ScoringLoader(AugmentedClips(NumberedClips(), None, normalize, seed=5), [4, 1, 3], batch_size=2, workers=0)
    batches = list(loader)
    assert len(loader) == len(batches) == 2
    assert [[(n, t) for n, _, t in batch] for batch in batches] == [[(4, 4), (1, 1)], [(3, 3)]]
    assert torch.allclose(batches[0][0][1], torch.tensor((0.4 - 0.1) / 0.5))


class RandomClips(NumberedClips):
    """Dataset with a random choice, like clips at a random location of a video."""

    def __getitem__(self, number):
        clip, target = super().__getitem__(number)
        return clip + torch.rand(()), target


def test_scored_clips_are_equal_in_every_validation():
    views = AugmentedClips(RandomClips(), None, Normalization(), seed=5)
    clips = []
    for workers, numbers in ((0, [0, 1, 2]), (1, [0, 1, 2]), (0, [2])):
        torch.manual_seed(len(clips))
        loader = ScoringLoader(views, numbers, batch_size=2, workers=workers)
        clips.append({n: clip for batch in loader for n, clip, _ in batch})
    assert all(torch.equal(clips[0][n], clips[1][n]) for n in range(3))
    assert torch.equal(clips[0][2], clips[2][2])
