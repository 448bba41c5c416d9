import re

import numpy as np
import pytest
from helpers.detections import box_at, frame_of, wandering_objects
from helpers.tracks import assert_same
from scipy.optimize import linear_sum_assignment

from res3d.ops.similarity import box_iou
from res3d.structures import FrameDetections, Rle, VideoTracks
from res3d.tracking import CostTerm, FrameLinker, LinkSettings, link_detections, stream_detections

NOTHING = frame_of()


def where(video: VideoTracks) -> dict[int, list[int]]:
    """Frames by id."""
    return {track.id: track.frames.tolist() for track in video.tracks}


def test_two_that_pass_each_other_keep_their_ids():
    """At frame 10 they are in the same place; only their motion tells them apart."""
    frames = [frame_of(box_at(20 + 4 * n, 100), box_at(100 - 4 * n, 100 + n / 4)) for n in range(21)]
    left, right = link_detections(frames).tracks
    centers = [(track.boxes[:, 0] + track.boxes[:, 2]) / 2 for track in (left, right)]
    assert np.array_equal(centers[0], 20 + 4 * np.arange(21))
    assert np.array_equal(centers[1], 100 - 4 * np.arange(21))


def test_a_gap_is_bridged_by_motion_and_filled_in_a_straight_line():
    points = [[[30.0 + 5 * n, 40, 1], [0, 0, 0]] for n in range(16)]
    frames = [NOTHING if 8 <= n < 12 else frame_of(box_at(30 + 5 * n, 40), keypoints=[points[n]]) for n in range(16)]
    (track,) = link_detections(frames).tracks
    assert track.frames.tolist() == list(range(16))
    assert np.allclose((track.boxes[:, 0] + track.boxes[:, 2]) / 2, 30 + 5 * np.arange(16))
    assert (track.scores == 0).tolist() == [8 <= n < 12 for n in range(16)]
    assert np.allclose(track.keypoints, points)
    (bare,) = link_detections(frames, fill_gaps=3).tracks
    assert bare.frames.tolist() == [*range(8), *range(12, 16)]


def test_what_is_lost_for_longer_than_max_lost_is_another():
    frames = [NOTHING if 5 <= n < 15 else frame_of(box_at(50, 50)) for n in range(20)]
    assert where(link_detections(frames, max_lost=10, fill_gaps=0)) == {1: [*range(5), *range(15, 20)]}
    assert where(link_detections(frames, max_lost=9)) == {1: [*range(5)], 2: [*range(15, 20)]}


def test_what_was_cut_off_before_it_was_lost_reaches_as_far_as_when_it_was_whole():
    """One of 40 × 40 leaves by the left edge until 4 columns of it are seen, and is back 30 pixels below."""
    leaving = [frame_of([0, 50, max(4, 40 - 4 * n), 90]) for n in range(10)]
    back = [frame_of([0, 80, 4 + 4 * n, 120]) for n in range(10)]
    frames = leaving + [NOTHING] * 3 + back
    (track,) = link_detections(frames, max_lost=5, fill_gaps=0).tracks
    assert len(track) == 20
    assert len(link_detections(frames, max_lost=5, lost_reach=0.5)) == 2


def test_what_jumps_is_followed_within_reach():
    """A jump of two sizes between frames 5 and 6."""
    frames = [frame_of(box_at(50 if n < 6 else 90, 50)) for n in range(12)]
    assert where(link_detections(frames, lost_reach=2.0)) == {1: [*range(12)]}
    assert where(link_detections(frames, lost_reach=1.9)) == {1: [*range(6)], 2: [*range(6, 12)]}


