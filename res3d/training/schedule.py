"""The learning rate over a run, as a multiple of its full value."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Schedule:
    """``schedule(step)`` is what rates are multiplied by in step ``step`` from 0: a warm-up in a line, then a curve."""

    kind: str  # a key of ``CURVES``
    warm_up: int  # steps
    epochs: int  # of the whole run
    steps_per_epoch: int
    milestones: Sequence[float] = ()  # epochs
    decay: float = 0.1

    def __call__(self, step: int) -> float:
        rising = min(1.0, (step + 1) / self.warm_up) if self.warm_up else 1.0
        return rising * CURVES[self.kind](self, step / self.steps_per_epoch)


def _step(schedule: Schedule, epoch: float) -> float:
    return schedule.decay ** sum(epoch >= milestone for milestone in schedule.milestones)


def _cosine(schedule: Schedule, epoch: float) -> float:
    """Loshchilov & Hutter 2017, "SGDR", without restarts."""
    return 0.5 * (1 + math.cos(math.pi * min(1.0, epoch / schedule.epochs)))


CURVES: Mapping[str, Callable[[Schedule, float], float]] = {
    "constant": lambda schedule, epoch: 1.0,
    "step": _step,
    "cosine": _cosine,
}
