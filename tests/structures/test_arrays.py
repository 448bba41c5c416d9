import re

import numpy as np
import pytest
import torch

from res3d.structures import Rle
from res3d.structures.arrays import (
    check_boxes,
    check_finite,
    check_frames,
    check_probability,
    encode_mask,
    to_array,
)


@pytest.mark.parametrize(
    "values",
    [
        [[0.5, 2], [-1, 4]],
        np.array([[0.5, 2], [-1, 4]]),
        torch.tensor([[0.5, 2], [-1, 4]], requires_grad=True),
        torch.tensor([[0.5, 2], [-1, 4]], dtype=torch.bfloat16),
    ],
    ids=["list", "array", "tensor", "bfloat16"],
)
def test_to_array_accepts_lists_arrays_and_tensors(values):
    array = to_array(values, np.float32)
    assert array.dtype == np.float32
    assert array.tolist() == [[0.5, 2], [-1, 4]]


def test_to_array_copies_only_if_needed():
    values = np.zeros(3, np.float32)
    assert to_array(values, np.float32) is values
    tensor = torch.zeros(3)
    to_array(tensor, np.float32)[0] = 7
    assert tensor[0] == 7
    assert to_array(torch.tensor([2**53 + 1]), np.int64).tolist() == [2**53 + 1]  # not through float32


def test_encode_mask_accepts_bool_probabilities_and_run_lengths():
    inside = np.array([[True, False, True], [False, True, True]])
    probabilities = np.where(inside, 0.5, 0.49).astype(np.float32)
    expected = Rle.encode(inside)
    for mask in (inside, inside[None], probabilities, probabilities[None], torch.from_numpy(inside), expected):
        assert encode_mask(mask) == expected
    assert encode_mask(torch.from_numpy(probabilities)) == expected
    assert encode_mask(expected) is expected


def test_check_boxes_names_the_first_invalid_box():
    valid = np.array([[0, 0, 0, 0], [1, 2, 3, 4]], np.float32)
    check_boxes("boxes", valid)
    check_boxes("boxes", valid.reshape(2, 1, 4))
    check_boxes("boxes", np.zeros((0, 4), np.float32))
    for box in ([3, 0, 2, 4], [0, 5, 2, 4], [0, 0, np.inf, 4]):
        boxes = np.array([valid[1], box, [9, 9, 0, 0]], np.float32)
        with pytest.raises(ValueError, match=re.escape(f"not {[float(side) for side in box]}")):
            check_boxes("boxes", boxes)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_check_finite_refuses_infinity_and_nan(value):
    check_finite("keypoints", np.array([0, -5.5], np.float32))
    with pytest.raises(ValueError, match="keypoints must be finite"):
        check_finite("keypoints", np.array([0, value], np.float32))


@pytest.mark.parametrize("value", [-0.25, 1.5, np.nan])
def test_check_probability_refuses_values_outside_0_to_1(value):
    check_probability("scores", np.array([0, 1], np.float32))
    check_probability("scores", np.zeros(0, np.float32))
    with pytest.raises(ValueError, match=r"scores must be in 0\.\.1, not from"):
        check_probability("scores", np.array([0.5, value], np.float32))


@pytest.mark.parametrize(
    ("frames", "text"),
    [
        ([], "[]"),
        ([-1, 3], "[-1, 3]"),
        ([3, 3], "[3, 3]"),
        ([4, 3], "[4, 3]"),
        ([0, *range(12)], "[0, 0, 1, 2, 3, 4, 5, 6, 7, 8] and 3 more"),
    ],
)
def test_check_frames_refuses_empty_negative_and_unordered_numbers(frames, text):
    check_frames("frames", np.array([0, 4, 5]))
    message = f"frames must be at least one number, ≥ 0 and increasing, not {text}"
    with pytest.raises(ValueError, match=re.escape(message) + "$"):
        check_frames("frames", np.array(frames, np.int64))
