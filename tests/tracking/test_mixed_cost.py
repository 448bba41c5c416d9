import re

import numpy as np
import pytest
from helpers.detections import box_at

from res3d.tracking import CostTerm
from res3d.tracking.costs import COSTS
from res3d.tracking.mixed_cost import mixed_cost
from res3d.tracking.objects import Objects


def random_objects(seed: int, n: int) -> Objects:
    """n objects in one frame, near each other, with embeddings."""
    rng = np.random.default_rng(seed)
    boxes = np.array([[box_at(*rng.uniform(40, 60, 2), side=rng.uniform(10, 40))] for _ in range(n)])
    return Objects(boxes=boxes, visible=np.ones((n, 1)), fields={"embeddings": rng.normal(0, 1, (n, 6))})


def test_mixed_cost_is_a_weighted_mean_with_gates():
    a, b = random_objects(0, 4), random_objects(1, 5)
    overlap, appearance = COSTS["overlap"](a, b), COSTS["appearance"](a, b)
    mixed = mixed_cost((CostTerm("overlap", weight=3), CostTerm("appearance", gate=0.5)), a, b)
    assert np.isfinite(mixed).any()
    assert np.array_equal(np.isinf(mixed), appearance > 0.5)
    assert mixed[appearance <= 0.5] == pytest.approx(((3 * overlap + appearance) / 4)[appearance <= 0.5])


def test_a_term_of_weight_0_is_only_a_gate():
    a, b = random_objects(0, 4), random_objects(1, 5)
    overlap, appearance = COSTS["overlap"](a, b), COSTS["appearance"](a, b)
    mixed = mixed_cost((CostTerm("overlap"), CostTerm("appearance", weight=0, gate=0.4)), a, b)
    assert mixed == pytest.approx(np.where(appearance <= 0.4, overlap, np.inf))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("iou",), "unknown cost 'iou' (accepted: overlap, appearance, oks, pck)"),
        (("overlap", -1), "cost 'overlap': weight must be ≥ 0 and gate in 0..1, not -1, 1.0"),
        (("overlap", 1, 2), "weight must be ≥ 0 and gate in 0..1, not 1, 2"),
    ],
)
def test_invalid_cost_terms_are_refused(arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        CostTerm(*arguments)
