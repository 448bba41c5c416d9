"""Rotation and mirroring of frames by their display matrix, which phones write for videos filmed sideways."""

from typing import cast

import av
import numpy as np
from numpy.typing import NDArray

from res3d.video.errors import VideoError

Image = NDArray[np.uint8]
Matrix = tuple[int, int, int, int]


def display_matrix(frame: av.VideoFrame) -> Matrix:
    """Return (a, b, c, d) in {-1, 0, 1}: source pixel (x, y) is displayed at (a·x + c·y, b·x + d·y), up to a shift.

    Raises:
        VideoError: the matrix is not a combination of quarter turns and flips.
    """
    data = cast("bytes | None", frame.side_data.get("DISPLAYMATRIX"))  # a buffer, unlike its type in the stubs
    if data is None:
        return 1, 0, 0, 1
    matrix = np.frombuffer(data, dtype=np.int32)[[0, 1, 3, 4]] / 65536
    is_zero = np.abs(matrix) <= 0.01 * np.abs(matrix).max()  # a rounded cosine may be slightly off 0
    a, b, c, d = (round(float(v)) for v in np.where(is_zero, 0, np.sign(matrix)))
    if (abs(a), abs(b), abs(c), abs(d)) not in ((1, 0, 0, 1), (0, 1, 1, 0)):
        raise VideoError(f"display matrix {matrix.round(3).tolist()} is not a combination of quarter turns and flips")
    return a, b, c, d


def is_transposed(matrix: Matrix) -> bool:
    """Return whether the display matrix turns rows into columns."""
    return matrix[0] == 0


def orient(image: Image, matrix: Matrix) -> Image:
    """Return an image [H, W, 3] as it is displayed: [H, W, 3], or [W, H, 3] after a quarter turn."""
    a, b, c, d = matrix
    if is_transposed(matrix):
        image = image.transpose(1, 0, 2)
        a, d = c, b  # the displayed x comes from the source y, and y from x
    if a < 0:
        image = image[:, ::-1]
    if d < 0:
        image = image[::-1]
    return np.ascontiguousarray(image)
