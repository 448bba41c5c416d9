import re

import numpy as np
import pytest

from res3d.ops.rle import Rle


def masks():
    rng = np.random.default_rng(0)
    full = np.ones((7, 5), bool)
    column = np.zeros((7, 5), bool)
    column[:, 2] = True
    corner = np.zeros((7, 5), bool)
    corner[0, 0] = corner[6, 4] = True
    big = np.zeros((700, 900), bool)
    big[100:650, 3:880] = rng.random((550, 877)) < 0.02
    big[300:400, 200:300] = True
    noise = [rng.random((rng.integers(1, 40), rng.integers(1, 40))) < p for p in (0, 0.05, 0.5, 0.95, 1)]
    return [full, ~full, column, ~column, corner, big, ~big, *noise]


@pytest.mark.parametrize("mask", masks())
def test_encoding_equals_pycocotools_and_decoding_undoes_it(mask):
    coco = pytest.importorskip("pycocotools.mask")
    rle = Rle.encode(mask)
    expected = coco.encode(np.asfortranarray(mask.astype(np.uint8)))
    assert rle.counts == expected["counts"].decode()
    assert list(rle.size) == expected["size"]
    assert np.array_equal(rle.decode(), mask)
    assert rle.area == mask.sum()


@pytest.mark.parametrize("mask", masks())
def test_the_box_contains_the_pixels_tightly(mask):
    ys, xs = np.nonzero(mask)
    box = (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1) if len(xs) else (0, 0, 0, 0)
    assert Rle.encode(mask).box == box


def test_from_runs_takes_uncompressed_run_lengths():
    assert np.array_equal(Rle.from_runs(np.array([2, 3, 1]), (2, 3)).decode(), [[0, 1, 1], [0, 1, 0]])


@pytest.mark.parametrize(
    ("size", "counts", "message"),
    [
        ((0, 4), "0", "the size of a mask must be (height, width) in pixels, not (0, 4)"),
        ((3, 4), "", "must be COCO's compressed string"),
        ((3, 4), "ä", "must be COCO's compressed string"),
        ((3, 4), "~~", "must be COCO's compressed string"),
        ((3, 4), "P", "must be COCO's compressed string"),
        ((3, 4), "o" * 13 + "0", "must be COCO's compressed string"),
        ((3, 4), "05", "must be ≥ 0 and fill (3, 4) (height, width), not 5 pixels"),
    ],
)
def test_invalid_sizes_and_counts_are_refused(size, counts, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        Rle(size=size, counts=counts).decode()


def test_encode_refuses_arrays_without_two_dimensions():
    with pytest.raises(ValueError, match=re.escape("a mask must be [H, W], not [1, 2, 3]")):
        Rle.encode(np.zeros((1, 2, 3), bool))
