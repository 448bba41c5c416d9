import torch

from res3d.training.seeding import mix_seeds, seed_step


def test_random_numbers_depend_on_the_seed_numbers_only():
    def draw(*numbers: int) -> float:
        seed_step(*numbers)
        return float(torch.rand(()))

    assert draw(0, 1, 2) == draw(0, 1, 2)
    assert len({draw(a, b, c) for a in range(3) for b in range(3) for c in range(3)}) == 27
    assert mix_seeds(1, 2) != mix_seeds(2, 1)


def test_mixed_seeds_are_valid_and_distinct():
    seeds = {mix_seeds(a, b) for a in range(10) for b in range(10)}
    assert len(seeds) == 100
    assert all(0 <= seed < 2**63 for seed in seeds)
