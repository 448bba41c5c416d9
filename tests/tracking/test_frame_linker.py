import re

import numpy as np
import pytest
from helpers.detections import box_at, frame_of, wandering_objects
from helpers.tracks import assert_same
from scipy.optimize import linear_sum_assignment

from res3d.ops.similarity import box_iou
from res3d.structures import FrameDetections, Rle, VideoTracks
from res3d.tracking import CostTerm, FrameLinker, LinkSettings, link_detections, stream_detections

EMPTY = frame_of()


def frames_by_id(video: VideoTracks) -> dict[int, list[int]]:
    return {track.id: track.frames.tolist() for track in video.tracks}


def test_objects_that_pass_each_other_keep_their_ids():
    """At frame 10 both have the same box; only their motion distinguishes them."""
    frames = [frame_of(box_at(20 + 4 * n, 100), box_at(100 - 4 * n, 100 + n / 4)) for n in range(21)]
    left, right = link_detections(frames).tracks
    centers = [(track.boxes[:, 0] + track.boxes[:, 2]) / 2 for track in (left, right)]
    assert np.array_equal(centers[0], 20 + 4 * np.arange(21))
    assert np.array_equal(centers[1], 100 - 4 * np.arange(21))


def test_a_gap_is_bridged_by_motion_and_interpolated_linearly():
    points = [[[30.0 + 5 * n, 40, 1], [0, 0, 0]] for n in range(16)]
    frames = [EMPTY if 8 <= n < 12 else frame_of(box_at(30 + 5 * n, 40), keypoints=[points[n]]) for n in range(16)]
    (track,) = link_detections(frames).tracks
    assert track.frames.tolist() == list(range(16))
    assert np.allclose((track.boxes[:, 0] + track.boxes[:, 2]) / 2, 30 + 5 * np.arange(16))
    assert (track.scores == 0).tolist() == [8 <= n < 12 for n in range(16)]
    assert np.allclose(track.keypoints, points)
    (unfilled,) = link_detections(frames, fill_gaps=3).tracks
    assert unfilled.frames.tolist() == [*range(8), *range(12, 16)]


def test_a_track_ends_after_max_lost_frames_without_a_detection():
    frames = [EMPTY if 5 <= n < 15 else frame_of(box_at(50, 50)) for n in range(20)]
    assert frames_by_id(link_detections(frames, max_lost=10, fill_gaps=0)) == {1: [*range(5), *range(15, 20)]}
    assert frames_by_id(link_detections(frames, max_lost=9)) == {1: [*range(5)], 2: [*range(15, 20)]}


def test_lost_reach_uses_the_mean_size_of_an_object_that_was_cut_off_by_the_edge():
    """An object of 40 × 40 leaves by the left edge until 4 columns are visible, and returns 30 pixels lower."""
    leaving = [frame_of([0, 50, max(4, 40 - 4 * n), 90]) for n in range(10)]
    back = [frame_of([0, 80, 4 + 4 * n, 120]) for n in range(10)]
    frames = leaving + [EMPTY] * 3 + back
    (track,) = link_detections(frames, max_lost=5, fill_gaps=0).tracks
    assert len(track) == 20
    assert len(link_detections(frames, max_lost=5, lost_reach=0.5)) == 2


def test_an_object_that_jumps_within_lost_reach_keeps_its_id():
    """It jumps two sizes between frames 5 and 6."""
    frames = [frame_of(box_at(50 if n < 6 else 90, 50)) for n in range(12)]
    assert frames_by_id(link_detections(frames, lost_reach=2.0)) == {1: [*range(12)]}
    assert frames_by_id(link_detections(frames, lost_reach=1.9)) == {1: [*range(6)], 2: [*range(6, 12)]}


