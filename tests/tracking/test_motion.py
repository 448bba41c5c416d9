import numpy as np
import pytest

from res3d.tracking.motion import POSITION_NOISE, VELOCITY_NOISE, BoxMotion


class MatrixFilter:
    """A textbook Kalman filter of one coordinate, with matrices."""

    def __init__(self, value: float, size: float) -> None:
        self.x = np.array([value, 0.0])
        self.p = np.diag([(2 * POSITION_NOISE * size) ** 2, (10 * VELOCITY_NOISE * size) ** 2])

    def predict(self, size: float) -> None:
        step = np.array([[1.0, 1], [0, 1]])
        self.x = step @ self.x
        self.p = step @ self.p @ step.T + np.diag([(POSITION_NOISE * size) ** 2, (VELOCITY_NOISE * size) ** 2])

    def update(self, value: float, size: float) -> None:
        look = np.array([[1.0, 0]])
        gain = self.p @ look.T / (look @ self.p @ look.T + (POSITION_NOISE * size) ** 2)
        self.x = self.x + gain[:, 0] * (value - self.x[0])
        self.p = (np.eye(2) - gain @ look) @ self.p


def test_all_filters_at_once_are_a_textbook_filter_each():
    rng = np.random.default_rng(0)
    start = np.array([[10.0, 20, 50, 100], [300, 300, 340, 320]])
    centers = np.array([[30.0, 60, 40, 80], [320, 310, 40, 20]])
    motion = BoxMotion()
    motion.add(start)
    naive = [[MatrixFilter(c[k], c[2 + k % 2]) for k in range(4)] for c in centers]
    for step in range(30):
        sizes = [[row[2 + k % 2].x[0] for k in range(4)] for row in naive]
        motion.predict()
        for row, size in zip(naive, sizes, strict=True):
            for one, own in zip(row, size, strict=True):
                one.predict(own)
        seen = np.array([0, 1] if step % 3 else [0])
        measured = centers[seen] + np.array([4.0, -2, 0.1, 0.2]) * step + rng.normal(0, 1, (len(seen), 4))
        half = measured[:, 2:] / 2
        motion.update(seen, np.concatenate([measured[:, :2] - half, measured[:, :2] + half], axis=1))
        for n, values in zip(seen, measured, strict=True):
            for k in range(4):
                naive[n][k].update(values[k], values[2 + k % 2])
        expected = np.array([[one.x[0] for one in row] for row in naive])
        boxes = np.concatenate([expected[:, :2] - expected[:, 2:] / 2, expected[:, :2] + expected[:, 2:] / 2], axis=1)
        assert motion.boxes == pytest.approx(boxes)


def test_a_steady_motion_is_learned():
    motion = BoxMotion()
    box = np.array([[0.0, 0, 40, 20]])
    motion.add(box)
    for step in range(1, 60):
        motion.predict()
        motion.update(np.array([0]), box + 3 * step)
    motion.predict()
    assert motion.boxes == pytest.approx(box + 180, abs=0.5)


def test_what_shrinks_out_of_sight_does_not_vanish():
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


def test_filters_come_and_go():
    motion = BoxMotion()
    motion.add(np.array([[0.0, 0, 1, 1], [5, 5, 9, 9]]))
    motion.keep(np.array([False, True]))
    motion.add(np.array([[2.0, 2, 3, 3]]))
    assert len(motion) == 2
    assert motion.boxes.tolist() == [[5, 5, 9, 9], [2, 2, 3, 3]]
