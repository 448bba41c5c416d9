"""Display matrices, as ISO 14496-12 defines them, and the images that they give."""

import numpy as np
import pytest

from res3d.video import VideoError
from res3d.video.orientation import display_matrix, is_transposed, orient

IMAGE = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)  # [H, W, 3]
MATRICES = [(a, 0, 0, d) for a in (1, -1) for d in (1, -1)] + [(0, b, c, 0) for b in (1, -1) for c in (1, -1)]


class FakeFrame:
    """Frame with the side data of a display matrix."""

    def __init__(self, *numbers: float) -> None:
        a, b, c, d = (round(number * 65536) for number in numbers)
        self.side_data = {"DISPLAYMATRIX": np.array([a, b, 0, c, d, 0, 0, 0, 1 << 30], np.int32).tobytes()}


@pytest.mark.parametrize("matrix", MATRICES)
def test_pixels_move_as_the_matrix_defines(matrix):
    a, b, c, d = matrix
    displayed = orient(IMAGE, matrix)
    height, width = (3, 2) if is_transposed(matrix) else (2, 3)
    assert displayed.shape == (height, width, 3)
    assert displayed.flags.c_contiguous
    for y in range(2):
        for x in range(3):
            new_x, new_y = a * x + c * y, b * x + d * y
            new_x += width - 1 if min(a, c) < 0 else 0  # the shift into the image
            new_y += height - 1 if min(b, d) < 0 else 0
            assert np.array_equal(displayed[new_y, new_x], IMAGE[y, x])


@pytest.mark.parametrize("matrix", MATRICES)
def test_matrix_is_read_from_side_data_with_rounding_errors_and_scale(matrix):
    assert display_matrix(FakeFrame(*matrix)) == matrix
    assert display_matrix(FakeFrame(*(0.5 * number + 0.001 for number in matrix))) == matrix


def test_frame_without_side_data_is_upright():
    frame = FakeFrame(1, 0, 0, 1)
    frame.side_data = {}
    assert display_matrix(frame) == (1, 0, 0, 1)


@pytest.mark.parametrize("matrix", [(0.7, 0.7, -0.7, 0.7), (1, 0.2, 0, 1), (1, 0, 0, 0), (1, 1, 0, 0)])
def test_other_matrices_are_refused(matrix):
    with pytest.raises(VideoError, match="is not a combination of quarter turns and flips"):
        display_matrix(FakeFrame(*matrix))