def test_an_object_beside_a_lost_one_inherits_its_id_unless_the_lost_one_returns():
    """At frame 8, three frames after the object at 50 was lost, an object appears at 65."""
    lost = [frame_of(box_at(50, 50)) for _ in range(5)] + [EMPTY] * 3
    without_return = lost + [frame_of(box_at(65 + n, 50)) for n in range(20)]
    assert frames_by_id(link_detections(without_return, max_lost=10, fill_gaps=0)) == {1: [*range(5), *range(8, 28)]}
    with_return = lost + [frame_of(box_at(65 + n, 50)) for n in range(4)]
    with_return += [frame_of(box_at(69 + n, 50), box_at(50, 50)) for n in range(8)]
    tracks = frames_by_id(link_detections(with_return, max_lost=30, fill_gaps=0))
    assert tracks == {1: [*range(5), *range(12, 20)], 2: [*range(8, 20)]}


@pytest.mark.parametrize("is_occluded", [True, False])
def test_an_object_that_vanishes_has_jumped_unless_another_object_occludes_it(is_occluded):
    """At frame 6, an object appears one size from the last box of the first object."""
    behind, front, new = box_at(50, 50), box_at(58, 50), box_at(50, 69)
    if is_occluded:
        frames = [frame_of(behind, front) for _ in range(6)] + [frame_of(front, new)] * 8
    else:
        frames = [frame_of(behind) for _ in range(6)] + [frame_of(new)] * 8
    tracks = frames_by_id(link_detections(frames, fill_gaps=0, max_lost=40, costs=(CostTerm("overlap", gate=0.7),)))
    assert tracks == ({1: [*range(6)], 2: [*range(14)], 3: [*range(6, 14)]} if is_occluded else {1: [*range(14)]})


def test_an_object_that_jumps_twice_keeps_its_id():
    """It jumps too far for the motion model at frames 6 and 7; the first jump starts a track that is dropped."""
    xs = [50] * 6 + [80] + [100] * 12
    frames = [EMPTY if n == 5 else frame_of(box_at(x, 50)) for n, x in enumerate(xs)]
    tracks = frames_by_id(link_detections(frames, lost_reach=3.0, max_lost=8, fill_gaps=0))
    assert list(tracks) == [1]
    assert set(tracks[1]) >= {*range(5), *range(7, 19)}


def test_short_tracks_are_dropped_and_ids_have_no_gaps():
    frames = [frame_of(box_at(50, 50), *([box_at(200, 200)] if n < 2 else []), box_at(300, 50)) for n in range(6)]
    assert frames_by_id(link_detections(frames)) == {1: [*range(6)], 2: [*range(6)]}
    assert len(link_detections(frames, min_length=2)) == 3
    assert len(link_detections(frames, min_length=7)) == 0


def test_detections_of_low_score_continue_tracks_and_start_none():
    scores = [0.9] * 5 + [0.2] * 5 + [0.05] * 5
    frames = [frame_of(box_at(50, 50), box_at(200, 50), scores=[s, 0.45]) for s in scores]
    (track,) = link_detections(frames).tracks
    assert track.frames.tolist() == [*range(10)]
    assert track.scores == pytest.approx(np.array(scores[:10]))


def test_boxes_below_min_area_are_ignored():
    frames = [frame_of(box_at(50, 50, 5), box_at(200, 200, 8)) for _ in range(5)]
    assert len(link_detections(frames)) == 2
    assert len(link_detections(frames, min_area=26)) == 1


def test_objects_of_different_classes_are_linked_separately():
    frames = [frame_of(box_at(50, 50), box_at(52, 50), labels=[1, 2] if n % 2 else [2, 1]) for n in range(8)]
    for settings in ({"class_overlap": None}, {"class_overlap": 0.9}):
        tracks = link_detections(frames, **settings).tracks
        assert sorted(track.label for track in tracks) == [1, 2]
        assert all(len(track) == 8 for track in tracks)


def test_an_object_detected_as_two_classes_is_one_track_with_the_class_of_more_votes():
    """Both classes are detected in every frame; class 1 has the higher score in some frames."""
    scores = [[0.9, 0.6] if n % 3 else [0.7, 0.8] for n in range(9)]
    frames = [frame_of(box_at(50, 50), box_at(51, 50), labels=[2, 1], scores=s) for s in scores]
    (track,) = link_detections(frames).tracks
    assert (track.label, len(track)) == (2, 9)
    assert sorted(track.label for track in link_detections(frames, class_overlap=None).tracks) == [1, 2]


