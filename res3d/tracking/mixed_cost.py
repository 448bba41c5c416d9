"""Weighted mean of several costs, with a gate for each."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from res3d.tracking.costs import COSTS
from res3d.tracking.objects import Array, Objects


@dataclass(frozen=True, slots=True)
class CostTerm:
    """One cost in the weighted mean of ``LinkSettings.costs``.

    Raises:
        ValueError: an unknown name, a weight below 0, or a gate outside 0..1.
    """

    name: str
    """Name in ``COSTS``."""
    weight: float = 1.0
    """Weight in the mean, ≥ 0."""
    gate: float = 1.0
    """Largest cost of a pair that may match, in 0..1."""

    def __post_init__(self) -> None:
        if self.name not in COSTS:
            raise ValueError(f"unknown cost {self.name!r} (accepted: {', '.join(COSTS)})")
        if not 0 <= self.weight < float("inf") or not 0 <= self.gate <= 1:
            raise ValueError(f"cost {self.name!r}: weight must be ≥ 0 and gate in 0..1, not {self.weight}, {self.gate}")


def mixed_cost(terms: Sequence[CostTerm], tracks: Objects, detections: Objects) -> Array:
    """Return the weighted mean of the terms' costs: [N, M] in 0..1.

    A pair is forbidden (infinite) if one of its costs is above the gate of its term. The total weight must be above 0.
    """
    costs = [COSTS[term.name](tracks, detections) for term in terms]
    total = sum(term.weight * cost for term, cost in zip(terms, costs, strict=True))
    mean: Array = np.asarray(total / sum(term.weight for term in terms))
    for term, cost in zip(terms, costs, strict=True):
        mean[~(cost <= term.gate)] = np.inf
    return mean
