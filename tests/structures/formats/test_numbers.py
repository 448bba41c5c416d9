import numpy as np
import pytest

from res3d.structures.formats.numbers import to_short_floats, to_xywh, to_xyxy


def random_floats(*shape: int) -> np.ndarray:
    """Return float32 numbers of magnitudes from 0.01 to 10,000, as coordinates have."""
    rng = np.random.default_rng(0)
    return (rng.choice([-1, 1], shape) * 10 ** rng.uniform(-2, 4, shape)).astype(np.float32)


def test_short_floats_read_back_as_the_same_float32():
    values = random_floats(500)
    short = to_short_floats(values)
    assert all(type(value) is float for value in short)
    assert np.array_equal(np.array(short, np.float32), values)


def test_short_floats_print_as_float32():
    assert to_short_floats(np.array([0.1, 1 / 3, 5], np.float32)) == [0.1, 0.33333334, 5.0]


@pytest.mark.parametrize("origin", [0, 1])
def test_xywh_and_back_is_exact(origin):
    boxes = np.sort(random_floats(200, 2, 2), axis=1).reshape(200, 4)  # x1, y1, x2, y2 with x1 ≤ x2 and y1 ≤ y2
    decimals = [to_xywh(box, origin=origin) for box in boxes]
    assert np.array_equal(to_xyxy(np.array(decimals, np.float64), origin=origin), boxes)


def test_xywh_is_computed_in_decimals():
    assert [str(value) for value in to_xywh(np.array([0.1, 0.2, 0.4, 1.2], np.float32), origin=1)] == [
        "1.1",
        "1.2",
        "0.3",
        "1.0",
    ]


def test_xyxy_keeps_leading_axes():
    boxes = np.arange(24, dtype=np.float64).reshape(2, 3, 4)
    xyxy = to_xyxy(boxes, origin=1)
    assert xyxy.dtype == np.float32
    assert xyxy.shape == (2, 3, 4)
    assert xyxy[1, 2].tolist() == [19, 20, 41, 43]
