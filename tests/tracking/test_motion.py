import numpy as np
import pytest

from res3d.tracking.motion import POSITION_NOISE, VELOCITY_NOISE, BoxMotion, LastBoxes


class MatrixFilter:
    """Textbook Kalman filter of one coordinate, with matrices."""

    def __init__(self, value: float, size: float) -> None:
        self.x = np.array([value, 0.0])
        self.p = np.diag([(2 * POSITION_NOISE * size) ** 2, (10 * VELOCITY_NOISE * size) ** 2])

    def predict(self, size: float) -> None:
        transition = np.array([[1.0, 1], [0, 1]])
        self.x = transition @ self.x
        self.p = transition @ self.p @ transition.T + np.diag(
            [(POSITION_NOISE * size) ** 2, (VELOCITY_NOISE * size) ** 2]
        )

    def update(self, value: float, size: float) -> None:
        observation = np.array([[1.0, 0]])
        gain = self.p @ observation.T / (observation @ self.p @ observation.T + (POSITION_NOISE * size) ** 2)
        self.x = self.x + gain[:, 0] * (value - self.x[0])
        self.p = (np.eye(2) - gain @ observation) @ self.p


def test_box_motion_equals_a_textbook_filter_per_coordinate():
    rng = np.random.default_rng(0)
    start = np.array([[10.0, 20, 50, 100], [300, 300, 340, 320]])
    centers = np.array([[30.0, 60, 40, 80], [320, 310, 40, 20]])
    motion = BoxMotion()
    motion.add(start)
    filters = [[MatrixFilter(c[k], c[2 + k % 2]) for k in range(4)] for c in centers]
    for step in range(30):
        sizes = [[box_filters[2 + k % 2].x[0] for k in range(4)] for box_filters in filters]
        motion.predict()
        for box_filters, box_sizes in zip(filters, sizes, strict=True):
            for coordinate, size in zip(box_filters, box_sizes, strict=True):
                coordinate.predict(size)
        rows = np.array([0, 1] if step % 3 else [0])
        measured = centers[rows] + np.array([4.0, -2, 0.1, 0.2]) * step + rng.normal(0, 1, (len(rows), 4))
        half = measured[:, 2:] / 2
        motion.update(rows, np.concatenate([measured[:, :2] - half, measured[:, :2] + half], axis=1))
        for n, values in zip(rows, measured, strict=True):
            for k in range(4):
                filters[n][k].update(values[k], values[2 + k % 2])
        expected = np.array([[coordinate.x[0] for coordinate in box_filters] for box_filters in filters])
        boxes = np.concatenate([expected[:, :2] - expected[:, 2:] / 2, expected[:, :2] + expected[:, 2:] / 2], axis=1)
        assert motion.boxes == pytest.approx(boxes)


def test_box_motion_learns_a_constant_velocity():
    motion = BoxMotion()
    box = np.array([[0.0, 0, 40, 20]])
    motion.add(box)
    for step in range(1, 60):
        motion.predict()
        motion.update(np.array([0]), box + 3 * step)
    motion.predict()
    assert motion.boxes == pytest.approx(box + 180, abs=0.5)


def test_predicted_box_of_a_shrinking_object_keeps_positive_sides():
    motion = BoxMotion()
    motion.add(np.array([[0.0, 0, 40, 40]]))
    for side in (30.0, 20, 10, 4):
        motion.predict()
        motion.update(np.array([0]), np.array([[20 - side / 2, 20 - side / 2, 20 + side / 2, 20 + side / 2]]))
    for _ in range(20):
        motion.predict()
        x1, y1, x2, y2 = motion.boxes[0]
        assert x1 < x2
        assert y1 < y2


@pytest.mark.parametrize("motion_class", [BoxMotion, LastBoxes])
def test_boxes_can_be_added_and_dropped(motion_class):
    motion = motion_class()
    motion.add(np.array([[0.0, 0, 1, 1], [5, 5, 9, 9]]))
    motion.keep(np.array([False, True]))
    motion.add(np.array([[2.0, 2, 3, 3]]))
    assert motion.boxes.tolist() == [[5, 5, 9, 9], [2, 2, 3, 3]]


def test_length_of_box_motion_is_the_number_of_boxes():
    motion = BoxMotion()
    assert len(motion) == 0
    motion.add(np.zeros((2, 4)))
    assert len(motion) == 2


def test_last_boxes_predict_the_last_detected_box():
    motion = LastBoxes()
    motion.add(np.array([[0.0, 0, 4, 4], [5, 5, 9, 9]]))
    motion.predict()
    motion.update(np.array([1]), np.array([[7.0, 7, 8, 8]]))
    motion.predict()
    assert motion.boxes.tolist() == [[0, 0, 4, 4], [7, 7, 8, 8]]
