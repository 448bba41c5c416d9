import numpy as np
import pytest

from res3d.tracking.objects import Objects, mean_over_frames


def objects_with(visible: list[list[float]]) -> Objects:
    weights = np.array(visible)
    return Objects(boxes=np.zeros((*weights.shape, 4)), visible=weights)


def test_similarities_are_averaged_by_the_product_of_visibilities():
    tracks, detections = objects_with([[1, 0.5, 0], [0, 0, 1]]), objects_with([[0.4, 1, 1], [1, 0, 0]])
    similarity = np.arange(12.0).reshape(3, 2, 2)
    mean = mean_over_frames(similarity, tracks, detections)
    assert mean[0, 0] == pytest.approx((0.4 * 0 + 0.5 * 4) / 0.9)
    assert mean[0, 1] == pytest.approx(1)
    assert mean[1, 0] == pytest.approx(10)
    assert mean[1, 1] == 0  # no frame where both are visible


def test_in_a_single_frame_visibility_only_decides_whether_a_pair_counts():
    tracks, detections = objects_with([[0.2], [0]]), objects_with([[0.7], [1]])
    assert mean_over_frames(np.ones((1, 2, 2)) * 0.3, tracks, detections).tolist() == [[0.3, 0.3], [0, 0]]


def test_indexing_selects_objects_with_all_their_fields():
    objects = Objects(
        boxes=np.arange(24.0).reshape(3, 2, 4),
        visible=np.arange(6.0).reshape(3, 2),
        fields={"embeddings": np.arange(3.0)[:, None]},
    )
    selected = objects[np.array([2, 0])]
    assert selected.boxes.tolist() == objects.boxes[[2, 0]].tolist()
    assert selected.visible.tolist() == [[4, 5], [0, 1]]
    assert selected.fields["embeddings"].tolist() == [[2], [0]]
