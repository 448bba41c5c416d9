import numpy as np
import pytest
from helpers.detections import box_at, frame_of

from res3d.structures import ClipDetections
from res3d.tracking import CostTerm, LinkSettings
from res3d.tracking.candidates import Candidates
from res3d.tracking.pool import TrackPool


class Scenario:
    """A pool of tracks, and the frame-by-frame operations of a linker with matches chosen by the test."""

    def __init__(self, **changes) -> None:
        self.settings = LinkSettings(**{"lost_reach": 2.0, **changes})
        self.pool = TrackPool(self.settings)

    def step(
        self,
        frame: int,
        *boxes: list[float],
        rows: tuple[int, ...] = (),
        occluded: tuple[int, ...] = (),
        **fields,
    ) -> None:
        """Continue the tracks at ``rows`` with the first boxes of a frame, start tracks with the others, and decide."""
        candidates = Candidates(frame_of(*boxes, **fields), np.array([frame]), self.settings)
        hidden = np.isin(np.arange(len(self.pool)), occluded)
        if rows:
            self.pool.update(np.array(rows), candidates, np.arange(len(rows)))
        if len(boxes) > len(rows):
            self.pool.begin(candidates, np.arange(len(rows), len(boxes)), hidden)
        self.pool.decide(frame)

    def drop_expired(self, frame: int) -> None:
        self.pool.keep(~self.pool.expired(frame))

    @property
    def ids(self) -> list[int | None]:
        return [identity.id for identity in self.pool.identities]


def test_a_track_is_confirmed_and_gets_the_next_id_after_min_length_detections():
    scenario = Scenario(min_length=3)
    scenario.step(0, box_at(50, 50), box_at(300, 50))
    scenario.step(1, box_at(50, 50), box_at(300, 50), rows=(0, 1))
    assert scenario.ids == [None, None]
    scenario.step(2, box_at(300, 50), rows=(1,))
    assert scenario.ids == [None, 1]
    scenario.step(3, box_at(50, 50), rows=(0,))
    assert scenario.ids == [2, 1]
    assert scenario.pool.confirmed.tolist() == [True, True]
    assert scenario.pool.hits.tolist() == [3, 3]
    assert scenario.pool.last_frames.tolist() == [3, 2]


def test_of_tracks_that_are_confirmed_together_the_one_with_more_hits_gets_the_lower_id():
    settings = LinkSettings(min_length=2)
    pool = TrackPool(settings)
    clip = ClipDetections(
        frames=np.arange(4),
        boxes=np.array([[box_at(x, 50)] * 4 for x in (50, 150, 250)], np.float32),
        visible=np.array([[1, 1, 0, 0], [1, 1, 1, 1], [1, 0, 0, 0]], np.float32),
        scores=np.full(3, 0.9, np.float32),
        labels=np.ones(3, np.int64),
    )
    pool.begin(Candidates(clip, clip.frames, settings), np.arange(3), np.zeros(0, bool))
    pool.decide(0)
    assert [identity.id for identity in pool.identities] == [2, 1, None]
    assert pool.clip_ends.tolist() == [3, 3, 3]
    assert pool.last_frames.tolist() == [1, 3, 0]


def test_sizes_and_embeddings_are_running_means_and_keypoints_the_latest_ones():
    scenario = Scenario(costs=(CostTerm("appearance"), CostTerm("oks")))
    keypoints = np.array([[[1.0, 2, 1]]])
    scenario.step(0, box_at(50, 50, 20), embeddings=[[1.0, 0]], keypoints=keypoints)
    scenario.step(1, box_at(60, 50, 10), rows=(0,), embeddings=[[0.0, 1]], keypoints=keypoints + 4)
    pool = scenario.pool
    assert pool.sizes == pytest.approx([0.9 * 20 + 0.1 * 10])
    assert pool.fields["embeddings"] == pytest.approx(np.array([[0.9, 0.1]]))
    assert pool.fields["keypoints"].tolist() == (keypoints + 4).tolist()
    assert pool.boxes.tolist() == [box_at(60, 50, 10)]


