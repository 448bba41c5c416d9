import re
import sys

import numpy as np
import pytest
from helpers.detections import box_at, frame_of, wandering_objects

from res3d.tracking import link_detections
from res3d.tracking.engines import ENGINES, link_with_engine


@pytest.mark.parametrize("name", ENGINES)
def test_engine_gives_the_tracks_of_its_package(name):
    trackers, supervision = pytest.importorskip("trackers"), pytest.importorskip("supervision")
    frames = wandering_objects(0)
    video = link_detections(frames, engine=name)
    tracker = getattr(trackers, ENGINES[name])()
    expected = set()
    for number, frame in enumerate(frames):
        linked = tracker.update(supervision.Detections(xyxy=frame.boxes, confidence=frame.scores))
        expected |= {
            (number, int(i) + 1, tuple(b))
            for b, i in zip(linked.xyxy.tolist(), linked.tracker_id, strict=True)
            if i >= 0
        }
    boxes = {(int(f), t.id, tuple(b)) for t in video.tracks for f, b in zip(t.frames, t.boxes.tolist(), strict=True)}
    assert len(expected) > 40
    assert boxes == expected


def test_engine_can_be_a_tracker_object():
    trackers = pytest.importorskip("trackers")
    frames = [frame_of(box_at(50, 50), keypoints=np.ones((1, 2, 3)))] * 6 + [frame_of()] * 2
    (track,) = link_detections(frames, engine=trackers.SORTTracker(minimum_consecutive_frames=1)).tracks
    assert track.keypoints.shape[1:] == (2, 3)


def test_an_unknown_engine_is_refused():
    with pytest.raises(ValueError, match=re.escape("unknown engine 'deepsort' (accepted: bytetrack, ocsort, sort")):
        link_detections([], engine="deepsort")


def test_objects_of_an_engine_are_sorted_by_id_without_those_that_have_no_track():
    supervision = pytest.importorskip("supervision")

    class Reversing:
        """Assigns the id N - n - 1 to the n-th of N detections, and no id to the first one."""

        def update(self, detections):
            ids = np.arange(len(detections))[::-1].copy()
            ids[0] = -1
            return supervision.Detections(xyxy=detections.xyxy, data=detections.data, tracker_id=ids)

    frame = frame_of(box_at(50, 50), box_at(80, 50), box_at(90, 50), scores=[0.9, 0.8, 0.7])
    (tracks,) = link_with_engine(Reversing(), [frame])
    assert (tracks.frame, tracks.ids.tolist()) == (0, [1, 2])
    assert np.array_equal(tracks.boxes, frame.boxes[[2, 1]])
    assert tracks.scores == pytest.approx([0.7, 0.8])


def test_error_names_the_missing_package_of_an_engine(monkeypatch):
    monkeypatch.setitem(sys.modules, "trackers", None)
    with pytest.raises(ImportError, match=re.escape('engines need trackers: pip install "res3d[trackers]"')):
        link_detections([], engine="sort")
