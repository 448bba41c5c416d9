from itertools import permutations

import numpy as np
import pytest

from res3d.tracking.assignment import ASSIGNMENTS, assign_greedy, assign_hungarian


def costs(seed: int, rows: int, columns: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    cost = rng.random((rows, columns))
    cost[rng.random(cost.shape) < 0.3] = np.inf
    return cost


@pytest.mark.parametrize("shape", [(4, 4), (3, 5), (5, 3)])
@pytest.mark.parametrize("seed", range(5))
def test_hungarian_is_the_best_of_all_assignments(seed, shape):
    cost = costs(seed, *shape)
    full = np.where(np.isfinite(cost), cost, 1)  # apart costs 1
    if shape[0] > shape[1]:
        full = full.T
    best = min(sum(full[r, c] for r, c in enumerate(p)) for p in permutations(range(full.shape[1]), full.shape[0]))
    rows, columns = assign_hungarian(cost)
    apart = min(shape) - len(rows)
    assert cost[rows, columns].sum() + apart == pytest.approx(best)


def test_no_good_pair_is_given_up_for_two_bad_ones():
    cost = np.array([[0.1, 0.9], [0.9, np.inf]])
    rows, columns = assign_hungarian(cost)
    assert (rows.tolist(), columns.tolist()) == ([0], [0])


@pytest.mark.parametrize("seed", range(5))
def test_greedy_takes_the_cheapest_again_and_again(seed):
    cost = costs(seed, 5, 4)
    left, expected = cost.copy(), []
    while np.isfinite(left).any():
        row, column = np.unravel_index(np.argmin(left), left.shape)
        expected.append((int(row), int(column)))
        left[row], left[:, column] = np.inf, np.inf
    assert list(zip(*(side.tolist() for side in assign_greedy(cost)), strict=True)) == expected


def test_greedy_is_not_always_the_best():
    cost = np.array([[0.1, 0.2], [0.2, 0.9]])
    assert cost[assign_greedy(cost)].sum() == pytest.approx(1.0)
    assert cost[assign_hungarian(cost)].sum() == pytest.approx(0.4)


@pytest.mark.parametrize("name", ASSIGNMENTS)
@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0), (2, 3)])
def test_nothing_and_nobody_allowed(name, shape):
    rows, columns = ASSIGNMENTS[name](np.full(shape, np.inf))
    assert len(rows) == len(columns) == 0
