import numpy as np
import pytest
from helpers.tracks import random_track, track_of

from res3d.structures import FrameTracks, Track
from res3d.structures.observations import join_into_tracks, split_into_frames

BOX = [[0, 0, 4, 4]]


def assert_equal_tracks(one: Track, other: Track) -> None:
    assert (one.id, one.label, one.masks) == (other.id, other.label, other.masks)
    for name in ("frames", "boxes", "scores", "keypoints", "keypoints_scores", "times", "embeddings", "actions"):
        a, b = getattr(one, name), getattr(other, name)
        assert np.array_equal(a, b) if isinstance(a, np.ndarray) else a is b is None, name


def test_join_reverses_split_for_tracks_with_the_same_fields():
    rng = np.random.default_rng(0)
    tracks = [random_track(rng, number, 20, poses=True, masks=True) for number in (1, 4, 9)]
    joined = list(join_into_tracks(split_into_frames(tracks, 20)))
    assert len(joined) == 3
    for one, other in zip(tracks, joined, strict=True):
        assert_equal_tracks(one, other)


def test_split_yields_every_frame_with_its_objects_sorted_by_id():
    tracks = [track_of(2, [1], BOX, label=7, scores=[0.5]), track_of(5, [1, 3], BOX * 2)]
    frames = list(split_into_frames(tracks, 5))
    assert [frame.frame for frame in frames] == [0, 1, 2, 3, 4]
    assert [frame.ids.tolist() for frame in frames] == [[], [2, 5], [], [5], []]
    assert frames[1].labels.tolist() == [7, 1]
    assert frames[1].scores.tolist() == [0.5, 1]
    assert frames[1].time is None


def test_split_joins_tracks_with_different_fields():
    keypoints = np.ones((1, 3, 3), np.float32)
    tracks = [
        track_of(1, [0], BOX, keypoints=keypoints),
        track_of(2, [0], BOX, embeddings=np.full((1, 2), 0.5, np.float32)),
        track_of(3, [0], BOX, keypoints=keypoints[:, :2]),
    ]
    (frame,) = split_into_frames(tracks, 1)
    assert frame.ids.tolist() == [1, 2, 3]
    assert frame.embeddings.tolist() == [[0, 0], [0.5, 0.5], [0, 0]]
    assert frame.keypoints[..., 2].tolist() == [[1, 1, 1], [0, 0, 0], [1, 1, 0]]


def test_join_takes_the_label_of_the_last_frame():
    def frame_tracks(number: int, ids: list[int], labels: list[int]) -> FrameTracks:
        count = len(ids)
        return FrameTracks(
            frame=number,
            time=number / 4,
            ids=np.array(ids),
            labels=np.array(labels),
            boxes=np.zeros((count, 4), np.float32),
            scores=np.ones(count, np.float32),
        )

    frames = [frame_tracks(0, [3], [1]), FrameTracks.empty(frame=1), frame_tracks(4, [1, 3], [5, 2])]
    first, second = join_into_tracks(frames)
    assert (first.id, first.label, first.frames.tolist()) == (1, 5, [4])
    assert (second.id, second.label, second.frames.tolist()) == (3, 2, [0, 4])
    assert second.times.tolist() == [0, 1]


def test_join_of_empty_frames_gives_no_tracks():
    assert list(join_into_tracks([])) == []
    assert list(join_into_tracks([FrameTracks.empty(frame=0)])) == []


def test_join_refuses_different_numbers_of_keypoints():
    tracks = [
        track_of(1, [0], BOX, keypoints=np.ones((1, 5, 3), np.float32)),
        track_of(2, [1], BOX, keypoints=np.ones((1, 2, 3), np.float32)),
    ]
    with pytest.raises(ValueError, match="all rows of keypoints must have the same shape"):
        list(join_into_tracks(split_into_frames(tracks, 2)))
