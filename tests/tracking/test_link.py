import re
import sys

import numpy as np
import pytest
from helpers.detections import box_at, frame_of, wandering_objects

from res3d.tracking import link_detections
from res3d.tracking.engines import ENGINES


@pytest.mark.parametrize("name", ENGINES)
def test_trackers_of_the_other_package_run_in_our_place(name):
    trackers, supervision = pytest.importorskip("trackers"), pytest.importorskip("supervision")
    frames = wandering_objects(0)
    video = link_detections(frames, engine=name)
    theirs = getattr(trackers, ENGINES[name])()
    expected = set()
    for number, frame in enumerate(frames):
        found = theirs.update(supervision.Detections(xyxy=frame.boxes, confidence=frame.scores))
        expected |= {
            (number, int(i) + 1, tuple(b)) for b, i in zip(found.xyxy.tolist(), found.tracker_id, strict=True) if i >= 0
        }
    ours = {(int(f), t.id, tuple(b)) for t in video.tracks for f, b in zip(t.frames, t.boxes.tolist(), strict=True)}
    assert len(expected) > 40
    assert ours == expected


def test_a_tracker_made_by_the_user_runs_too():
    trackers = pytest.importorskip("trackers")
    frames = [frame_of(box_at(50, 50), keypoints=np.ones((1, 2, 3)))] * 6 + [frame_of()] * 2
    (track,) = link_detections(frames, engine=trackers.SORTTracker(minimum_consecutive_frames=1)).tracks
    assert track.keypoints.shape[1:] == (2, 3)


def test_engines_keep_their_own_settings():
    with pytest.raises(ValueError, match="an engine brings its own settings"):
        link_detections([], engine="sort", max_lost=3)
    with pytest.raises(ValueError, match=re.escape("unknown engine 'deepsort' (accepted: bytetrack, ocsort, sort")):
        link_detections([], engine="deepsort")


def test_a_missing_engine_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "trackers", None)
    with pytest.raises(ImportError, match=re.escape('engines need trackers: pip install "res3d[trackers]"')):
        link_detections([], engine="sort")
