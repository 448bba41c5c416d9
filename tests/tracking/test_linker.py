"""Linking that single frames and clips have in common."""

import re

import numpy as np
import pytest
from helpers.detections import box_at, frame_of, wandering_objects
from helpers.tracks import assert_same

from res3d.structures import ClipDetections, FrameDetections, VideoTracks
from res3d.tracking import FrameLinker, LinkSettings, TubeLinker, link_detections, link_tubes


def clip_at(number: int, frame: FrameDetections, **more) -> ClipDetections:
    """Return the detections of one frame as a clip of one frame, with a visibility of 0.3."""
    return ClipDetections(
        frames=np.array([number]),
        boxes=frame.boxes[:, None],
        visible=np.full((len(frame), 1), 0.3, np.float32),
        scores=frame.scores,
        labels=frame.labels,
        **more,
    )


def test_frame_linker_links_clips_of_one_frame():
    """All their detections count as visible, whatever their visibility."""
    frames = wandering_objects(0)
    clips = [clip_at(number, frame) for number, frame in enumerate(frames)]
    linked = VideoTracks.from_frames(FrameLinker(LinkSettings()).link(clips))
    assert len(linked) > 3
    assert_same(linked, link_detections(frames))


def test_skipped_frames_count_for_motion():
    """From frame 10 on, only every fourth frame has detections; the object has moved far in between."""
    frames = [frame_of(box_at(20 + 6 * n, 50)) for n in range(31)]
    clips = [clip_at(number, frame) for number, frame in enumerate(frames) if number < 10 or number % 4 == 2]
    (track,) = VideoTracks.from_frames(FrameLinker(LinkSettings(lost_reach=0.0)).link(clips)).tracks
    assert track.frames.tolist() == [*range(31)]
    assert (track.boxes[:, 0] + track.boxes[:, 2]) / 2 == pytest.approx(20 + 6 * np.arange(31))


def test_tube_linker_links_single_frames():
    frames = wandering_objects(1)
    clips = [
        clip_at(number, frame).replace(visible=np.ones((len(frame), 1), np.float32))
        for number, frame in enumerate(frames)
    ]
    linked = VideoTracks.from_frames(TubeLinker(LinkSettings()).link(frames))
    assert len(linked) > 3
    assert_same(linked, link_tubes(clips))


def test_frame_linker_refuses_longer_clips():
    box = np.zeros((1, 2, 4), np.float32)
    clip = ClipDetections(
        frames=np.arange(2), boxes=box, visible=box[..., 0], scores=box[:, 0, 0], labels=np.ones(1, np.int64)
    )
    with pytest.raises(ValueError, match=re.escape("FrameLinker takes single frames: a clip must have 1 frame, not 2")):
        FrameLinker(LinkSettings()).push(clip)


def test_tracks_have_every_field_of_the_detections():
    """The frame of a filled gap has only a box; its other fields are 0."""
    frames = [
        frame_of(box_at(50, 50), embeddings=[[1.0, 2]], actions=[[0.25, 0.5]]).replace(time=n / 25) for n in range(8)
    ]
    frames[4] = frame_of().replace(time=4 / 25)
    video = link_detections(frames)
    (track,) = video.tracks
    assert track.actions.tolist() == [[0, 0] if n == 4 else [0.25, 0.5] for n in range(8)]
    assert track.embeddings.tolist() == [[0, 0] if n == 4 else [1, 2] for n in range(8)]
    assert video.times.tolist() == track.times.tolist() == [n / 25 for n in range(8)]


def test_fields_of_overlapping_tubes_are_averaged_by_visibility():
    def clip(start: int, visible: float, action: float) -> ClipDetections:
        return ClipDetections(
            frames=np.arange(start, start + 4),
            times=np.arange(start, start + 4) / 10,
            boxes=np.array([[box_at(50, 50)] * 4], np.float32),
            visible=np.full((1, 4), visible, np.float32),
            scores=np.full(1, 0.9, np.float32),
            labels=np.ones(1, np.int64),
            actions=np.full((1, 2), action, np.float32),
        )

    video = link_tubes([clip(0, 0.6, 0.2), clip(2, 0.9, 0.7)])
    (track,) = video.tracks
    assert track.actions[:, 0] == pytest.approx([0.2, 0.2, 0.5, 0.5, 0.7, 0.7])
    assert video.times == pytest.approx(np.arange(6) / 10)