def test_objects_at_new_boxes_have_shifted_keypoints():
    scenario = Scenario(costs=(CostTerm("oks"),))
    scenario.step(0, box_at(50, 50), box_at(90, 50), keypoints=np.array([[[50.0, 45, 1]], [[90.0, 45, 1]]]))
    boxes = np.array([[box_at(100, 50), box_at(110, 60)]])
    objects = scenario.pool.objects_at(np.array([1]), boxes)
    assert objects.fields["keypoints"].tolist() == [[[[100, 45, 1]], [[110, 55, 1]]]]
    assert objects.visible.tolist() == [[1, 1]]


def test_tentative_tracks_expire_after_min_length_frames_and_confirmed_ones_after_max_lost():
    scenario = Scenario(min_length=2, max_lost=4)
    scenario.step(0, box_at(50, 50))
    scenario.step(1, box_at(50, 50), box_at(300, 50), rows=(0,))
    assert [scenario.pool.expired(frame).tolist() for frame in (3, 4, 5, 6)] == [
        [False, False],
        [False, True],
        [False, True],
        [True, True],
    ]


def test_with_max_tracks_confirmed_tracks_do_not_expire():
    scenario = Scenario(min_length=1, max_lost=4, max_tracks=2)
    scenario.step(0, box_at(50, 50))
    assert scenario.pool.expired(1000).tolist() == [False]


def test_frames_are_undecided_from_the_start_of_a_tentative_track_or_of_a_gap():
    scenario = Scenario(min_length=2, fill_gaps=3)
    scenario.step(4, box_at(50, 50))
    assert scenario.pool.undecided_from(4) == 4
    scenario.step(5, box_at(50, 50), rows=(0,))
    assert scenario.pool.undecided_from(5) == 6
    assert scenario.pool.undecided_from(7) == 6  # a detection in frame 8 would fill the gap of 6 and 7
    assert scenario.pool.undecided_from(9) == 10


def lost_parent(**changes) -> Scenario:
    """A confirmed track (row 0) at x = 50 in frames 0 and 1; a new track (row 1) at x = 70 starts in frame 3."""
    scenario = Scenario(**{"min_length": 2, "max_lost": 4, **changes})
    scenario.step(0, box_at(50, 50))
    scenario.step(1, box_at(50, 50), rows=(0,))
    scenario.step(3, box_at(70, 50))
    return scenario


def test_a_new_track_near_a_lost_one_waits_for_its_parent_and_inherits_the_id():
    scenario = lost_parent()
    assert scenario.pool.parents[1] is scenario.pool.identities[0]
    for frame in (4, 5):
        scenario.step(frame, box_at(70, 50), rows=(1,))
        assert scenario.ids == [1, None]
    assert scenario.pool.undecided_from(5) == 2  # frame 2 may be filled, frame 3 has no id yet
    scenario.step(6, box_at(70, 50), rows=(1,))
    assert scenario.ids == [1, 1]
    assert scenario.pool.superseded.tolist() == [True, False]
    scenario.drop_expired(6)
    assert scenario.ids == [1]


def test_a_child_gets_a_new_id_if_its_parent_is_detected_again():
    scenario = lost_parent()
    scenario.step(4, box_at(50, 50), box_at(70, 50), rows=(0, 1))
    assert scenario.pool.parents.tolist() == [None, None]
    assert scenario.ids == [1, 2]


def test_parents_are_resolved_at_the_end_of_the_video():
    scenario = lost_parent()
    scenario.step(4, box_at(70, 50), rows=(1,))
    scenario.pool.decide(None)
    assert scenario.ids == [1, 1]


@pytest.mark.parametrize(
    "changes",
    [
        {"lost_reach": 0.0},
        {"lost_reach": 0.9},  # the distance is one size
    ],
)
def test_lost_tracks_out_of_reach_are_no_parents(changes):
    assert lost_parent(**changes).pool.parents.tolist() == [None, None]


def test_occluded_tracks_are_no_parents():
    scenario = Scenario(min_length=1)
    scenario.step(0, box_at(50, 50))
    scenario.step(2, box_at(70, 50), occluded=(0,))
    assert scenario.pool.parents.tolist() == [None, None]