def test_an_object_detected_as_another_class_in_some_frames_keeps_its_id():
    frames = [frame_of(box_at(50 + n, 50), labels=[2 if n in (0, 1, 2, 6) else 3]) for n in range(12)]
    (track,) = link_detections(frames).tracks
    assert (track.label, len(track)) == (3, 12)
    assert len(link_detections(frames, class_overlap=None)) > 1


def test_a_detection_below_min_score_of_another_class_has_no_effect():
    frames = [frame_of(box_at(50, 50), box_at(50, 50), labels=[1, 2], scores=[0.9, 0.05]) for _ in range(5)]
    (track,) = link_detections(frames).tracks
    assert track.label == 1


@pytest.mark.parametrize(("final_class", "count"), [(1, 1), (2, 2)])
def test_a_new_track_inherits_an_id_only_if_its_final_class_is_that_of_the_lost_track(final_class, count):
    """Class 1 is lost at 50. An object appears at 65 as class 2 for three frames, then as ``final_class``."""
    frames = [frame_of(box_at(50, 50))] * 8 + [EMPTY] * 2
    frames += [frame_of(box_at(65, 50), labels=[2 if n < 3 else final_class]) for n in range(20)]
    tracks = link_detections(frames, max_lost=10, fill_gaps=0).tracks
    assert len(tracks) == count
    assert [track.label for track in tracks] == [1, 2][:count]
    assert sum(len(track) for track in tracks) == 28
    assert len(link_detections(frames, max_lost=10, class_overlap=None)) > 1


def test_votes_of_merged_tracks_are_added():
    """The object that appears at 65 is the one lost at 50; most of its detections are of class 2."""
    frames = [frame_of(box_at(50, 50))] * 4 + [EMPTY] * 2
    frames += [frame_of(box_at(65, 50))] * 2 + [frame_of(box_at(65, 50), labels=[2])] * 26
    (track,) = link_detections(frames, max_lost=10, fill_gaps=0).tracks
    assert (track.label, len(track)) == (2, 32)


@pytest.mark.parametrize("assignment", ["hungarian", "greedy"])
def test_appearance_distinguishes_objects_that_swap_positions_while_undetected(assignment):
    embeddings = np.array([[1.0, 0, 0], [0, 1, 0]])
    left, right = box_at(50, 50), box_at(62, 50)
    frames = [frame_of(left, right, embeddings=embeddings) for _ in range(5)] + [EMPTY] * 3
    frames += [frame_of(left, right, embeddings=embeddings[::-1]) for _ in range(5)]
    terms = (CostTerm("overlap", gate=0.9), CostTerm("appearance", weight=2))
    first, second = link_detections(frames, costs=terms, assignment=assignment).tracks
    assert first.boxes[-1].tolist() == right
    assert second.boxes[-1].tolist() == left
    first, second = link_detections(frames).tracks
    assert first.boxes[-1].tolist() == left


@pytest.mark.parametrize("name", ["oks", "pck"])
def test_poses_distinguish_objects_with_the_same_boxes(name):
    """One object looks up, the other down; the order of the detections alternates."""
    up, down = np.array([[0.0, -8, 1], [0, 0, 1]]), np.array([[0.0, 8, 1], [4, 4, 1]])

    def frame(n: int) -> FrameDetections:
        x = 50 + 4 * n
        poses = np.stack([up, down]) + np.array([x, 50, 0])
        return frame_of(box_at(x, 50), box_at(x, 50), keypoints=poses[:: 1 if n % 2 else -1])

    for track in link_detections([frame(n) for n in range(10)], costs=(CostTerm(name, gate=0.9),)).tracks:
        assert np.ptp(track.keypoints[:, 0, 1]) == 0


def test_detections_without_a_field_that_a_cost_needs_are_refused():
    frames = [frame_of(box_at(50, 50))] * 5
    with pytest.raises(ValueError, match="the cost 'appearance' needs detections with embeddings"):
        link_detections(frames, costs=(CostTerm("overlap"), CostTerm("appearance")))


