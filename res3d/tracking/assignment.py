"""Bipartite matching of tracks and detections by the costs of pairs."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

Pairs = tuple[NDArray[np.int64], NDArray[np.int64]]

# Cost of a forbidden pair: the largest valid cost. A larger one would trade good pairs for more pairs.
FORBIDDEN = 1.0


def assign_hungarian(cost: NDArray[np.float64]) -> Pairs:
    """Return the pairs with the least total cost."""
    rows, columns = linear_sum_assignment(np.where(np.isfinite(cost), cost, FORBIDDEN))
    finite = np.isfinite(cost[rows, columns])
    return rows[finite], columns[finite]


def assign_greedy(cost: NDArray[np.float64]) -> Pairs:
    """Return the cheapest pair, then the cheapest of those that are left, and so on."""
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


ASSIGNMENTS: Mapping[str, Callable[[NDArray[np.float64]], Pairs]] = {
    "hungarian": assign_hungarian,
    "greedy": assign_greedy,
}
"""Functions by name. They take costs [N, M] in 0..1, infinite for forbidden pairs; they return rows and columns."""
