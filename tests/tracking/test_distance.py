import numpy as np
import pytest
from helpers.detections import box_at

from res3d.tracking.distance import box_size, distance_cost


def test_box_size_is_the_square_root_of_the_area():
    assert box_size(np.array([[0.0, 0, 4, 9], [5, 5, 5, 8], [3, 3, 1, 9]])).tolist() == [6, 0, 0]


@pytest.mark.parametrize("limit", [2.0, np.array([0.5, 1, 8])])
def test_distance_cost_is_the_distance_of_centers_relative_to_the_limit(limit):
    rng = np.random.default_rng(0)
    tracks = np.array([box_at(*rng.uniform(0, 60, 2), side=rng.uniform(10, 30)) for _ in range(3)])
    detections = np.array([box_at(*rng.uniform(0, 60, 2), side=rng.uniform(10, 30)) for _ in range(4)])
    sizes = np.array([0.0, 20, 50])
    cost = distance_cost(tracks, detections, limit, sizes)
    for n in range(3):
        for m in range(4):
            center, other = (box.reshape(2, 2).mean(axis=0) for box in (tracks[n], detections[m]))
            size = max(sizes[n], tracks[n, 2] - tracks[n, 0], detections[m, 2] - detections[m, 0])
            relative = np.linalg.norm(center - other) / (size * np.broadcast_to(limit, 3)[n])
            assert cost[n, m] == (pytest.approx(relative) if relative <= 1 else np.inf)
    assert np.isfinite(cost).any()
    assert np.isinf(cost).any()


def test_points_are_at_distance_0_only_of_themselves():
    points = np.array([[5.0, 5, 5, 5], [6, 5, 6, 5]])
    assert distance_cost(points, points, 1.0, np.zeros(2)).tolist() == [[0, np.inf], [np.inf, 0]]