def test_one_that_appears_beside_a_lost_one_is_the_same_if_that_never_comes_back():
    """At frame 8, three frames after the one at 50 was lost, one appears at 65."""
    lost = [frame_of(box_at(50, 50)) for _ in range(5)] + [NOTHING] * 3
    never = lost + [frame_of(box_at(65 + n, 50)) for n in range(20)]
    assert where(link_detections(never, max_lost=10, fill_gaps=0)) == {1: [*range(5), *range(8, 28)]}
    back = lost + [frame_of(box_at(65 + n, 50)) for n in range(4)]
    back += [frame_of(box_at(69 + n, 50), box_at(50, 50)) for n in range(8)]
    tracks = where(link_detections(back, max_lost=30, fill_gaps=0))
    assert tracks == {1: [*range(5), *range(12, 20)], 2: [*range(8, 20)]}


@pytest.mark.parametrize("stays", [True, False])
def test_one_that_is_hidden_is_waited_for_and_one_that_vanished_in_the_open_jumped(stays):
    """At frame 6 something turns up one size from where the first was last seen; a second stands in front, or not."""
    behind, front, new = box_at(50, 50), box_at(58, 50), box_at(50, 69)
    frames = [frame_of(behind, front) for _ in range(6)]
    frames += [frame_of(front, new)] * 8
    if not stays:
        frames = [frame_of(behind) for _ in range(6)] + [frame_of(new)] * 8
    tracks = where(link_detections(frames, fill_gaps=0, max_lost=40, costs=(CostTerm("overlap", gate=0.7),)))
    assert tracks == ({1: [*range(6)], 2: [*range(14)], 3: [*range(6, 14)]} if stays else {1: [*range(14)]})


def test_what_jumps_twice_is_followed_through_a_track_too_short_to_be_one():
    """It jumps beyond its reach by motion at frames 6 and 7; the two new beginnings are the same object."""
    places = [50] * 6 + [80] + [100] * 12
    frames = [NOTHING if n == 5 else frame_of(box_at(place, 50)) for n, place in enumerate(places)]
    tracks = where(link_detections(frames, lost_reach=3.0, max_lost=8, fill_gaps=0))
    assert list(tracks) == [1]
    assert set(tracks[1]) >= {*range(5), *range(7, 19)}


def test_short_tracks_are_dropped_and_leave_no_hole_in_the_ids():
    frames = [frame_of(box_at(50, 50), *([box_at(200, 200)] if n < 2 else []), box_at(300, 50)) for n in range(6)]
    assert where(link_detections(frames)) == {1: [*range(6)], 2: [*range(6)]}
    assert len(link_detections(frames, min_length=2)) == 3
    assert len(link_detections(frames, min_length=7)) == 0


def test_a_low_score_goes_on_with_a_track_and_starts_none():
    scores = [0.9] * 5 + [0.2] * 5 + [0.05] * 5
    frames = [frame_of(box_at(50, 50), box_at(200, 50), scores=[s, 0.45]) for s in scores]
    (track,) = link_detections(frames).tracks
    assert track.frames.tolist() == [*range(10)]
    assert track.scores == pytest.approx(np.array(scores[:10]))


def test_small_boxes_are_not_looked_at():
    frames = [frame_of(box_at(50, 50, 5), box_at(200, 200, 8)) for _ in range(5)]
    assert len(link_detections(frames)) == 2
    assert len(link_detections(frames, min_area=26)) == 1


def test_classes_are_linked_apart():
    frames = [frame_of(box_at(50, 50), box_at(52, 50), labels=[1, 2] if n % 2 else [2, 1]) for n in range(8)]
    for apart in ({"class_overlap": None}, {"class_overlap": 0.9}):
        tracks = link_detections(frames, **apart).tracks
        assert sorted(track.label for track in tracks) == [1, 2]
        assert all(len(track) == 8 for track in tracks)


def test_one_object_found_as_two_classes_is_one_track_of_the_class_with_more_votes():
    """The second class is found beside the first everywhere, and is the better one at times."""
    scores = [[0.9, 0.6] if n % 3 else [0.7, 0.8] for n in range(9)]
    frames = [frame_of(box_at(50, 50), box_at(51, 50), labels=[2, 1], scores=s) for s in scores]
    (track,) = link_detections(frames).tracks
    assert (track.label, len(track)) == (2, 9)
    assert sorted(track.label for track in link_detections(frames, class_overlap=None).tracks) == [1, 2]


