"""Which detection goes to which track, from what each pair costs."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

Pairs = tuple[NDArray[np.int64], NDArray[np.int64]]

FORBIDDEN = 1.0  # what two stay apart for, the worst that a cost can be; more would sacrifice good pairs to have many


def assign_hungarian(cost: NDArray[np.float64]) -> Pairs:
    """The pairs that cost least together."""
    rows, columns = linear_sum_assignment(np.where(np.isfinite(cost), cost, FORBIDDEN))
    finite = np.isfinite(cost[rows, columns])
    return rows[finite], columns[finite]


def assign_greedy(cost: NDArray[np.float64]) -> Pairs:
    """The cheapest pair, then the cheapest of what is left, and so on."""
    rows, columns = np.nonzero(np.isfinite(cost))
    order = np.argsort(cost[rows, columns], kind="stable")
    free_rows, free_columns = set(range(cost.shape[0])), set(range(cost.shape[1]))
    pairs: list[tuple[int, int]] = []
    for row, column in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        if row in free_rows and column in free_columns:
            free_rows.remove(row)
            free_columns.remove(column)
            pairs.append((row, column))
    made = np.array(pairs, np.int64).reshape(-1, 2)
    return made[:, 0], made[:, 1]


# Each takes costs [N, M] from 0 to 1, infinite for pairs that must not be, and returns rows and columns of the pairs.
ASSIGNMENTS: Mapping[str, Callable[[NDArray[np.float64]], Pairs]] = {
    "hungarian": assign_hungarian,
    "greedy": assign_greedy,
}
