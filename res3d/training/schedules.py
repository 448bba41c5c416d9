"""Schedules of the learning rate by name, each with the settings of its own."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol


class Schedule(Protocol):
    """The learning rate over a run, as a multiple of its full value: a frozen dataclass."""

    def factor(self, epoch: float, epochs: int) -> float:
        """Return the multiple when ``epoch`` epochs, and fractions of them, of ``epochs`` are over."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Constant:
    """The full learning rate throughout."""

    def factor(self, epoch: float, epochs: int) -> float:
        return 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class StepDecay:
    """A learning rate that is multiplied by ``decay`` at each milestone.

    Raises:
        ValueError: a decay that is not positive and finite.
    """

    milestones: tuple[float, ...] = ()
    """Numbers of epochs, and fractions of them, after which the rate changes."""
    decay: float = 0.1
    """The factor at each milestone."""

    def __post_init__(self) -> None:
        if not 0 < self.decay < math.inf:
            raise ValueError(f"decay must be > 0, not {self.decay!r}")

    def factor(self, epoch: float, epochs: int) -> float:
        return self.decay ** sum(epoch >= milestone for milestone in self.milestones)


@dataclass(frozen=True, kw_only=True, slots=True)
class Cosine:
    """A half cosine down to 0 at the end (Loshchilov & Hutter 2017, "SGDR", without restarts)."""

    def factor(self, epoch: float, epochs: int) -> float:
        return 0.5 * (1 + math.cos(math.pi * min(1.0, epoch / epochs)))


SCHEDULES: Mapping[str, type[Schedule]] = {"constant": Constant, "step": StepDecay, "cosine": Cosine}


@dataclass(frozen=True, kw_only=True, slots=True)
class RateFactor:
    """What learning rates are multiplied by in a step, from 0: a linear warm-up, times the schedule."""

    schedule: Schedule
    """The curve over the whole run."""
    warm_up: int
    """Steps over which the rate rises from 0."""
    epochs: int
    """Epochs of the whole run."""
    steps_per_epoch: int
    """Steps of the optimizer per epoch."""

    def __call__(self, step: int) -> float:
        warm_up = min(1.0, (step + 1) / self.warm_up) if self.warm_up else 1.0
        return warm_up * self.schedule.factor(step / self.steps_per_epoch, self.epochs)
