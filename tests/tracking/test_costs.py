import numpy as np
import pytest
from helpers.detections import box_at, frame_of

from res3d.ops.similarity import DEFAULT_SIGMA, box_iou
from res3d.tracking import CostTerm, link_detections
from res3d.tracking.costs import COSTS, Cost, cost
from res3d.tracking.objects import Objects


def random_objects(seed: int, n: int, length: int = 3, keypoints: int = 4) -> Objects:
    """n objects over ``length`` frames, with embeddings and keypoints; some frames and keypoints are invisible."""
    rng = np.random.default_rng(seed)
    corner = rng.uniform(0, 30, (n, length, 2))
    points = rng.uniform(0, 60, (n, length, keypoints, 3))
    points[..., 2] = rng.random((n, length, keypoints)) < 0.8
    return Objects(
        boxes=np.concatenate([corner, corner + rng.uniform(10, 40, corner.shape)], axis=2),
        visible=np.where(rng.random((n, length)) < 0.3, 0, rng.random((n, length))),
        fields={"embeddings": rng.normal(0, 1, (n, 6)), "keypoints": points},
    )


def naive_similarity(name: str, a: Objects, b: Objects, n: int, m: int, t: int) -> float:
    """Similarity of object n of a and object m of b in frame t, computed pair by pair."""
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
def test_tube_costs_are_means_weighted_by_both_visibilities(name, length):
    a, b = random_objects(0, 4, length), random_objects(1, 5, length)
    cost = COSTS[name](a, b)
    for n in range(4):
        for m in range(5):
            weights = a.visible[n] * b.visible[m]
            similarity = [naive_similarity(name, a, b, n, m, t) for t in range(length)]
            mean = (weights * similarity).sum() / weights.sum() if weights.sum() > 0 else 0
            assert cost[n, m] == pytest.approx(1 - mean)


def test_appearance_depends_on_the_angle_between_embeddings():
    embeddings = np.array([[1.0, 0], [0, 2], [-3, 0], [0, 0]])
    side = Objects(boxes=np.zeros((4, 1, 4)), visible=np.ones((4, 1)), fields={"embeddings": embeddings})
    assert COSTS["appearance"](side, side)[0].tolist() == [0, 0.5, 1, 0.5]


@pytest.mark.parametrize("name", COSTS)
def test_cost_of_an_object_with_itself_is_0(name):
    single = random_objects(2, 1)
    same = Objects(boxes=single.boxes, visible=np.ones((1, 3)), fields=single.fields)
    assert COSTS[name](same, same) == pytest.approx(0)


@pytest.mark.parametrize(("name", "needs"), [("appearance", "embeddings"), ("oks", "keypoints"), ("pck", "keypoints")])
def test_error_names_the_field_that_a_cost_needs(name, needs):
    bare = Objects(boxes=np.zeros((1, 1, 4)), visible=np.ones((1, 1)))
    with pytest.raises(ValueError, match=f"the cost '{name}' needs detections with {needs}"):
        COSTS[name](bare, bare)


def test_a_decorated_function_is_a_cost(monkeypatch):
    """Two objects with the same box are distinguished by their actions."""
    # The entry is removed at the end of the test, including what the decorator registers under its name.
    monkeypatch.setitem(COSTS, "actions", Cost("actions", lambda tracks, detections: None, ()))

    @cost("actions", "actions")
    def actions_cost(tracks: Objects, detections: Objects) -> np.ndarray:
        return np.abs(tracks.fields["actions"][:, None] - detections.fields["actions"]).mean(axis=2)

    actions = np.array([[1.0, 0], [0, 1]])
    frames = [frame_of(box_at(50, 50), box_at(50, 50), actions=actions[:: 1 if n % 2 else -1]) for n in range(8)]
    terms = (CostTerm("overlap"), CostTerm("actions"))
    for track in link_detections(frames, costs=terms, class_overlap=None).tracks:
        assert np.ptp(track.actions[:, 0]) == 0
    with pytest.raises(ValueError, match="the cost 'actions' needs detections with actions"):
        link_detections([frame_of(box_at(50, 50))] * 5, costs=(CostTerm("actions"),))