def test_an_object_that_changes_its_class_for_a_while_keeps_its_id():
    frames = [frame_of(box_at(50 + n, 50), labels=[2 if n in (0, 1, 2, 6) else 3]) for n in range(12)]
    (track,) = link_detections(frames).tracks
    assert (track.label, len(track)) == (3, 12)
    assert len(link_detections(frames, class_overlap=None)) > 1


def test_a_low_finding_of_another_class_neither_starts_nor_hides_a_track():
    frames = [frame_of(box_at(50, 50), box_at(50, 50), labels=[1, 2], scores=[0.9, 0.05]) for _ in range(5)]
    (track,) = link_detections(frames).tracks
    assert track.label == 1


@pytest.mark.parametrize(("sure", "count"), [(1, 1), (2, 2)])
def test_one_that_comes_back_is_the_lost_one_if_its_class_turns_out_the_same(sure, count):
    """Lost at 50, one appears at 65 that is taken for class 2 for three frames, and then for class ``sure``."""
    frames = [frame_of(box_at(50, 50))] * 8 + [NOTHING] * 2
    frames += [frame_of(box_at(65, 50), labels=[2 if n < 3 else sure]) for n in range(20)]
    tracks = link_detections(frames, max_lost=10, fill_gaps=0).tracks
    assert len(tracks) == count
    assert [track.label for track in tracks] == [1, 2][:count]
    assert sum(len(track) for track in tracks) == 28
    assert len(link_detections(frames, max_lost=10, class_overlap=None)) > 1


def test_the_votes_of_one_that_turns_out_to_be_another_are_counted_together():
    """The one that appears at 65 is the one that was lost at 50; most of its frames say that it is of class 2."""
    frames = [frame_of(box_at(50, 50))] * 4 + [NOTHING] * 2
    frames += [frame_of(box_at(65, 50))] * 2 + [frame_of(box_at(65, 50), labels=[2])] * 26
    (track,) = link_detections(frames, max_lost=10, fill_gaps=0).tracks
    assert (track.label, len(track)) == (2, 32)


@pytest.mark.parametrize("assignment", ["hungarian", "greedy"])
def test_appearance_tells_apart_what_boxes_cannot(assignment):
    """Two swap places while out of sight."""
    looks = np.array([[1.0, 0, 0], [0, 1, 0]])
    here, there = box_at(50, 50), box_at(62, 50)
    frames = [frame_of(here, there, embeddings=looks) for _ in range(5)] + [NOTHING] * 3
    frames += [frame_of(here, there, embeddings=looks[::-1]) for _ in range(5)]
    terms = (CostTerm("overlap", gate=0.9), CostTerm("appearance", weight=2))
    first, second = link_detections(frames, costs=terms, assignment=assignment).tracks
    assert first.boxes[-1].tolist() == there
    assert second.boxes[-1].tolist() == here
    first, second = link_detections(frames).tracks
    assert first.boxes[-1].tolist() == here


@pytest.mark.parametrize("name", ["oks", "pck"])
def test_poses_tell_apart_what_boxes_cannot(name):
    """Two in one box, of which one looks up and the other down, move on; the detector changes their order."""
    up, down = np.array([[0.0, -8, 1], [0, 0, 1]]), np.array([[0.0, 8, 1], [4, 4, 1]])

    def frame(n: int) -> FrameDetections:
        x = 50 + 4 * n
        poses = np.stack([up, down]) + np.array([x, 50, 0])
        return frame_of(box_at(x, 50), box_at(x, 50), keypoints=poses[:: 1 if n % 2 else -1])

    for track in link_detections([frame(n) for n in range(10)], costs=(CostTerm(name, gate=0.9),)).tracks:
        assert np.ptp(track.keypoints[:, 0, 1]) == 0