def test_a_lost_track_is_the_parent_of_the_nearest_new_track_only():
    scenario = Scenario(min_length=1)
    scenario.step(0, box_at(50, 50))
    scenario.step(2, box_at(75, 50), box_at(70, 50))
    assert scenario.pool.parents.tolist() == [None, None, scenario.pool.identities[0]]
    scenario.step(3, box_at(60, 50), box_at(75, 50), box_at(70, 50), rows=(1, 2))
    assert scenario.pool.parents[3] is None


def test_a_parent_of_another_class_is_found_beside_other_lost_tracks():
    scenario = Scenario(min_length=1)
    scenario.step(0, box_at(50, 50), box_at(900, 900))
    scenario.step(2, box_at(60, 50), labels=[2])
    assert scenario.pool.parents[2] is scenario.pool.identities[0]


def test_a_parent_of_the_same_class_is_preferred_to_a_nearer_one():
    scenario = Scenario(min_length=1)
    scenario.step(0, box_at(50, 50), box_at(80, 50), labels=[1, 2])
    scenario.step(2, box_at(57, 50), labels=[2])
    assert scenario.pool.parents[2] is scenario.pool.identities[1]


def test_a_child_inherits_the_id_only_with_the_class_of_its_parent():
    scenario = Scenario(min_length=1, max_lost=2)
    scenario.step(0, box_at(50, 50), labels=[1])
    scenario.step(2, box_at(60, 50), labels=[2])
    assert scenario.pool.parents[1] is scenario.pool.identities[0]
    scenario.step(3, box_at(60, 50), rows=(1,), labels=[2])
    assert scenario.ids == [1, 2]
    separate = Scenario(min_length=1, class_overlap=None)
    separate.step(0, box_at(50, 50), labels=[1])
    separate.step(2, box_at(60, 50), labels=[2])
    assert separate.pool.parents.tolist() == [None, None]


def full_pool() -> Scenario:
    """Both ids of two objects are assigned; they are lost at x = 50 and x = 500 after frame 0."""
    scenario = Scenario(min_length=1, max_tracks=2, lost_reach=0.0)
    scenario.step(0, box_at(50, 50), box_at(500, 50))
    assert scenario.pool.is_full
    return scenario


def test_with_all_ids_assigned_a_new_track_inherits_that_of_the_nearest_lost_track():
    scenario = full_pool()
    scenario.step(10, box_at(400, 50))
    assert scenario.ids == [1, 2, 2]
    assert scenario.pool.superseded.tolist() == [False, True, False]


def test_with_all_ids_assigned_a_new_track_waits_until_a_lost_track_is_in_reach():
    """The reach is one size (20 pixels) per frame; the new track is 200 pixels from the second lost track."""
    scenario = full_pool()
    scenario.step(9, box_at(300, 50))
    assert scenario.ids == [1, 2, None]
    scenario.step(11, box_at(300, 50), rows=(2,))
    assert scenario.ids == [1, 2, 2]


def test_with_all_ids_assigned_tracks_that_can_inherit_none_expire():
    scenario = full_pool()
    scenario.step(1, box_at(50, 50), box_at(500, 50), box_at(250, 50), rows=(0, 1))
    scenario.drop_expired(1)
    assert scenario.ids == [1, 2]


def test_the_last_box_is_that_of_the_latest_visible_frame():
    """The second clip shows the object in earlier frames than the first one."""
    settings = LinkSettings()
    pool = TrackPool(settings)

    def clip(start: int, visible: list[float]) -> Candidates:
        detections = ClipDetections(
            frames=np.arange(start, start + 4),
            boxes=np.array([[box_at(start + t, 50) for t in range(4)]], np.float32),
            visible=np.array([visible], np.float32),
            scores=np.array([0.9], np.float32),
            labels=np.array([1]),
        )
        return Candidates(detections, detections.frames, settings)

    pool.begin(clip(0, [1, 1, 1, 1]), np.array([0]), np.zeros(0, bool))
    pool.update(np.array([0]), clip(2, [1, 0, 0, 0]), np.array([0]))
    assert pool.last_frames.tolist() == [3]
    assert pool.boxes.tolist() == [box_at(3, 50)]
    assert pool.clip_ends.tolist() == [5]
    assert pool.hits.tolist() == [4]


def test_frames_without_detections_start_no_tracks():
    scenario = Scenario()
    scenario.step(0)
    assert len(scenario.pool) == 0
    assert scenario.pool.undecided_from(0) == 1
