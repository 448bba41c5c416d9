from itertools import pairwise

import pytest

from res3d.training.schedules import SCHEDULES, Cosine, RateFactor


def rates(kind: str, epochs: int = 4, steps: int = 5, **more) -> list[float]:
    """Return the factor of each step of a run."""
    warm_up = more.pop("warm_up", 0)
    factor = RateFactor(schedule=SCHEDULES[kind](**more), warm_up=warm_up, epochs=epochs, steps_per_epoch=steps)
    return [factor(step) for step in range(epochs * steps)]


def test_warm_up_is_linear():
    assert rates("constant", warm_up=4)[:6] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    assert rates("constant")[0] == 1.0


def test_step_schedule_decays_at_the_exact_milestones():
    factors = rates("step", milestones=[1, 2.4], decay=0.5)
    assert factors == [1.0] * 5 + [0.5] * 7 + [0.25] * 8


def test_cosine_schedule_falls_from_one_to_zero():
    factors = rates("cosine")
    assert factors[0] == 1.0
    assert factors[10] == pytest.approx(0.5)
    assert 0 < factors[-1] < 0.01
    assert all(a > b for a, b in pairwise(factors))
    factor = RateFactor(schedule=Cosine(), warm_up=0, epochs=1, steps_per_epoch=1)
    assert factor(7) == 0.0, "the factor stays 0 after the last epoch"
