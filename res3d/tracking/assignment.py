"""Bipartite matching of tracks and detections by pairwise costs."""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

Pairs = tuple[NDArray[np.int64], NDArray[np.int64]]
"""(rows, columns) of the matched pairs."""

# Cost of a forbidden pair: the largest valid cost. A larger one would make the solver trade good pairs for more pairs.
FORBIDDEN = 1.0


def assign_hungarian(cost: NDArray[np.float64]) -> Pairs:
    """Return the pairs with the least total cost, without forbidden pairs (``ASSIGNMENTS``)."""
    rows, columns = linear_sum_assignment(np.where(np.isfinite(cost), cost, FORBIDDEN))
    finite = np.isfinite(cost[rows, columns])
    return rows[finite], columns[finite]


def assign_greedy(cost: NDArray[np.float64]) -> Pairs:
    """Match the cheapest pair first, then the cheapest pair of the remaining rows and columns, and so on.

    Of equal costs, the pair with the lower row, then the lower column, comes first.
    """
    rows, columns = np.nonzero(np.isfinite(cost))
    order = np.argsort(cost[rows, columns], kind="stable")
    free_rows, free_columns = set(range(cost.shape[0])), set(range(cost.shape[1]))
    pairs: list[tuple[int, int]] = []
    for row, column in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        if row in free_rows and column in free_columns:
            free_rows.remove(row)
            free_columns.remove(column)
            pairs.append((row, column))
    matches = np.array(pairs, np.int64).reshape(-1, 2)
    return matches[:, 0], matches[:, 1]


ASSIGNMENTS: Mapping[str, Callable[[NDArray[np.float64]], Pairs]] = {
    "hungarian": assign_hungarian,
    "greedy": assign_greedy,
}
"""Assignment functions by name.

Each takes costs [N, M] in 0..1, infinite for forbidden pairs. It returns the rows and columns of the matched pairs.
"""
