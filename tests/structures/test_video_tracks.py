import re

import numpy as np
import pytest
from helpers.tracks import assert_same, random_video, track_of

from res3d.structures import VideoTracks

BOX = [[0, 0, 4, 4]]


def test_from_frames_reverses_frames():
    video = random_video()
    frames = list(video.frames())
    assert [frame.frame for frame in frames] == list(range(31))
    metadata = {"num_frames": 31, "name": "flies", "fps": 29.97, "size": (12, 17), "categories": video.categories}
    back = VideoTracks.from_frames(frames, **metadata)
    assert_same(video.renamed(tracks=video.tracks[:2]), back.renamed(tracks=back.tracks[:2]))
    assert_same(video, back, without=("keypoints", "keypoints_scores"))
    assert not back.tracks[
        2
    ].keypoints.any()  # all objects of a frame share one array, in which those without a pose have zeros


def test_frames_have_the_objects_of_the_tracks():
    video = random_video(poses=False, masks=False)
    for frame in video.frames():
        present = [track for track in video.tracks if frame.frame in track.frames]
        assert frame.ids.tolist() == [track.id for track in present]
        for n, track in enumerate(present):
            assert np.array_equal(frame.boxes[n], track.boxes[track.frames == frame.frame][0])
        assert frame.keypoints is frame.masks is None


def test_poses_of_two_skeletons_are_padded_in_a_frame():
    one = track_of(1, [0], BOX, keypoints=np.ones((1, 5, 3), np.float32))
    two = track_of(2, [0], BOX, keypoints=np.ones((1, 2, 3), np.float32))
    (frame,) = VideoTracks(tracks=(one, two), num_frames=1).frames()
    assert frame.keypoints.shape == (2, 5, 3)
    assert frame.keypoints[1, :, 2].tolist() == [1, 1, 0, 0, 0]


def test_frames_of_a_video_without_tracks():
    empty = VideoTracks(tracks=(), num_frames=3)
    assert [len(frame) for frame in empty.frames()] == [0, 0, 0]
    assert len(VideoTracks.from_frames(empty.frames())) == len(VideoTracks.from_frames([])) == 0
    assert VideoTracks.from_frames(empty.frames()).num_frames == 3


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"tracks": (track_of(1, [0], BOX), track_of(1, [1], BOX)), "num_frames": 2}, "two tracks have the id 1"),
        (
            {"tracks": (track_of(1, [5], BOX),), "num_frames": 5},
            "a track has frame 5, but the video has only 5 frames (from 0)",
        ),
        ({"tracks": (), "num_frames": -1}, "num_frames must be ≥ 0, not -1"),
        (
            {"tracks": (), "num_frames": 5, "size": (0, 4)},
            "size must be (height, width) in pixels, both ≥ 1, not (0, 4)",
        ),
        ({"tracks": (), "num_frames": 5, "fps": 0.0}, "fps must be finite and > 0, not 0.0"),
        (
            {"tracks": (), "num_frames": 5, "annotated": np.array([5])},
            "annotated must contain only frame numbers from 0 and below 5",
        ),
    ],
)
def test_invalid_videos_are_refused(fields, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        VideoTracks(**fields)


def test_times_of_video_and_tracks_must_agree():
    times = np.array([0, 0.5, 0.75, 2])
    track = track_of(1, [1, 3], BOX * 2, times=times[[1, 3]])
    video = VideoTracks(tracks=(track,), num_frames=4, times=times)
    frames = list(video.frames())
    assert [frame.time for frame in frames] == times.tolist()
    assert_same(video, VideoTracks.from_frames(frames))
    assert [frame.time for frame in video.renamed(times=None).frames()] == [None, 0.5, None, 2]
    with pytest.raises(ValueError, match="track 1 and the video have different times"):
        video.renamed(times=times + 1)
    with pytest.raises(ValueError, match="times must be 4 increasing numbers"):
        video.renamed(times=times[::-1])


def test_embeddings_and_actions_belong_to_the_same_objects():
    more = {"embeddings": np.eye(2, dtype=np.float32), "actions": np.eye(2, dtype=np.float32)}
    video = VideoTracks(tracks=(track_of(1, [1, 3], BOX * 2, **more), track_of(4, [1], BOX)), num_frames=4)
    frames = list(video.frames())
    assert frames[1].actions.tolist() == [[1, 0], [0, 0]]
    assert frames[3].embeddings.tolist() == [[0, 1]]
    assert frames[0].actions is None
    back = VideoTracks.from_frames(frames)
    assert np.array_equal(back.tracks[0].embeddings, video.tracks[0].embeddings)