def test_tracks_have_the_masks_and_keypoints_of_their_detections():
    masks = [Rle.encode(np.eye(9, dtype=bool)), Rle.encode(np.ones((9, 9), bool))]
    more = {"masks": masks, "keypoints": np.ones((2, 3, 3)), "keypoints_scores": [[1, 2, 3], [4, 5, 6]]}
    frames = [frame_of(box_at(50, 50), box_at(200, 50), **more) for _ in range(4)]
    first, second = link_detections(frames).tracks
    assert set(first.masks) == {masks[0]}
    assert set(second.masks) == {masks[1]}
    assert second.keypoints_scores.tolist() == [[4, 5, 6]] * 4
    assert first.keypoints.shape == (4, 3, 3)


def test_frames_may_lack_keypoints():
    posed = frame_of(box_at(50, 50), keypoints=np.ones((1, 3, 3)))
    frames = [frame_of(box_at(50, 50))] * 2 + [posed] * 2 + [frame_of(box_at(50, 50), box_at(200, 50))] * 4
    first, second = link_detections(frames).tracks
    assert first.keypoints[:, 0, 0].tolist() == [0, 0, 1, 1, 0, 0, 0, 0]
    assert not second.keypoints.any()


# max_tracks


@pytest.mark.slow
def test_the_number_of_ids_is_at_most_max_tracks():
    for seed in range(3):
        frames = wandering_objects(seed)
        for count in (1, 4, 6):
            video = link_detections(frames, max_tracks=count)
            assert len(video) == count
            assert [track.id for track in video.tracks] == list(range(1, count + 1))


def test_with_max_tracks_a_new_object_inherits_the_id_of_a_lost_track_after_any_time():
    frames = [frame_of(box_at(50, 50), box_at(300, 300)) for _ in range(5)] + [frame_of(box_at(50, 50))] * 80
    frames += [frame_of(box_at(50, 50), box_at(200, 100)) for _ in range(5)]
    assert frames_by_id(link_detections(frames, max_tracks=2, fill_gaps=0)) == {
        1: [*range(90)],
        2: [*range(5), *range(85, 90)],
    }
    assert len(link_detections(frames)) == 3


def test_with_max_tracks_a_new_object_inherits_the_id_of_the_nearest_lost_track_in_reach():
    """Two objects are lost. Three frames later an object appears 12 sizes from the first and 4 from the second."""
    frames = [frame_of(box_at(50, 50), box_at(370, 50)) for _ in range(5)] + [EMPTY] * 2
    frames += [frame_of(box_at(290, 50)) for _ in range(10)]
    tracks = frames_by_id(link_detections(frames, max_tracks=2, fill_gaps=0))
    assert tracks == {1: [*range(5)], 2: [*range(5), *range(7, 17)]}
    too_far = frames[:5] + [frame_of(box_at(200, 50))] * 5  # 7.5 and 8.5 sizes in 5 frames
    assert frames_by_id(link_detections(too_far, max_tracks=2)) == {1: [*range(5)], 2: [*range(5)]}


def test_with_max_tracks_an_additional_object_is_left_out():
    frames = [frame_of(box_at(50, 50), box_at(300, 300)) for _ in range(3)]
    frames += [frame_of(box_at(50, 50), box_at(300, 300), box_at(150, 150)) for _ in range(10)]
    assert frames_by_id(link_detections(frames, max_tracks=2)) == {1: [*range(13)], 2: [*range(13)]}


# Detect-and-Track


def detect_and_track_ids(frames: list[FrameDetections]) -> list[list[int]]:
    """Ids of the detections of each frame: score ≥ 0.95, frame to frame, Hungarian on 1 - IoU, all pairs accepted."""
    ids: list[list[int]] = []
    previous_boxes = np.zeros((0, 4))
    previous_ids: list[int] = []
    count = 0
    for frame in frames:
        rows = [
            n
            for n in range(len(frame))
            if frame.scores[n] >= 0.95 and np.prod(frame.boxes[n, 2:] - frame.boxes[n, :2]) >= 50
        ]
        boxes = frame.boxes[rows]
        frame_ids = [0] * len(boxes)
        for a, b in zip(*linear_sum_assignment(1 - box_iou(previous_boxes, boxes)), strict=True):
            frame_ids[b] = previous_ids[a]
        for n in range(len(frame_ids)):
            if frame_ids[n] == 0:
                count += 1
                frame_ids[n] = count
        ids.append(frame_ids)
        previous_boxes, previous_ids = boxes, frame_ids
    return ids


