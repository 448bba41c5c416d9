from itertools import permutations

import numpy as np
import pytest

from res3d.tracking.assignment import ASSIGNMENTS, assign_greedy, assign_hungarian


def random_costs(seed: int, rows: int, columns: int) -> np.ndarray:
    """Costs in 0..1, of which about 30 % are forbidden (infinite)."""
    rng = np.random.default_rng(seed)
    cost = rng.random((rows, columns))
    cost[rng.random(cost.shape) < 0.3] = np.inf
    return cost


@pytest.mark.parametrize("shape", [(4, 4), (3, 5), (5, 3)])
@pytest.mark.parametrize("seed", range(5))
def test_hungarian_total_cost_is_the_minimum_over_all_assignments(seed, shape):
    cost = random_costs(seed, *shape)
    finite = np.where(np.isfinite(cost), cost, 1)  # an unmatched row or column costs 1
    if shape[0] > shape[1]:
        finite = finite.T
    minimum = min(
        sum(finite[row, column] for row, column in enumerate(permutation))
        for permutation in permutations(range(finite.shape[1]), finite.shape[0])
    )
    rows, columns = assign_hungarian(cost)
    num_unmatched = min(shape) - len(rows)
    assert cost[rows, columns].sum() + num_unmatched == pytest.approx(minimum)


def test_hungarian_prefers_one_good_pair_to_two_bad_pairs():
    cost = np.array([[0.1, 0.9], [0.9, np.inf]])
    rows, columns = assign_hungarian(cost)
    assert (rows.tolist(), columns.tolist()) == ([0], [0])


@pytest.mark.parametrize("seed", range(5))
def test_greedy_repeatedly_takes_the_cheapest_remaining_pair(seed):
    cost = random_costs(seed, 5, 4)
    remaining, expected = cost.copy(), []
    while np.isfinite(remaining).any():
        row, column = np.unravel_index(np.argmin(remaining), remaining.shape)
        expected.append((int(row), int(column)))
        remaining[row], remaining[:, column] = np.inf, np.inf
    assert list(zip(*(side.tolist() for side in assign_greedy(cost)), strict=True)) == expected


def test_greedy_total_cost_can_exceed_the_minimum():
    cost = np.array([[0.1, 0.2], [0.2, 0.9]])
    assert cost[assign_greedy(cost)].sum() == pytest.approx(1.0)
    assert cost[assign_hungarian(cost)].sum() == pytest.approx(0.4)


@pytest.mark.parametrize("name", ASSIGNMENTS)
@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0), (2, 3)])
def test_no_pairs_without_allowed_costs(name, shape):
    rows, columns = ASSIGNMENTS[name](np.full(shape, np.inf))
    assert len(rows) == len(columns) == 0