def test_the_cost_of_embeddings_that_are_missing_is_refused():
    frames = [frame_of(box_at(50, 50))] * 5
    with pytest.raises(ValueError, match="the cost 'appearance' needs detections with embeddings"):
        link_detections(frames, costs=(CostTerm("overlap"), CostTerm("appearance")))


def test_everything_a_detection_has_reaches_its_track():
    masks = [Rle.encode(np.eye(9, dtype=bool)), Rle.encode(np.ones((9, 9), bool))]
    more = {"masks": masks, "keypoints": np.ones((2, 3, 3)), "keypoints_scores": [[1, 2, 3], [4, 5, 6]]}
    frames = [frame_of(box_at(50, 50), box_at(200, 50), **more) for _ in range(4)]
    first, second = link_detections(frames).tracks
    assert set(first.masks) == {masks[0]}
    assert set(second.masks) == {masks[1]}
    assert second.keypoints_scores.tolist() == [[4, 5, 6]] * 4
    assert first.keypoints.shape == (4, 3, 3)


def test_poses_that_come_and_go_do_not_disturb():
    posed = frame_of(box_at(50, 50), keypoints=np.ones((1, 3, 3)))
    frames = [frame_of(box_at(50, 50))] * 2 + [posed] * 2 + [frame_of(box_at(50, 50), box_at(200, 50))] * 4
    first, second = link_detections(frames).tracks
    assert first.keypoints[:, 0, 0].tolist() == [0, 0, 1, 1, 0, 0, 0, 0]
    assert not second.keypoints.any()


# a known number of objects


def test_there_are_never_more_ids_than_max_tracks():
    for seed in range(3):
        for count in (1, 4, 6):
            video = link_detections(wandering_objects(seed), max_tracks=count)
            assert len(video) == count
            assert [track.id for track in video.tracks] == list(range(1, count + 1))


def test_with_max_tracks_the_lost_are_kept_for_good_and_what_turns_up_is_one_of_them():
    frames = [frame_of(box_at(50, 50), box_at(300, 300)) for _ in range(5)] + [frame_of(box_at(50, 50))] * 80
    frames += [frame_of(box_at(50, 50), box_at(200, 100)) for _ in range(5)]
    assert where(link_detections(frames, max_tracks=2, fill_gaps=0)) == {
        1: [*range(90)],
        2: [*range(5), *range(85, 90)],
    }
    assert len(link_detections(frames)) == 3


def test_the_nearest_of_the_lost_comes_back_and_not_sooner_than_it_can():
    """Two are lost. One turns up 12 sizes from the first, 4 from the second, three frames later."""
    frames = [frame_of(box_at(50, 50), box_at(370, 50)) for _ in range(5)] + [NOTHING] * 2
    frames += [frame_of(box_at(290, 50)) for _ in range(10)]
    tracks = where(link_detections(frames, max_tracks=2, fill_gaps=0))
    assert tracks == {1: [*range(5)], 2: [*range(5), *range(7, 17)]}
    soon = frames[:5] + [frame_of(box_at(200, 50))] * 5  # 7.5 and 8.5 sizes in 5 frames: nobody's
    assert where(link_detections(soon, max_tracks=2)) == {1: [*range(5)], 2: [*range(5)]}


def test_with_max_tracks_a_surplus_object_is_left_out():
    frames = [frame_of(box_at(50, 50), box_at(300, 300)) for _ in range(3)]
    frames += [frame_of(box_at(50, 50), box_at(300, 300), box_at(150, 150)) for _ in range(10)]
    assert where(link_detections(frames, max_tracks=2)) == {1: [*range(13)], 2: [*range(13)]}


# Detect-and-Track's own


