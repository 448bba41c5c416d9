import numpy as np
from helpers.detections import box_at, frame_of

from res3d.structures import FrameDetections
from res3d.tracking import LinkSettings
from res3d.tracking.classes import suppress_across_classes
from res3d.tracking.objects import Objects


def suppress(frame: FrameDetections, **changes):
    objects = Objects(boxes=frame.boxes[:, None], visible=np.ones((len(frame), 1)))
    indices, votes = suppress_across_classes(frame, objects, LinkSettings(**changes))
    rounded = [[(label, round(score, 3)) for label, score in each] for each in votes]
    return (None if indices is None else indices.tolist()), rounded


def test_the_best_detection_of_an_object_remains_with_the_votes_of_all():
    boxes = [box_at(50, 50), box_at(51, 50), box_at(200, 50), box_at(52, 50)]
    indices, votes = suppress(frame_of(*boxes, labels=[1, 2, 2, 3], scores=[0.6, 0.9, 0.8, 0.3]))
    assert indices == [1, 2]
    assert votes == [[(2, 0.9), (1, 0.6), (3, 0.3)], [(2, 0.8)]]


def test_detections_of_one_class_do_not_suppress_each_other():
    boxes = [box_at(50, 50), box_at(50, 50), box_at(50, 50)]
    assert suppress(frame_of(*boxes[:2], scores=[0.9, 0.8])) == (None, [[(1, 0.9)], [(1, 0.8)]])
    indices, votes = suppress(frame_of(*boxes, labels=[1, 1, 2], scores=[0.9, 0.8, 0.7]))
    assert indices == [0, 1]
    assert votes == [[(1, 0.9), (2, 0.7)], [(1, 0.8)]]


def test_a_suppressed_detection_suppresses_no_other():
    """The IoU of neighbors is 0.74, that of the first and the last 0.54."""
    boxes = [box_at(50, 50), box_at(53, 50), box_at(56, 50)]
    indices, votes = suppress(frame_of(*boxes, labels=[1, 2, 3], scores=[0.9, 0.8, 0.7]))
    assert indices == [0, 2]
    assert votes == [[(1, 0.9), (2, 0.8)], [(3, 0.7)]]


def test_the_overlap_of_one_object_is_class_overlap():
    frame = frame_of(box_at(50, 50), box_at(53, 50), labels=[1, 2], scores=[0.9, 0.8])  # IoU 0.74
    assert suppress(frame, class_overlap=0.73)[0] == [0]
    assert suppress(frame, class_overlap=0.75)[0] == [0, 1]
    assert suppress(frame, class_overlap=None)[0] is None


def test_detections_below_min_score_take_no_part():
    frame = frame_of(box_at(50, 50), box_at(50, 50), box_at(90, 50), labels=[1, 2, 3], scores=[0.9, 0.05, 0.9])
    indices, votes = suppress(frame)
    assert indices == [0, 1, 2]
    assert votes == [[(1, 0.9)], [(2, 0.05)], [(3, 0.9)]]
