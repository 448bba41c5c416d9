from itertools import pairwise

import pytest

from res3d.training.schedules import SCHEDULES, Cosine, RateFactor


def rates(kind: str, epochs: int = 4, steps: int = 5, **more) -> list[float]:
    warm_up = more.pop("warm_up", 0)
    factor = RateFactor(schedule=SCHEDULES[kind](**more), warm_up=warm_up, epochs=epochs, steps_per_epoch=steps)
    return [factor(step) for step in range(epochs * steps)]


def test_the_warm_up_rises_in_a_line_to_the_full_rate():
    assert rates("constant", warm_up=4)[:6] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    assert rates("constant")[0] == 1.0


def test_steps_fall_at_their_milestones_to_the_step():
    made = rates("step", milestones=[1, 2.4], decay=0.5)
    assert made == [1.0] * 5 + [0.5] * 7 + [0.25] * 8


def test_the_cosine_goes_from_one_to_nothing():
    made = rates("cosine")
    assert made[0] == 1.0
    assert made[10] == pytest.approx(0.5)
    assert 0 < made[-1] < 0.01
    assert all(a > b for a, b in pairwise(made))
    factor = RateFactor(schedule=Cosine(), warm_up=0, epochs=1, steps_per_epoch=1)
    assert factor(7) == 0.0, "beyond the end it stays there"
