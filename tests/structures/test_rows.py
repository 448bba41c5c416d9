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
    """A class with a field of every kind."""

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
def test_rows_are_picked_from_every_field_alike(selection):
    made = things()
    picked, numbers = made[selection], np.arange(3)[selection]
    assert len(picked) == len(numbers)
    assert picked.frames is made.frames
    assert picked.codes is None
    for name in ("boxes", "weights", "points"):
        assert np.array_equal(getattr(picked, name), getattr(made, name)[numbers])
    assert picked.masks == tuple(made.masks[n] for n in numbers)


def test_a_single_number_picks_no_rows():
    with pytest.raises(TypeError, match=r"picked by numbers \[n\], a mask \[N\] or a slice, not by 1"):
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
def test_fields_that_do_not_fit_are_refused_by_name(changes, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        things(**changes)


def test_masks_of_which_there_is_none_are_none():
    one = Track(
        id=1, label=1, frames=np.arange(2), boxes=np.zeros((2, 4), np.float32), scores=np.ones(2, np.float32),
        masks=(None, None),
    )  # fmt: skip
    assert one.masks is None


def test_joined_parts_give_the_whole_again():
    made = things()
    joined = Things.concatenate([made[:1], made[1:1], made[1:]])
    assert joined.name == "a"
    for name in ("frames", "boxes", "weights", "points"):
        assert np.array_equal(getattr(joined, name), getattr(made, name))
        assert getattr(joined, name).dtype == getattr(made, name).dtype
    assert joined.masks == made.masks


def test_rows_without_an_optional_field_are_filled_where_they_are_joined_with_others():
    joined = Things.concatenate([things(2, points=None, masks=None), things(1)])
    assert not joined.points[:2].any()
    assert joined.points[2].all()
    assert joined.masks[0] == (None, None)
    assert joined.masks[2] == things(1).masks[0]


def test_a_field_that_cannot_be_filled_is_refused_by_name():
    one = things(codes=np.zeros((3, 7), np.float32))
    with pytest.raises(ValueError, match="codes: some rows have it and others do not"):
        Things.concatenate([one, things()])
    with pytest.raises(ValueError, match="codes"):
        Things.concatenate([things(), one])
    assert len(Things.concatenate([one, things(0, boxes=np.zeros((0, 2, 4), np.float32))])) == 3


def test_entries_of_several_sizes_are_refused_or_padded():
    small = things(1, points=np.ones((1, 2, 4, 3), np.float32))
    with pytest.raises(ValueError, match=re.escape("points of all rows must have one shape, not [2, 4, 3], [2, 5, 3]")):
        Things.concatenate([things(), small])
    padded = Things.concatenate([things(), small], pad=True).points
    assert padded.shape == (4, 2, 5, 3)
    assert padded[3, :, :4].all()
    assert not padded[3, :, 4].any()


def test_parts_agree_in_what_rows_share():
    with pytest.raises(ValueError, match="parts of one Things must have the same frames"):
        Things.concatenate([things(), things(frames=np.array([5, 6]))])
    with pytest.raises(ValueError, match="must have the same name"):
        Things.concatenate([things(), things(name="b")])
    assert Things.concatenate([things(), things(name="b")], name="c").name == "c"
    with pytest.raises(ValueError, match="no Things to concatenate"):
        Things.concatenate([])


def test_a_frame_is_taken_out_of_a_clip():
    made = things(frames=np.array([4, 6]))
    frame = made.at_frame(1, ThingsOfFrame)
    assert (frame.name, frame.frame) == ("a", 6)
    assert np.array_equal(frame.boxes, made.boxes[:, 1])
    assert np.array_equal(frame.points, made.points[:, 1])
    assert frame.masks == tuple(masks[1] for masks in made.masks)
    assert made.at_frame(0, ThingsOfFrame, name="b").name == "b"
    assert things(points=None).at_frame(0, ThingsOfFrame).points is None


def test_a_clips_frame_has_its_time_and_its_objects():
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


def test_rows_become_those_of_another_class():
    found = FrameDetections.from_mapping({"boxes": np.zeros((2, 4)), "embeddings": np.ones((2, 3))}, time=1.5)
    tracked = found.convert(FrameTracks, frame=7, ids=np.array([4, 5]))
    assert (tracked.frame, tracked.time, tracked.ids.tolist()) == (7, 1.5, [4, 5])
    assert np.array_equal(tracked.embeddings, found.embeddings)


def test_no_rows():
    empty = Things.empty(name="a", frames=np.arange(2))
    assert len(empty) == 0
    assert empty.boxes.shape == (0, 2, 4)
    assert len(FrameTracks.empty(frame=3)) == 0


def test_rows_are_stacked_from_single_ones():
    entries = [
        {"boxes": [0, 0, 4, 4], "scores": 0.5, "keypoints": np.ones((2, 3))},
        {"boxes": [1, 1, 2, 2], "scores": 1},
    ]
    track = Track.from_rows(entries, id=3, label=1, frames=np.array([2, 5]))
    assert track.boxes.tolist() == [[0, 0, 4, 4], [1, 1, 2, 2]]
    assert track.boxes.dtype == track.keypoints.dtype == np.float32
    assert not track.keypoints[1].any()
    assert track.masks is track.embeddings is None


def test_masks_of_objects_that_are_left_out_are_not_encoded():
    class Masks:
        def __len__(self):
            return 3

        def __getitem__(self, place):
            assert place[0] == 2
            return np.full((1, 4, 5), place[1])

    result = {"boxes": np.zeros((3, 2, 4)), "visible": np.ones((3, 2)), "scores": [0.1, 0.2, 0.9], "labels": [1, 1, 1]}
    clip = ClipDetections.from_mapping(result | {"masks": Masks()}, [0, 1], min_score=0.5)
    assert [m.area for m in clip.masks[0]] == [0, 20]
    lists = ClipDetections.from_mapping(result | {"masks": [[m] * 2 for m in map(mask, range(3))]}, [0, 1])
    assert lists.masks[1] == (mask(1),) * 2


def test_probabilities_are_checked():
    result = {"boxes": np.zeros((1, 2, 4)), "visible": [[0.5, 2]], "scores": [1], "labels": [1]}
    with pytest.raises(ValueError, match=re.escape("visible must be in 0..1, not from 0.5 to 2.0")):
        ClipDetections.from_mapping(result, [0, 1])
    with pytest.raises(ValueError, match=re.escape("actions must be in 0..1")):
        FrameDetections.from_mapping({"boxes": np.zeros((1, 4)), "actions": [[0.5, -1]]})
