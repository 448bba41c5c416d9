import re

import numpy as np
import pytest

from res3d.structures import (
    ClipDetections,
    FrameDetections,
    FrameTracks,
    ObjectRows,
    Rle,
    Track,
    mask_rows,
    object_rows,
    rows,
    shared,
)
from res3d.structures.rows import Doubles, Floats, Integers


@object_rows
class Things(ObjectRows):
    """Rows with a field of every kind."""

    name: str
    frames: Integers = shared("T", np.int64, single="frame")
    boxes: Floats = rows("N T 4")
    weights: Doubles = rows("N", np.float64)
    codes: Floats | None = rows("N E", default=None)
    points: Floats | None = rows("N T K 3", default=None, fill=0)
    masks: tuple[tuple[Rle | None, ...], ...] | None = mask_rows("N T", default=None)


@object_rows
class ThingsOfFrame(ObjectRows):
    name: str
    frame: int
    boxes: Floats = rows("N 4")
    points: Floats | None = rows("N K 3", default=None, fill=0)
    masks: tuple[Rle | None, ...] | None = mask_rows("N", default=None)


def mask(seed: int) -> Rle:
    return Rle.encode(np.random.default_rng(seed).random((3, 4)) < 0.5)


def things(n: int = 3, length: int = 2, **changes) -> Things:
    rng = np.random.default_rng(n)
    fields = {
        "name": "a",
        "frames": np.arange(length),
        "boxes": rng.random((n, length, 4)).astype(np.float32),
        "weights": rng.random(n),
        "points": rng.random((n, length, 5, 3)).astype(np.float32),
        "masks": tuple(tuple(mask(length * i + t) for t in range(length)) for i in range(n)),
    }
    return Things(**(fields | changes))


@pytest.mark.parametrize("selection", [np.array([2, 0]), [2, 0], np.array([True, False, True]), slice(1, None)])
def test_selection_applies_to_every_field(selection):
    original = things()
    selected, indices = original[selection], np.arange(3)[selection]
    assert len(selected) == len(indices)
    assert selected.frames is original.frames
    assert selected.codes is None
    for name in ("boxes", "weights", "points"):
        assert np.array_equal(getattr(selected, name), getattr(original, name)[indices])
    assert selected.masks == tuple(original.masks[n] for n in indices)


