import re

import numpy as np
import pytest
import torch

from res3d.structures import ClipDetections, FrameDetections, Rle


def frame_result(n: int = 3, **changes) -> dict:
    corner = torch.rand(n, 2) * 50
    result = {
        "boxes": torch.cat([corner, corner + 20], 1),
        "scores": torch.rand(n),
        "labels": torch.ones(n, dtype=torch.int64),
        "embeddings": torch.rand(n, 5),
        "masks": torch.rand(n, 1, 9, 8),
        "keypoints": torch.rand(n, 4, 3),
        "keypoints_scores": torch.rand(n, 4),
    }
    return result | changes


def clip_result(n: int = 3, length: int = 4, **changes) -> dict:
    corner = torch.rand(n, length, 2) * 50
    result = {
        "boxes": torch.cat([corner, corner + 20], 2),
        "visible": torch.rand(n, length),
        "scores": torch.rand(n),
        "labels": torch.ones(n, dtype=torch.int64),
        "embeddings": torch.rand(n, 5),
        "masks": torch.rand(n, length, 1, 9, 8),
        "keypoints": torch.rand(n, length, 4, 3),
        "keypoints_scores": torch.rand(n, length, 4),
    }
    return result | changes


def test_tensors_arrays_and_lists_give_the_same_detections():
    result = frame_result()
    result["scores"].requires_grad_()
    tensors = FrameDetections.from_mapping(result)
    arrays = FrameDetections.from_mapping({k: v.detach().numpy() for k, v in result.items()})
    lists = FrameDetections.from_mapping({k: v.tolist() for k, v in result.items() if k != "masks"})
    assert np.array_equal(tensors.boxes, arrays.boxes)
    assert np.array_equal(tensors.boxes, lists.boxes)
    assert tensors.masks == arrays.masks
    assert np.array_equal(tensors.masks[1].decode(), result["masks"][1, 0] >= 0.5)
    assert tensors.labels.dtype == np.int64
    assert tensors.keypoints.dtype == np.float32


def test_half_precision_bool_masks_and_encoded_masks_are_accepted():
    masks = torch.rand(2, 9, 8) < 0.5
    encoded = tuple(Rle.encode(mask.numpy()) for mask in masks)
    boxes = torch.tensor([[0, 0, 4, 4.0]] * 2, dtype=torch.bfloat16)
    detections = FrameDetections.from_mapping({"boxes": boxes, "masks": masks})
    assert detections.masks == FrameDetections.from_mapping({"boxes": boxes, "masks": encoded}).masks == encoded
    assert detections.scores.tolist() == [1, 1]
    assert detections.labels.tolist() == [1, 1]


def test_empty_boxes_of_any_shape_give_no_detections():
    for boxes in ([], np.zeros((0, 4)), torch.zeros(0, 4)):
        assert len(FrameDetections.from_mapping({"boxes": boxes})) == 0


def test_selection_applies_to_every_field():
    detections = FrameDetections.from_mapping(frame_result())
    selected = detections[np.array([2, 0])]
    assert np.array_equal(selected.embeddings, detections.embeddings[[2, 0]])
    assert selected.masks == (detections.masks[2], detections.masks[0])
    assert len(detections[detections.scores > 2]) == 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"boxes": torch.zeros(2, 4)}, "FrameDetections.boxes must be [D, 4] with D = 3, not [2, 4]"),
        ({"boxes": torch.zeros(3, 5)}, "FrameDetections.boxes must be [D, 4] with D = 3, not [3, 5]"),
        ({"boxes": torch.tensor([[5.0, 0, 1, 1]] * 3)}, "x1 ≤ x2 and y1 ≤ y2, not [5.0, 0.0, 1.0, 1.0]"),
        ({"boxes": torch.full((3, 4), torch.inf)}, "a box must be finite"),
        ({"scores": torch.tensor([0.1, 0.5, 17])}, "scores must be in 0..1, not from"),
        ({"scores": torch.tensor([0.1, 0.5, torch.nan])}, "scores must be in 0..1"),
        ({"masks": torch.rand(2, 1, 9, 8)}, "FrameDetections.masks must have one entry per row, 3, not 2"),
        ({"box": 1, "area": 2}, "detections have no 'area', 'box' (accepted: boxes, scores"),
    ],
)
def test_invalid_frame_detections_are_refused(changes, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        FrameDetections.from_mapping(frame_result(**changes))


def test_missing_boxes_are_refused():
    with pytest.raises(ValueError, match="detections lack boxes; they have scores"):
        FrameDetections.from_mapping({"scores": [1]})


def test_clip_detections_from_mapping():
    result = clip_result()
    clip = ClipDetections.from_mapping(result, [8, 10, 12, 14])
    assert len(clip) == 3
    assert clip.frames.tolist() == [8, 10, 12, 14]
    assert np.array_equal(clip.masks[2][1].decode(), result["masks"][2, 1, 0] >= 0.5)


def test_padding_frames_of_a_clip_are_dropped():
    result = clip_result()
    clip = ClipDetections.from_mapping(result, [8, 9])
    assert np.array_equal(clip.boxes, result["boxes"][:, :2])
    assert clip.keypoints.shape == (3, 2, 4, 3)
    assert [len(masks) for masks in clip.masks] == [2, 2, 2]


@pytest.mark.parametrize(
    ("changes", "frames", "message"),
    [
        ({}, [1, 2, 2, 3], "frames must be at least one number, ≥ 0 and increasing, not [1, 2, 2, 3]"),
        ({}, [-1, 0, 1, 2], "frames must be at least one number, ≥ 0 and increasing"),
        ({}, [1, 2, 3, 4, 5], "ClipDetections.visible must be [D, T] with T = 5, D = 3, not [3, 4]"),
        ({"visible": torch.rand(3, 3)}, [1, 2, 3, 4], "ClipDetections.visible must be [D, T]"),
        ({"track_ids": 1}, [1, 2, 3, 4], "a clip's detections have no 'track_ids' (accepted: boxes, scores"),
        ({"boxes": torch.full((3, 4, 4), torch.nan)}, [1, 2, 3, 4], "a box must be finite"),
    ],
)
def test_invalid_clip_detections_are_refused(changes, frames, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        ClipDetections.from_mapping(clip_result(**changes), frames)


def test_missing_keys_of_a_clip_are_named():
    with pytest.raises(ValueError, match="a clip's detections lack visible, labels; they have boxes, scores"):
        ClipDetections.from_mapping({"boxes": 1, "scores": 2}, [0])


def test_masks_for_fewer_frames_are_refused():
    clip = ClipDetections.from_mapping(clip_result(1, 2), [0, 1])
    fields = {name: getattr(clip, name) for name in ("frames", "boxes", "visible", "scores", "labels")}
    with pytest.raises(ValueError, match=re.escape("ClipDetections.masks must be [D, T] with T = 2, D = 1, not T = 1")):
        ClipDetections(**fields, masks=(clip.masks[0][:1],))
