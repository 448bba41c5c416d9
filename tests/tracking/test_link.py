import re

import pytest
from helpers.detections import box_at, frame_of

from res3d.structures import VideoTracks
from res3d.tracking import link_detections, stream_detections, stream_tubes


def test_settings_cannot_be_combined_with_an_engine():
    with pytest.raises(ValueError, match="an engine takes no settings of res3d"):
        link_detections([], engine="sort", max_lost=3)
    with pytest.raises(ValueError, match="an engine takes no settings of res3d"):
        link_detections([], engine="sort", settings="detect_and_track")


def test_streams_refuse_invalid_settings_at_the_call():
    for stream in (stream_detections, stream_tubes):
        with pytest.raises(ValueError, match="max_lost must be a whole number ≥ 0, not -1"):
            stream([], max_lost=-1)


def test_a_stream_yields_frames_before_invalid_detections():
    def frames():
        yield from [{"boxes": [box_at(5, 5)]}] * 5
        yield {"boxes": [[0, 0, 1]]}

    stream = stream_detections(frames(), min_length=1)
    assert [next(stream).frame for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="frame 5: "):
        next(stream)


def test_mappings_and_frame_detections_can_be_mixed():
    frames = [frame_of(box_at(5, 5)), {"boxes": [box_at(5, 5)], "scores": [0.8]}, frame_of(box_at(5, 5))]
    (track,) = link_detections(frames).tracks
    assert track.scores == pytest.approx([0.9, 0.8, 0.9])
    assert len(VideoTracks.from_frames(stream_detections(frames, max_tracks=1))) == 1


def test_error_names_a_detection_of_the_wrong_type():
    with pytest.raises(ValueError, match=re.escape("frame 1: ")):
        link_detections([frame_of(), 3])