def test_single_index_and_mask_of_wrong_length_are_refused():
    with pytest.raises(TypeError, match=r"selected by indices \[n\], a mask \[N\] or a slice, not by 1"):
        things()[1]
    with pytest.raises(IndexError, match="boolean"):
        things()[np.array([True])]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"boxes": None}, "Things.boxes is missing"),
        ({"boxes": np.zeros((3, 9, 4), np.float32)}, "Things.boxes must be [N, T, 4] with T = 2, N = 3, not [3, 9, 4]"),
        ({"weights": np.zeros(3, np.int64)}, "Things.weights must be float64, not int64"),
        ({"boxes": np.zeros((3, 2, 4))}, "Things.boxes must be float32, not float64"),
        (
            {"masks": ((None,), (None, None), (None,))},
            "Things.masks must be [N, T] with T = 2, N = 3, K = 5, not T = 1, 2",
        ),
    ],
)
def test_invalid_fields_are_refused_by_name(changes, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        things(**changes)


def test_masks_that_are_all_none_become_none():
    one = Track(
        id=1, label=1, frames=np.arange(2), boxes=np.zeros((2, 4), np.float32), scores=np.ones(2, np.float32),
        masks=(None, None),
    )  # fmt: skip
    assert one.masks is None


def test_concatenate_reverses_slicing():
    original = things()
    joined = Things.concatenate([original[:1], original[1:1], original[1:]])
    assert joined.name == "a"
    for name in ("frames", "boxes", "weights", "points"):
        assert np.array_equal(getattr(joined, name), getattr(original, name))
        assert getattr(joined, name).dtype == getattr(original, name).dtype
    assert joined.masks == original.masks


def test_concatenate_fills_missing_optional_fields():
    joined = Things.concatenate([things(2, points=None, masks=None), things(1)])
    assert not joined.points[:2].any()
    assert joined.points[2].all()
    assert joined.masks[0] == (None, None)
    assert joined.masks[2] == things(1).masks[0]


def test_concatenate_refuses_a_missing_field_without_fill():
    one = things(codes=np.zeros((3, 7), np.float32))
    with pytest.raises(ValueError, match="codes: some rows have it and others do not"):
        Things.concatenate([one, things()])
    with pytest.raises(ValueError, match="codes"):
        Things.concatenate([things(), one])
    assert len(Things.concatenate([one, things(0, boxes=np.zeros((0, 2, 4), np.float32))])) == 3


def test_concatenate_refuses_or_pads_rows_of_different_sizes():
    small = things(1, points=np.ones((1, 2, 4, 3), np.float32))
    with pytest.raises(
        ValueError, match=re.escape("all rows of points must have the same shape, not [2, 4, 3], [2, 5, 3]")
    ):
        Things.concatenate([things(), small])
    padded = Things.concatenate([things(), small], pad=True).points
    assert padded.shape == (4, 2, 5, 3)
    assert padded[3, :, :4].all()
    assert not padded[3, :, 4].any()


def test_concatenate_needs_equal_shared_fields():
    with pytest.raises(ValueError, match="all parts of a Things must have the same frames"):
        Things.concatenate([things(), things(frames=np.array([5, 6]))])
    with pytest.raises(ValueError, match="must have the same name"):
        Things.concatenate([things(), things(name="b")])
    assert Things.concatenate([things(), things(name="b")], name="c").name == "c"
    with pytest.raises(ValueError, match="cannot concatenate 0 parts of Things"):
        Things.concatenate([])


def test_at_frame_returns_the_rows_of_one_frame():
    clip = things(frames=np.array([4, 6]))
    frame = clip.at_frame(1, ThingsOfFrame)
    assert (frame.name, frame.frame) == ("a", 6)
    assert np.array_equal(frame.boxes, clip.boxes[:, 1])
    assert np.array_equal(frame.points, clip.points[:, 1])
    assert frame.masks == tuple(masks[1] for masks in clip.masks)
    assert clip.at_frame(0, ThingsOfFrame, name="b").name == "b"
    assert things(points=None).at_frame(0, ThingsOfFrame).points is None


def test_frame_of_clip_detections_has_its_time_and_all_objects():
    clip = ClipDetections.from_mapping(
        {"boxes": np.zeros((2, 3, 4)), "visible": np.ones((2, 3)), "scores": [0.5, 0.6], "labels": [1, 2],
         "embeddings": np.ones((2, 7)), "actions": [[0, 1], [0.5, 0.5]]},
        [3, 4, 5], times=[0.1, 0.2, 0.4],
    )  # fmt: skip
    frame = clip.frame(2)
    assert frame.time == 0.4
    assert np.array_equal(frame.actions, clip.actions)
    assert np.array_equal(frame.embeddings, clip.embeddings)
    assert clip.frame(2).labels.tolist() == [1, 2]


def test_convert_copies_common_fields():
    detections = FrameDetections.from_mapping({"boxes": np.zeros((2, 4)), "embeddings": np.ones((2, 3))}, time=1.5)
    tracked = detections.convert(FrameTracks, frame=7, ids=np.array([4, 5]))
    assert (tracked.frame, tracked.time, tracked.ids.tolist()) == (7, 1.5, [4, 5])
    assert np.array_equal(tracked.embeddings, detections.embeddings)


def test_empty_has_no_rows():
    empty = Things.empty(name="a", frames=np.arange(2))
    assert len(empty) == 0
    assert empty.boxes.shape == (0, 2, 4)
    assert len(FrameTracks.empty(frame=3)) == 0


def test_from_rows_stacks_single_rows():
    entries = [
        {"boxes": [0, 0, 4, 4], "scores": 0.5, "keypoints": np.ones((2, 3))},
        {"boxes": [1, 1, 2, 2], "scores": 1},
    ]
    track = Track.from_rows(entries, id=3, label=1, frames=np.array([2, 5]))
    assert track.boxes.tolist() == [[0, 0, 4, 4], [1, 1, 2, 2]]
    assert track.boxes.dtype == track.keypoints.dtype == np.float32
    assert not track.keypoints[1].any()
    assert track.masks is track.embeddings is None


def test_masks_of_dropped_objects_are_not_read():
    class Masks:
        def __len__(self):
            return 3

        def __getitem__(self, index):
            row, frame = index
            assert row == 2
            return np.full((1, 4, 5), frame)

    result = {"boxes": np.zeros((3, 2, 4)), "visible": np.ones((3, 2)), "scores": [0.1, 0.2, 0.9], "labels": [1, 1, 1]}
    clip = ClipDetections.from_mapping(result | {"masks": Masks()}, [0, 1], min_score=0.5)
    assert [m.area for m in clip.masks[0]] == [0, 20]
    lists = ClipDetections.from_mapping(result | {"masks": [[m] * 2 for m in map(mask, range(3))]}, [0, 1])
    assert lists.masks[1] == (mask(1),) * 2


def test_probabilities_outside_0_to_1_are_refused():
    result = {"boxes": np.zeros((1, 2, 4)), "visible": [[0.5, 2]], "scores": [1], "labels": [1]}
    with pytest.raises(ValueError, match=re.escape("visible must be in 0..1, not from 0.5 to 2.0")):
        ClipDetections.from_mapping(result, [0, 1])
    with pytest.raises(ValueError, match=re.escape("actions must be in 0..1")):
        FrameDetections.from_mapping({"boxes": np.zeros((1, 4)), "actions": [[0.5, -1]]})