@pytest.mark.parametrize("seed", range(3))
def test_preset_detect_and_track_links_as_the_original(seed):
    rng = np.random.default_rng(seed)
    frames = []
    for frame in wandering_objects(
        seed, side=900.0
    ):  # all boxes overlap, so that no two assignments have the same cost
        scores = np.where(rng.random(len(frame)) < 0.8, 0.99, 0.5)
        frames.append(FrameDetections(boxes=frame.boxes, scores=scores.astype(np.float32), labels=frame.labels))
    expected = detect_and_track_ids(frames)
    video = link_detections(frames, settings="detect_and_track")
    id_of_box = {}  # the order of new ids within a frame may differ, so objects are identified by their boxes
    for track in video.tracks:
        for frame, box in zip(track.frames, track.boxes, strict=True):
            id_of_box[int(frame), tuple(box.tolist())] = track.id
    pairs = set()
    for number, (frame, ids) in enumerate(zip(frames, expected, strict=True)):
        boxes = frame.boxes[frame.scores >= 0.95]
        assert len(boxes) == len(ids)
        pairs |= {(id_of_box[number, tuple(box.tolist())], i) for box, i in zip(boxes, ids, strict=True)}
    assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})


# streaming


@pytest.fixture(scope="module")
def long_video() -> list[FrameDetections]:
    return wandering_objects(0, frames=160)


@pytest.mark.parametrize("changes", [{}, {"max_tracks": 4}, {"fill_gaps": 0, "min_length": 1}, {"max_lost": 0}])
def test_a_stream_yields_every_frame_once_in_order_with_bounded_delay(changes, long_video):
    frames = long_video
    linker = FrameLinker(LinkSettings.of("default", changes))
    released, delays = [], []
    for n, frame in enumerate(frames):
        released += linker.push(frame)
        delays.append(n + 1 - len(released))
    released += linker.finish()
    assert [frame.frame for frame in released] == list(range(160))
    assert max(delays) <= 40  # frames: max_lost and a few more, whatever the length of the video
    assert_same(VideoTracks.from_frames(released), link_detections(frames, **changes))
    assert len(list(stream_detections(frames, **changes))) == 160


def test_the_buffers_of_a_stream_do_not_grow():
    linker = FrameLinker(LinkSettings())
    sizes = []
    for n in range(800):  # every 40 frames, the object leaves and another one appears
        for _ in linker.push(frame_of(box_at(n % 40 * 10, 50 + 40 * (n // 40 % 2)))):
            pass
        sizes.append((len(linker._pool), len(linker._timeline._frames)))
    assert max(sizes[400:]) <= max(sizes[:400])
    assert max(pool for pool, _ in sizes) < 8


# edge cases and invalid input


def test_a_video_without_frames_or_without_detections_has_no_tracks():
    assert link_detections([]).num_frames == 0
    video = link_detections([{"boxes": []}] * 5)
    assert (video.num_frames, len(video)) == (5, 0)
    assert len(link_detections([frame_of(box_at(5, 5))])) == 0
    assert len(link_detections([frame_of(box_at(5, 5))], min_length=1)) == 1


def test_error_names_the_frame_with_invalid_detections():
    valid, invalid = {"boxes": [box_at(5, 5)]}, {"boxes": [[5, 5, 1, 1]]}
    with pytest.raises(ValueError, match=re.escape("frame 2: a box must be finite x1, y1, x2, y2")):
        link_detections([valid, valid, invalid])
    with pytest.raises(ValueError, match="unknown setting 'max_track'; did you mean 'max_tracks'"):
        link_detections([valid], max_track=2)
