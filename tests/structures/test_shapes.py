from types import SimpleNamespace

import numpy as np
import pytest

from res3d.structures.shapes import check_shapes

VALUE = SimpleNamespace(boxes=np.zeros((2, 5, 4)), scores=np.zeros(2), maps=np.zeros((2, 3, 7, 7)))


def test_matching_words_numbers_and_further_axes_are_accepted():
    check_shapes(VALUE, boxes="D T 4", scores="D", maps="D C ...")
    check_shapes(VALUE, scores="D ...")


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ({"boxes": "D T 3"}, r"SimpleNamespace.boxes must be \[D, T, 3\] with D = 2, T = 5, not \[2, 5, 4\]"),
        ({"boxes": "D T 4", "scores": "T"}, r"scores must be \[T\] with D = 2, T = 5, not \[2\]"),
        ({"scores": "D T"}, r"scores must be \[D, T\], not \[2\]"),
        ({"scores": "D T ..."}, r"scores must be \[D, T, ...\]"),
        ({"boxes": "D"}, r"boxes must be \[D\]"),
    ],
)
def test_other_shapes_are_refused(shapes, message):
    with pytest.raises(ValueError, match=message):
        check_shapes(VALUE, **shapes)
