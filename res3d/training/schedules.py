"""Table of the learning rate schedules by name, each with its settings."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


class Schedule(Protocol):
    """Settings of one schedule, a frozen dataclass."""

    def factor(self, epoch: float, epochs: int) -> float:
        """Return the factor of the learning rate at a time of the run.

        Args:
            epoch: number of completed epochs, with fractions.
            epochs: number of epochs of the run.
        """


@dataclass(frozen=True, kw_only=True, slots=True)
class Constant:
    """A constant learning rate."""

    def factor(self, epoch: float, epochs: int) -> float:
        return 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class StepDecay:
    """A learning rate that is multiplied by ``decay`` at each milestone.

    Raises:
        ValueError: a decay that is not positive and finite.
    """

    milestones: tuple[float, ...] = ()
    """Numbers of epochs, with fractions, after which the learning rate changes."""
    decay: float = 0.1
    """Factor at each milestone."""

    def __post_init__(self) -> None:
        if not 0 < self.decay < math.inf:
            raise ValueError(f"decay must be > 0, not {self.decay!r}")

    def factor(self, epoch: float, epochs: int) -> float:
        return self.decay ** sum(epoch >= milestone for milestone in self.milestones)


@dataclass(frozen=True, kw_only=True, slots=True)
class Cosine:
    """A half cosine from the full learning rate to 0 (Loshchilov & Hutter 2017, "SGDR", without restarts)."""

    def factor(self, epoch: float, epochs: int) -> float:
        return 0.5 * (1 + math.cos(math.pi * min(1.0, epoch / epochs)))


SCHEDULES: Mapping[str, type[Schedule]] = {"constant": Constant, "step": StepDecay, "cosine": Cosine}
"""The settings class of each schedule."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RateFactor:
    """Factor of the learning rates in each step: a linear warm-up multiplied by the schedule.

    Called with the number of the step from 0.
    """

    schedule: Schedule
    """Schedule over the whole run."""
    warm_up: int
    """Steps over which the factor rises linearly from 0 to 1; 0 starts with the full learning rate."""
    epochs: int
    """Epochs of the whole run."""
    steps_per_epoch: int
    """Optimizer steps per epoch."""

    def __call__(self, step: int) -> float:
        warm_up = min(1.0, (step + 1) / self.warm_up) if self.warm_up else 1.0
        return warm_up * self.schedule.factor(step / self.steps_per_epoch, self.epochs)
