"""Upright pictures: what a display matrix (a phone held sideways) says of a frame."""

from typing import cast

import av
import numpy as np
from numpy.typing import NDArray

from res3d.video.errors import VideoError

Image = NDArray[np.uint8]
Matrix = tuple[int, int, int, int]


def display_matrix(frame: av.VideoFrame) -> Matrix:
    """(a, b, c, d) in {-1, 0, 1}: source pixel (x, y) is shown at (a·x + c·y, b·x + d·y), up to a shift.

    Raises:
        VideoError: a matrix that is no combination of quarter turns and flips.
    """
    data = cast("bytes | None", frame.side_data.get("DISPLAYMATRIX"))  # a buffer, which the stubs do not say
    if data is None:
        return 1, 0, 0, 1
    matrix = np.frombuffer(data, dtype=np.int32)[[0, 1, 3, 4]] / 65536
    small = np.abs(matrix) <= 0.01 * np.abs(matrix).max()  # rounding of a cosine
    a, b, c, d = (round(float(v)) for v in np.where(small, 0, np.sign(matrix)))
    if (abs(a), abs(b), abs(c), abs(d)) not in ((1, 0, 0, 1), (0, 1, 1, 0)):
        raise VideoError(f"the display matrix {matrix.round(3).tolist()} is no combination of quarter turns and flips")
    return a, b, c, d


def is_transposed(matrix: Matrix) -> bool:
    """Whether rows become columns."""
    return matrix[0] == 0


def orient(image: Image, matrix: Matrix) -> Image:
    """[H, W, 3] as it is to be shown: [H, W, 3], or [W, H, 3] after a quarter turn."""
    a, b, c, d = matrix
    if is_transposed(matrix):
        image = image.transpose(1, 0, 2)
        a, d = c, b  # what is shown along x comes from y, and the other way round
    if a < 0:
        image = image[:, ::-1]
    if d < 0:
        image = image[::-1]
    return np.ascontiguousarray(image)
