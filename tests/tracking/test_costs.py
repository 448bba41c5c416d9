import re

import numpy as np
import pytest
from helpers.detections import box_at, frame_of

from res3d.ops.similarity import DEFAULT_SIGMA, box_iou
from res3d.tracking import CostTerm, link_detections
from res3d.tracking.costs import COSTS, Cost, cost
from res3d.tracking.mixed_cost import mixed_cost
from res3d.tracking.objects import Objects


def objects(seed: int, n: int, length: int = 3, keypoints: int = 4) -> Objects:
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 30, (n, length, 2))
    points = rng.uniform(0, 60, (n, length, keypoints, 3))
    points[..., 2] = rng.random((n, length, keypoints)) < 0.8
    return Objects(
        boxes=np.concatenate([corner, corner + rng.uniform(10, 40, corner.shape)], axis=2),
        visible=np.where(rng.random((n, length)) < 0.3, 0, rng.random((n, length))),
        fields={"embeddings": rng.normal(0, 1, (n, 6)), "keypoints": points},
    )


def similarity_by_hand(name: str, a: Objects, b: Objects, n: int, m: int, t: int) -> float:
    if name == "overlap":
        return box_iou(a.boxes[n, t][None], b.boxes[m, t][None])[0, 0]
    areas = [np.prod(side.boxes[i, t, 2:] - side.boxes[i, t, :2]) for side, i in ((a, n), (b, m))]
    area = np.sqrt(areas[0] * areas[1])
    values = []
    for p, q in zip(a.fields["keypoints"][n, t], b.fields["keypoints"][m, t], strict=True):
        if p[2] > 0 and q[2] > 0:
            distance = np.hypot(*(p[:2] - q[:2]))
            oks = np.exp(-(distance**2) / (2 * area * (2 * DEFAULT_SIGMA) ** 2))
            values.append(oks if name == "oks" else distance <= 0.1 * np.sqrt(area))
    return float(np.mean(values)) if values else 0.0


@pytest.mark.parametrize("name", ["overlap", "oks", "pck"])
@pytest.mark.parametrize("length", [1, 3])
def test_costs_of_tubes_are_means_over_the_frames_that_both_see(name, length):
    a, b = objects(0, 4, length), objects(1, 5, length)
    cost = COSTS[name](a, b)
    for n in range(4):
        for m in range(5):
            weights = a.visible[n] * b.visible[m]
            similarity = [similarity_by_hand(name, a, b, n, m, t) for t in range(length)]
            mean = (weights * similarity).sum() / weights.sum() if weights.sum() > 0 else 0
            assert cost[n, m] == pytest.approx(1 - mean)


def test_appearance_is_by_the_angle_between_embeddings():
    unit = np.array([[1.0, 0], [0, 2], [-3, 0], [0, 0]])
    side = Objects(boxes=np.zeros((4, 1, 4)), visible=np.ones((4, 1)), fields={"embeddings": unit})
    assert COSTS["appearance"](side, side)[0].tolist() == [0, 0.5, 1, 0.5]


@pytest.mark.parametrize("name", COSTS)
def test_a_cost_is_nothing_for_the_same_object(name):
    side = objects(2, 1)
    same = Objects(boxes=side.boxes, visible=np.ones((1, 3)), fields=side.fields)
    assert COSTS[name](same, same) == pytest.approx(0)


def test_a_weighted_sum_with_gates():
    a, b = objects(0, 4), objects(1, 5)
    one, other = COSTS["overlap"](a, b), COSTS["appearance"](a, b)
    mixed = mixed_cost((CostTerm("overlap", weight=3), CostTerm("appearance", gate=0.5)), a, b)
    assert np.isfinite(mixed).any()
    assert np.array_equal(np.isinf(mixed), other > 0.5)
    assert mixed[other <= 0.5] == pytest.approx(((3 * one + other) / 4)[other <= 0.5])


@pytest.mark.parametrize(("name", "needs"), [("appearance", "embeddings"), ("oks", "keypoints"), ("pck", "keypoints")])
def test_what_a_cost_needs_is_named(name, needs):
    bare = Objects(boxes=np.zeros((1, 1, 4)), visible=np.ones((1, 1)))
    with pytest.raises(ValueError, match=f"the cost '{name}' needs detections with {needs}"):
        COSTS[name](bare, bare)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("iou",), "unknown cost 'iou' (accepted: overlap, appearance, oks, pck)"),
        (("overlap", -1), "cost 'overlap': weight must be ≥ 0 and gate in 0..1, not -1, 1.0"),
        (("overlap", 1, 2), "weight must be ≥ 0 and gate in 0..1, not 1, 2"),
    ],
)
def test_wrong_terms_are_refused(arguments, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        CostTerm(*arguments)


def test_a_cost_is_a_function_with_its_name_and_what_it_needs(monkeypatch):
    """Two in one box are told apart by what they do."""
    monkeypatch.setitem(COSTS, "actions", Cost("actions", lambda tracks, detections: None, ()))  # undone at the end

    @cost("actions", "actions")
    def actions_cost(tracks: Objects, detections: Objects) -> np.ndarray:
        return np.abs(tracks.fields["actions"][:, None] - detections.fields["actions"]).mean(axis=2)

    doing = np.array([[1.0, 0], [0, 1]])
    frames = [frame_of(box_at(50, 50), box_at(50, 50), actions=doing[:: 1 if n % 2 else -1]) for n in range(8)]
    terms = (CostTerm("overlap"), CostTerm("actions"))
    for track in link_detections(frames, costs=terms, class_overlap=None).tracks:
        assert np.ptp(track.actions[:, 0]) == 0
    with pytest.raises(ValueError, match="the cost 'actions' needs detections with actions"):
        link_detections([frame_of(box_at(50, 50))] * 5, costs=(CostTerm("actions"),))
