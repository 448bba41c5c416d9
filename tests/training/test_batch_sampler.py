from itertools import chain

import pytest

from res3d.training.batch_sampler import BatchSampler, split_clips


def test_epochs_shuffle_all_clips_differently():
    sampler = BatchSampler(num_clips=12, batch_size=4)
    assert sampler.steps_per_epoch == 3
    epochs = [list(chain(*sampler.rest_of_epoch(step))) for step in (0, 3, 6)]
    assert all(sorted(epoch) == list(range(12)) for epoch in epochs)
    assert len(set(map(tuple, epochs))) == 3
    assert sampler.rest_of_epoch(0) == BatchSampler(num_clips=12, batch_size=4).rest_of_epoch(0)
    assert sampler.rest_of_epoch(0) != BatchSampler(num_clips=12, batch_size=4, seed=1).rest_of_epoch(0)


def test_resumed_run_gets_the_remaining_batches_of_the_epoch():
    sampler = BatchSampler(num_clips=20, batch_size=4, accumulate=2)
    epoch = sampler.rest_of_epoch(5)
    assert len(epoch) == 10
    for step in range(5, 10):
        assert sampler.rest_of_epoch(step) == epoch[2 * (step - 5) :]


@pytest.mark.parametrize(("processes", "accumulate"), [(1, 4), (2, 2), (4, 1), (2, 1)])
def test_batch_does_not_depend_on_its_division(processes, accumulate):
    batches = BatchSampler(num_clips=17, batch_size=8, seed=3).rest_of_epoch(2)
    shares = [
        BatchSampler(
            num_clips=17, batch_size=8, seed=3, processes=processes, process=n, accumulate=accumulate
        ).rest_of_epoch(2)
        for n in range(processes)
    ]
    for number, batch in enumerate(batches):
        parts = [share[number * accumulate + part] for part in range(accumulate) for share in shares]
        assert {len(part) for part in parts} == {8 // (processes * accumulate)}
        assert list(chain(*parts)) == batch


def test_dataset_smaller_than_a_batch_is_refused():
    with pytest.raises(ValueError, match="batch_size must be ≤ 3, the number of training clips, not 4"):
        BatchSampler(num_clips=3, batch_size=4)


@pytest.mark.parametrize(("clips", "processes"), [(5, 2), (1, 3), (6, 3), (4, 1)])
def test_processes_score_all_clips_in_equal_shares(clips, processes):
    shares = [split_clips(clips, processes, n) for n in range(processes)]
    assert len({len(share) for share in shares}) == 1
    assert set(chain(*shares)) == set(range(clips))
    assert len(shares[0]) == -(-clips // processes)