def track_as_the_original(frames: list[FrameDetections]) -> list[list[int]]:
    """Ids of the detections of each frame: score ≥ 0.95, frame to frame, Hungarian on 1 - IoU, all pairs accepted."""
    ids: list[list[int]] = []
    before = np.zeros((0, 4))
    known: list[int] = []
    count = 0
    for frame in frames:
        keep = [
            n
            for n in range(len(frame))
            if frame.scores[n] >= 0.95 and np.prod(frame.boxes[n, 2:] - frame.boxes[n, :2]) >= 50
        ]
        boxes = frame.boxes[keep]
        now = [0] * len(boxes)
        for a, b in zip(*linear_sum_assignment(1 - box_iou(before, boxes)), strict=True):
            now[b] = known[a]
        for n in range(len(now)):
            if now[n] == 0:
                count += 1
                now[n] = count
        ids.append(now)
        before, known = boxes, now
    return ids


@pytest.mark.parametrize("seed", range(3))
def test_frame_to_frame_linking_is_the_originals(seed):
    rng = np.random.default_rng(seed)
    frames = []
    for frame in wandering_objects(seed, side=900.0):  # all overlap: no two assignments cost the same
        high = np.where(rng.random(len(frame)) < 0.8, 0.99, 0.5)
        frames.append(FrameDetections(boxes=frame.boxes, scores=high.astype(np.float32), labels=frame.labels))
    expected = track_as_the_original(frames)
    ours = link_detections(frames, settings="detect_and_track")
    of_box = {}  # ids may be given in another order within a frame: boxes tell who is who
    for track in ours.tracks:
        for frame, box in zip(track.frames, track.boxes, strict=True):
            of_box[int(frame), tuple(box.tolist())] = track.id
    pairs = set()
    for number, (frame, ids) in enumerate(zip(frames, expected, strict=True)):
        boxes = frame.boxes[frame.scores >= 0.95]
        assert len(boxes) == len(ids)
        pairs |= {(of_box[number, tuple(box.tolist())], i) for box, i in zip(boxes, ids, strict=True)}
    assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})


# streaming


@pytest.mark.parametrize("changes", [{}, {"max_tracks": 4}, {"fill_gaps": 0, "min_length": 1}, {"max_lost": 0}])
def test_a_stream_gives_every_frame_once_in_order_and_soon(changes):
    frames = wandering_objects(0, frames=300)
    linker = FrameLinker(LinkSettings.of("default", changes))
    given, behind = [], []
    for n, frame in enumerate(frames):
        given += linker.push(frame)
        behind.append(n + 1 - len(given))
    given += linker.finish()
    assert [frame.frame for frame in given] == list(range(300))
    assert max(behind) <= 40  # frames, however long the video: here max_lost, and a few
    assert_same(VideoTracks.from_frames(given), link_detections(frames, **changes))
    assert len(list(stream_detections(frames, **changes))) == 300


def test_the_memory_of_a_stream_does_not_grow():
    linker = FrameLinker(LinkSettings())
    sizes = []
    for n in range(2000):  # one leaves the picture after the other
        for _ in linker.push(frame_of(box_at(n % 40 * 10, 50 + 40 * (n // 40 % 2)))):
            pass
        sizes.append((len(linker._pool), len(linker._timeline._frames)))
    assert max(sizes[1000:]) <= max(sizes[:1000])
    assert max(pool for pool, _ in sizes) < 8


# bad input


def test_no_frames_and_empty_frames_are_fine():
    assert link_detections([]).num_frames == 0
    video = link_detections([{"boxes": []}] * 5)
    assert (video.num_frames, len(video)) == (5, 0)
    assert len(link_detections([frame_of(box_at(5, 5))])) == 0
    assert len(link_detections([frame_of(box_at(5, 5))], min_length=1)) == 1


def test_the_frame_with_wrong_detections_is_named():
    good, bad = {"boxes": [box_at(5, 5)]}, {"boxes": [[5, 5, 1, 1]]}
    with pytest.raises(ValueError, match=re.escape("frame 2: a box must be finite x1, y1, x2, y2")):
        link_detections([good, good, bad])
    with pytest.raises(ValueError, match="unknown setting 'max_track'; did you mean 'max_tracks'"):
        link_detections([good], max_track=2)
