import numpy as np
import pytest
from helpers.detections import box_at

from res3d.ops import Rle
from res3d.tracking.identity import Identity
from res3d.tracking.timeline import FrameRows, Timeline


def rows_at(*xs: float, visible: list[float] | None = None, **fields) -> FrameRows:
    count = len(xs)
    return FrameRows(
        boxes=np.array([box_at(x, 50) for x in xs], np.float32).reshape(-1, 4),
        scores=fields.pop("scores", np.full(count, 0.9, np.float32)),
        visible=None if visible is None else np.array(visible, np.float32),
        **fields,
    )


def centers(boxes: np.ndarray) -> list[float]:
    return ((boxes[:, 0] + boxes[:, 2]) / 2).tolist()


def confirmed(number: int, label: int = 1) -> Identity:
    identity = Identity([(label, 0.9)])
    identity.confirm(number)
    return identity


def test_frames_are_released_once_in_order_with_their_times():
    timeline = Timeline(0.5)
    timeline.open([0], [0.0])
    timeline.open([2, 3], [0.2, 0.3])
    assert [(frame.frame, frame.time, len(frame)) for frame in timeline.release(3)] == [
        (0, 0.0, 0),
        (1, None, 0),
        (2, 0.2, 0),
    ]
    timeline.open([3, 4])
    assert [(frame.frame, frame.time) for frame in timeline.release()] == [(3, 0.3), (4, None)]
    assert timeline.release() == []


def test_objects_of_tracks_without_an_id_are_left_out():
    timeline = Timeline(0.5)
    timeline.open([0])
    tentative, later = Identity([(1, 0.9)]), Identity([(3, 0.9)])
    timeline.add(0, [tentative, confirmed(2), later], rows_at(10, 20, 30))
    later.confirm(1)
    (frame,) = timeline.release()
    assert frame.ids.tolist() == [1, 2]
    assert frame.labels.tolist() == [3, 1]
    assert centers(frame.boxes) == [30, 20]


def test_objects_are_sorted_by_id_over_all_parts_of_a_frame():
    timeline = Timeline(0.5)
    timeline.open([0])
    timeline.add(0, [confirmed(3), confirmed(1)], rows_at(30, 10))
    timeline.add(0, [confirmed(2)], rows_at(20))
    (frame,) = timeline.release()
    assert frame.ids.tolist() == [1, 2, 3]
    assert centers(frame.boxes) == [10, 20, 30]


def test_a_merged_track_is_released_under_the_id_and_class_of_the_other_track():
    timeline = Timeline(0.5)
    timeline.open([0, 1])
    parent, child = confirmed(1, label=2), Identity([(2, 0.5)])
    timeline.add(0, [parent], rows_at(10))
    timeline.add(1, [child], rows_at(20))
    child.merge_into(parent)
    assert [(frame.ids.tolist(), frame.labels.tolist()) for frame in timeline.release()] == [([1], [2])] * 2


def test_rows_of_one_object_are_averaged_by_visibility():
    masks = [Rle.encode(np.eye(3, dtype=bool)), Rle.encode(np.ones((3, 3), bool))]
    timeline = Timeline(0.5)
    timeline.open([0])
    first, second = confirmed(1), confirmed(2)
    timeline.add(0, [second, first], rows_at(40, 10, visible=[1, 0.3], masks=(masks[0], masks[0])))
    timeline.add(0, [first], rows_at(20, visible=[0.9], masks=(masks[1],), scores=np.array([0.5], np.float32)))
    (frame,) = timeline.release()
    assert frame.ids.tolist() == [1, 2]
    assert centers(frame.boxes) == pytest.approx([(0.3 * 10 + 0.9 * 20) / 1.2, 40])
    assert frame.scores == pytest.approx([(0.3 * 0.9 + 0.9 * 0.5) / 1.2, 0.9])
    assert frame.masks == (masks[1], masks[0])


@pytest.mark.parametrize(("visible_score", "count"), [(0.45, 1), (0.46, 0)])
def test_objects_with_a_low_mean_visibility_are_left_out(visible_score, count):
    timeline = Timeline(visible_score)
    timeline.open([0])
    identity = confirmed(1)
    timeline.add(0, [identity], rows_at(10, visible=[0.9]))
    timeline.add(0, [identity], rows_at(10, visible=[0.01]))
    (frame,) = timeline.release()
    assert len(frame) == count


def test_rows_that_are_all_invisible_are_averaged_equally():
    timeline = Timeline(0.0)
    timeline.open([0])
    identity = confirmed(1)
    timeline.add(0, [identity, identity], rows_at(10, 30, visible=[0, 0]))
    (frame,) = timeline.release()
    assert centers(frame.boxes) == pytest.approx([20])
