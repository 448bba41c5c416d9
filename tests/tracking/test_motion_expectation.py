import re

import numpy as np
import pytest
from helpers.detections import box_at, frame_of

from res3d.structures import ClipDetections
from res3d.tracking import CostTerm, LinkSettings
from res3d.tracking.candidates import Candidates
from res3d.tracking.motion_expectation import MotionExpectation
from res3d.tracking.pool import TrackPool


class Run:
    """A pool and a motion expectation with one track, which moves 4 pixels per frame from x = 50 in frame 0 on."""

    def __init__(self, frames: int, **changes) -> None:
        self.settings = LinkSettings(**changes)
        self.pool = TrackPool(self.settings)
        self.expectation = MotionExpectation(self.settings, self.pool)
        for n in range(frames):
            keypoints = np.array([[[50.0 + 4 * n, 48, 1]]])
            candidates = Candidates(frame_of(box_at(50 + 4 * n, 50), keypoints=keypoints), np.array([n]), self.settings)
            self.expectation.advance(candidates.frames)
            one = np.array([0])
            if n == 0:
                self.pool.begin(candidates, one, np.zeros(0, bool))
                self.expectation.begin(candidates, one)
            else:
                self.pool.update(one, candidates, one)
                self.expectation.update(one, candidates, one)

    def predicted_x(self) -> float:
        box = self.expectation.predicted(np.array([0])).boxes[0, 0]
        return (box[0] + box[2]) / 2


def test_skipped_frames_are_predicted_one_by_one():
    run = Run(30)
    run.expectation.advance(np.array([30]))
    assert run.predicted_x() == pytest.approx(50 + 4 * 30, abs=0.5)
    run.expectation.advance(np.array([34]))
    assert run.predicted_x() == pytest.approx(50 + 4 * 34, abs=0.5)


def test_without_motion_the_last_box_is_predicted():
    run = Run(30, motion="none")
    run.expectation.advance(np.array([34]))
    assert run.predicted_x() == 50 + 4 * 29


def test_keypoints_are_shifted_with_the_predicted_box():
    run = Run(30, costs=(CostTerm("oks"),))
    run.expectation.advance(np.array([30]))
    objects = run.expectation.extrapolated(np.array([0]))
    assert objects.fields["keypoints"][0, 0, 0] == pytest.approx([run.predicted_x(), 48, 1])


def test_single_frames_do_not_overlap_and_dropped_tracks_are_not_predicted():
    run = Run(3)
    assert run.expectation.overlapping().tolist() == [False]
    run.pool.keep(np.array([False]))
    run.expectation.keep(np.array([False]))
    run.expectation.advance(np.array([9]))
    assert len(run.expectation.predicted(np.zeros(0, np.int64)).boxes) == 0


def test_clips_of_one_frame_are_read_as_frames_and_longer_clips_refused():
    expectation = MotionExpectation(LinkSettings(), TrackPool(LinkSettings()))
    boxes = np.array([[box_at(50, 50), box_at(60, 50)]], np.float32)
    clip = ClipDetections(
        frames=np.array([3, 4]),
        boxes=boxes,
        visible=np.zeros((1, 2), np.float32),
        scores=np.array([0.9], np.float32),
        labels=np.array([1]),
    )
    with pytest.raises(ValueError, match=re.escape("a clip must have 1 frame, not 2")):
        expectation.read(clip)
    single = clip.replace(frames=clip.frames[:1], boxes=boxes[:, :1], visible=clip.visible[:, :1])
    assert expectation.read(single).boxes.tolist() == boxes[:, 0].tolist()
