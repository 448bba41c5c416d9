from itertools import chain

import pytest
import torch

from res3d.training.batch_sampler import BatchSampler, split_clips
from res3d.training.seeding import mix_seeds, seed_step


def test_every_epoch_shows_every_clip_once_in_another_order():
    order = BatchSampler(num_clips=12, batch_size=4)
    assert order.steps_per_epoch == 3
    epochs = [list(chain(*order.rest_of_epoch(step))) for step in (0, 3, 6)]
    assert all(sorted(epoch) == list(range(12)) for epoch in epochs)
    assert len(set(map(tuple, epochs))) == 3
    assert order.rest_of_epoch(0) == BatchSampler(num_clips=12, batch_size=4).rest_of_epoch(0)
    assert order.rest_of_epoch(0) != BatchSampler(num_clips=12, batch_size=4, seed=1).rest_of_epoch(0)


def test_a_run_that_goes_on_sees_what_is_left_of_its_epoch():
    order = BatchSampler(num_clips=20, batch_size=4, accumulate=2)
    whole = order.rest_of_epoch(5)
    assert len(whole) == 10
    for step in range(5, 10):
        assert order.rest_of_epoch(step) == whole[2 * (step - 5) :]


@pytest.mark.parametrize(("processes", "accumulate"), [(1, 4), (2, 2), (4, 1), (2, 1)])
def test_a_step_has_the_same_clips_however_it_is_divided(processes, accumulate):
    whole = BatchSampler(num_clips=17, batch_size=8, seed=3).rest_of_epoch(2)
    shares = [
        BatchSampler(
            num_clips=17, batch_size=8, seed=3, processes=processes, process=n, accumulate=accumulate
        ).rest_of_epoch(2)
        for n in range(processes)
    ]
    for number, batch in enumerate(whole):
        parts = [share[number * accumulate + part] for part in range(accumulate) for share in shares]
        assert {len(part) for part in parts} == {8 // (processes * accumulate)}
        assert list(chain(*parts)) == batch


def test_fewer_clips_than_a_batch_are_refused():
    with pytest.raises(ValueError, match="batch_size must be ≤ 3, the clips to train on, not 4"):
        BatchSampler(num_clips=3, batch_size=4)


@pytest.mark.parametrize(("clips", "processes"), [(5, 2), (1, 3), (6, 3), (4, 1)])
def test_processes_score_equally_many_clips_and_all_of_them(clips, processes):
    shares = [split_clips(clips, processes, n) for n in range(processes)]
    assert len({len(share) for share in shares}) == 1
    assert set(chain(*shares)) == set(range(clips))
    assert len(shares[0]) == -(-clips // processes)


def test_what_is_drawn_is_a_function_of_the_numbers():
    def draw(*numbers: int) -> float:
        seed_step(*numbers)
        return float(torch.rand(()))

    assert draw(0, 1, 2) == draw(0, 1, 2)
    assert len({draw(a, b, c) for a in range(3) for b in range(3) for c in range(3)}) == 27
    assert mix_seeds(1, 2) != mix_seeds(2, 1)
