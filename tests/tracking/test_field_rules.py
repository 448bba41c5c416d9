import numpy as np
import pytest

from res3d.tracking.field_rules import INTERPOLATED_FIELDS, RULES, Groups, fields_by_frame


def random_groups(seed: int, rows: int = 7, objects: int = 3) -> Groups:
    """Groups with at least one row per object."""
    rng = np.random.default_rng(seed)
    of_row = rng.permutation(np.concatenate([np.arange(objects), rng.integers(0, objects, rows - objects)]))
    weights = rng.uniform(0.1, 1, rows)
    members = [np.flatnonzero(of_row == n) for n in range(objects)]
    return Groups(
        of_row=of_row,
        weights=weights,
        best=np.array([m[np.argmax(weights[m])] for m in members]),
        total=np.array([weights[m].sum() for m in members]),
    )


@pytest.mark.parametrize("shape", [(), (4,), (2, 3)])
def test_the_mean_of_a_group_is_weighted_by_visibility(shape):
    groups = random_groups(0)
    values = np.random.default_rng(1).normal(0, 1, (7, *shape))
    expected = [
        np.average(values[groups.of_row == n], axis=0, weights=groups.weights[groups.of_row == n]) for n in range(3)
    ]
    assert groups.mean(values) == pytest.approx(np.array(expected))
    assert groups.merge("embeddings", values) == pytest.approx(np.array(expected))
    assert groups.mean(values.astype(np.float32)).dtype == np.float32


def test_the_mean_leaves_out_values_that_do_not_count():
    groups = Groups(
        of_row=np.array([0, 1, 0, 1]),
        weights=np.array([1.0, 1, 3, 1]),
        best=np.array([2, 1]),
        total=np.array([4.0, 2]),
    )
    values = np.array([[1.0, 1], [5, 5], [2, 2], [7, 7]])
    counted = np.array([[True, False], [False, True], [True, True], [False, False]])
    assert groups.mean(values, counted=counted).tolist() == [[1.75, 2], [0, 5]]


def test_of_values_that_are_no_arrays_the_best_visible_one_is_used():
    groups = random_groups(2)
    masks = tuple(f"mask {n}" for n in range(7))
    assert groups.merge("masks", masks) == tuple(masks[row] for row in groups.best)


def test_merged_keypoints_ignore_missing_ones_and_have_v_of_the_best_row():
    groups = Groups(of_row=np.array([0, 0]), weights=np.array([1.0, 3]), best=np.array([1]), total=np.array([4.0]))
    keypoints = np.array([[[0.0, 4, 2], [2, 2, 1]], [[4, 8, 1], [0, 0, 0]]])
    assert groups.merge("keypoints", keypoints).tolist() == [[[3, 7, 1], [2, 2, 0]]]


def test_keypoints_are_shifted_with_the_box_center():
    keypoints = np.array([[[[1.0, 2, 1], [3, 4, 0]]]])
    RULES["keypoints"].shift(keypoints, np.array([[[10.0, -1]]]))
    assert keypoints.tolist() == [[[[11, 1, 1], [13, 3, 0]]]]


def test_fields_with_one_entry_per_frame_are_read_from_the_declarations():
    assert fields_by_frame() == {
        *("frames", "times", "boxes", "visible", "masks", "keypoints", "keypoints_scores"),
    }
    assert INTERPOLATED_FIELDS == ("keypoints",)
