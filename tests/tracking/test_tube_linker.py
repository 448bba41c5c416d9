import re

import numpy as np
import pytest
from helpers.detections import box_at
from helpers.tracks import assert_same

from res3d.data import SyntheticVideo
from res3d.structures import ClipDetections, Rle, VideoTracks
from res3d.tracking import CostTerm, LinkSettings, TubeLinker, link_tubes, stream_tubes


def clip_of(start: int, *tubes, visible=None, scores=None, labels=None, **more) -> ClipDetections:
    """A clip from frame ``start`` on; a tube is a list of boxes."""
    boxes = np.array(tubes, np.float32)
    count, length = boxes.shape[:2]
    return ClipDetections(
        frames=np.arange(start, start + length),
        boxes=boxes,
        visible=np.ones((count, length), np.float32) if visible is None else np.array(visible, np.float32),
        scores=np.full(count, 0.9, np.float32) if scores is None else np.array(scores, np.float32),
        labels=np.ones(count, np.int64) if labels is None else np.array(labels, np.int64),
        **more,
    )


def empty(start: int, length: int) -> ClipDetections:
    boxes = np.zeros((0, length, 4), np.float32)
    return ClipDetections(
        frames=np.arange(start, start + length),
        boxes=boxes,
        visible=boxes[..., 0],
        scores=boxes[:, 0, 0],
        labels=np.zeros(0, np.int64),
    )


def moving(start: int, length: int, x: float = 0.0, speed: float = 3.0, y: float = 50.0) -> list[list[float]]:
    return [box_at(x + speed * (start + t), y) for t in range(length)]


def where(video: VideoTracks) -> dict[int, list[int]]:
    return {track.id: track.frames.tolist() for track in video.tracks}


def true_clips(video: SyntheticVideo, length: int, stride: int, seed: int = 0) -> list[ClipDetections]:
    """The ground truth as a detector would give it: tubes in any order, those never seen left out."""
    rng = np.random.default_rng(seed)
    frames = list(video)
    clips = []
    for start in range(0, video.num_frames - length + 1, stride):
        part = frames[start : start + length]
        visible = np.stack([frame.visible for frame in part], axis=1)
        rows = rng.permutation(np.flatnonzero(visible.any(axis=1)))
        clips.append(
            ClipDetections(
                frames=np.arange(start, start + length),
                boxes=np.stack([frame.boxes for frame in part], axis=1)[rows],
                visible=visible[rows].astype(np.float32),
                scores=rng.uniform(0.7, 1, len(rows)).astype(np.float32),
                labels=video.labels[rows],
            )
        )
    return clips


@pytest.mark.parametrize(("length", "stride"), [(8, 4), (8, 1), (8, 7), (4, 2)])
def test_true_tubes_become_the_true_tracks(length, stride):
    video = SyntheticVideo(num_frames=6 * 28 + 8, size=(60, 80), seed=3)
    found = link_tubes(true_clips(video, length, stride), min_length=1)
    truth = [(frame.visible, frame.boxes) for frame in video]
    for n in range(video.num_objects):
        seen = np.array([visible[n] for visible, _ in truth])
        boxes = np.array([boxes[n] for _, boxes in truth])
        own = [t for t in found.tracks if t.label == video.labels[n] and np.array_equal(t.boxes, boxes[t.frames])]
        assert sum(len(track) for track in own) == seen.sum(), f"object {n}"
        assert len(own) <= 1 + (np.diff(np.flatnonzero(seen)) > 1).sum(), f"object {n}"  # new at most when hidden


def test_boxes_of_two_clips_are_merged_by_visibility():
    one = clip_of(0, [box_at(50, 50)] * 4, visible=[[1, 1, 0.9, 0.6]], scores=[0.9])
    two = clip_of(2, [box_at(54, 50)] * 4, visible=[[0.3, 0.6, 1, 1]], scores=[0.5])
    (track,) = link_tubes([one, two]).tracks
    centers = (track.boxes[:, 0] + track.boxes[:, 2]) / 2
    assert centers == pytest.approx([50, 50, (0.9 * 50 + 0.3 * 54) / 1.2, 52, 54, 54])
    assert track.scores == pytest.approx([0.9, 0.9, (0.9 * 0.9 + 0.3 * 0.5) / 1.2, 0.7, 0.5, 0.5])


def test_a_frame_where_the_object_is_hidden_on_average_is_left_out():
    one = clip_of(0, [box_at(50, 50)] * 4, visible=[[1, 1, 0.9, 0.4]])
    two = clip_of(2, [box_at(50, 50)] * 4, visible=[[0.0, 0.5, 1, 1]])
    assert where(link_tubes([one, two])) == {1: [0, 1, 4, 5]}
    assert where(link_tubes([one, two], visible_score=0.44)) == {1: [0, 1, 2, 3, 4, 5]}


def test_poses_and_masks_are_merged_too():
    masks = [Rle.encode(np.eye(9, dtype=bool)), Rle.encode(np.ones((9, 9), bool))]
    points = np.ones((1, 4, 2, 3), np.float32)
    one = clip_of(
        0,
        [box_at(50, 50)] * 4,
        visible=[[1, 1, 0.9, 0.5]],
        masks=((masks[0],) * 4,),
        keypoints=points,
        keypoints_scores=points[..., 0],
    )
    two = clip_of(
        2,
        [box_at(50, 50)] * 4,
        visible=[[0.6, 1, 1, 1]],
        masks=((masks[1],) * 4,),
        keypoints=points * np.array([[6, 6, 1], [0, 0, 0]], np.float32),
        keypoints_scores=3 * points[..., 0],
    )
    (track,) = link_tubes([one, two]).tracks
    assert track.masks == (masks[0], masks[0], masks[0], masks[1], masks[1], masks[1])
    first, second = track.keypoints[:, 0], track.keypoints[:, 1]
    assert first[:, 0] == pytest.approx([1, 1, (0.9 + 0.6 * 6) / 1.5, (0.5 + 6) / 1.5, 6, 6])
    assert second[2].tolist() == [1, 1, 1]  # unknown in one clip: where the other has it
    assert track.keypoints_scores[2, 0] == pytest.approx((0.9 + 0.6 * 3) / 1.5)


def test_two_that_pass_each_other_are_told_apart_by_their_tubes():
    clips = [
        clip_of(s, moving(s, 8, 20, 4), moving(s, 8, 132, -4), scores=[0.9, 0.8][:: 1 if s % 8 else -1])
        for s in range(0, 25, 4)
    ]
    for track in link_tubes(clips).tracks:
        steps = np.diff(track.boxes[:, 0])
        assert len(track) == 32
        assert np.ptp(steps) == 0


def test_a_tube_that_was_missed_is_bridged_by_motion_and_filled():
    clips = [clip_of(0, moving(0, 4)), empty(2, 4), empty(4, 4), clip_of(6, moving(6, 4))]
    (track,) = link_tubes(clips).tracks
    assert track.frames.tolist() == [*range(10)]
    assert (track.boxes[:, 0] + track.boxes[:, 2]) / 2 == pytest.approx(3 * np.arange(10))
    assert (track.scores == 0).tolist() == [n in (4, 5) for n in range(10)]
    assert where(link_tubes(clips, fill_gaps=0)) == {1: [0, 1, 2, 3, 6, 7, 8, 9]}


def test_a_gap_where_the_object_was_said_to_be_hidden_is_not_filled():
    first = clip_of(0, moving(0, 4), visible=[[1, 1, 1, 0]])
    clips = [first, empty(2, 4), empty(4, 4), clip_of(6, moving(6, 4))]
    assert where(link_tubes(clips)) == {1: [0, 1, 2, 6, 7, 8, 9]}


def test_what_is_lost_for_longer_than_max_lost_is_another():
    clips = [clip_of(0, moving(0, 4, speed=0)), *(empty(s, 4) for s in range(2, 20, 2))]
    clips.append(clip_of(20, moving(20, 4, speed=0)))
    assert list(where(link_tubes(clips, max_lost=20))) == [1]
    assert list(where(link_tubes(clips, max_lost=10, lost_reach=0))) == [1, 2]


def test_one_that_jumps_between_clips_is_found_again_within_reach():
    clips = [clip_of(0, [box_at(50, 50)] * 4), clip_of(4, [box_at(80, 50)] * 4), clip_of(6, [box_at(80, 50)] * 4)]
    assert where(link_tubes(clips, lost_reach=2.0)) == {1: [*range(10)]}
    assert list(where(link_tubes(clips, lost_reach=1.0))) == [1, 2]


def test_low_tubes_go_on_with_tracks_and_start_none():
    clips = [
        clip_of(s, moving(s, 4), [box_at(200, 200)] * 4, scores=[0.9 if s < 4 else 0.2, 0.4]) for s in (0, 2, 4, 6)
    ]
    assert where(link_tubes(clips)) == {1: [*range(10)]}
    assert where(link_tubes(clips, min_score=0.3)) == {1: [*range(6)]}


def test_one_object_found_as_two_classes_is_one_track_of_the_class_with_more_votes():
    """In the first clip class 2 is better; class 1 is found everywhere, and better in the rest."""
    clips = [
        clip_of(s, moving(s, 4), moving(s, 4, x=1), labels=[1, 2], scores=[0.7, 0.9] if s == 0 else [0.9, 0.6])
        for s in (0, 2, 4, 6)
    ]
    (track,) = link_tubes(clips).tracks
    assert (track.label, track.frames.tolist()) == (1, [*range(10)])
    assert sorted(track.label for track in link_tubes(clips, class_overlap=None).tracks) == [1, 2]


def test_a_tube_whose_class_changes_between_clips_stays_one_track():
    clips = [clip_of(s, moving(s, 4), labels=[3 if s == 2 else 1]) for s in (0, 2, 4, 6)]
    (track,) = link_tubes(clips).tracks
    assert (track.label, track.frames.tolist()) == (1, [*range(10)])
    assert len(link_tubes(clips, class_overlap=None)) == 2


def test_two_of_different_classes_that_only_touch_stay_two():
    clips = [clip_of(s, moving(s, 4), moving(s, 4, y=55), labels=[1, 2]) for s in (0, 2, 4)]
    assert sorted(track.label for track in link_tubes(clips).tracks) == [1, 2]


def test_tubes_that_are_never_seen_are_none():
    clips = [clip_of(s, moving(s, 4), visible=[[0.4] * 4]) for s in (0, 2, 4)]
    assert len(link_tubes(clips)) == 0


def test_max_tracks_bounds_the_ids():
    clips = [clip_of(s, moving(s, 4), moving(s, 4, y=150), [box_at(300, 300)] * 4) for s in (0, 2, 4)]
    assert len(link_tubes(clips)) == 3
    assert where(link_tubes(clips, max_tracks=2)) == {1: [*range(8)], 2: [*range(8)]}
    late = [
        clip_of(0, moving(0, 4, speed=0)),
        *(empty(s, 4) for s in range(2, 60, 2)),
        clip_of(60, [box_at(500, 50)] * 4),
    ]
    assert where(link_tubes(late, max_tracks=1, fill_gaps=0)) == {1: [0, 1, 2, 3, 60, 61, 62, 63]}


@pytest.mark.parametrize("name", ["appearance", "oks", "pck"])
def test_looks_and_poses_tell_tubes_apart(name):
    """Two in the same place; the detector changes their order from clip to clip."""
    looks = np.array([[1.0, 0], [0, 1]], np.float32)
    up, down = [[50, 42, 1], [50, 50, 1]], [[50, 58, 1], [54, 54, 1]]
    clips = []
    for s in range(0, 12, 2):
        turn = 1 if s % 4 else -1
        poses = np.array([[up] * 4, [down] * 4], np.float32)[::turn]
        tube = [box_at(50, 50)] * 4
        clips.append(clip_of(s, tube, tube, embeddings=looks[::turn], keypoints=poses))
    tracks = link_tubes(clips, costs=(CostTerm("overlap"), CostTerm(name))).tracks
    assert len(tracks) == 2
    for track in tracks:
        assert np.ptp(track.keypoints[:, 0, 1]) == 0


@pytest.mark.parametrize("name", ["appearance", "oks"])
def test_lost_tubes_are_found_again_by_looks_and_poses(name):
    looks = np.array([[1.0, 0], [0, 1]], np.float32)
    poses = np.array([[[[50, 42, 1], [50, 50, 1]]] * 4, [[[50, 58, 1], [54, 54, 1]]] * 4], np.float32)
    tube = [box_at(50, 50)] * 4
    clips = [clip_of(0, tube, tube, embeddings=looks, keypoints=poses), empty(2, 4), empty(4, 4)]
    clips.append(clip_of(6, tube, tube, embeddings=looks[::-1], keypoints=poses[::-1]))
    first, second = link_tubes(clips, costs=(CostTerm("overlap"), CostTerm(name)), fill_gaps=0).tracks
    assert np.ptp(first.keypoints[:, 0, 1]) == np.ptp(second.keypoints[:, 0, 1]) == 0


def test_a_stream_gives_every_frame_once_in_order_and_soon():
    video = SyntheticVideo(num_frames=120, size=(60, 80))
    clips = true_clips(video, 8, 4)
    linker = TubeLinker(LinkSettings())
    given, behind = [], []
    for clip in clips:
        given += linker.push(clip)
        behind.append(int(clip.frames[-1]) + 1 - len(given))
    given += linker.finish()
    assert [frame.frame for frame in given] == list(range(120))
    assert max(behind) <= 8 + 30 + 8
    assert_same(VideoTracks.from_frames(given), link_tubes(clips))
    assert len(list(stream_tubes(clips))) == 120


def test_clips_with_steps_between_their_frames_are_linked():
    clips = []
    for s in (0, 4, 8):
        clip = clip_of(s, [box_at(3 * (s + 2 * t), 50) for t in range(4)])
        fields = {name: getattr(clip, name) for name in ("boxes", "visible", "scores", "labels")}
        clips.append(ClipDetections(frames=s + 2 * np.arange(4), **fields))
    (track,) = link_tubes(clips).tracks
    assert track.frames.tolist() == [*range(0, 16, 2)]


def test_clips_out_of_order_are_refused():
    with pytest.raises(ValueError, match=re.escape("clips must come in order: one from frame 2 after one from 4")):
        link_tubes([clip_of(4, moving(4, 4)), clip_of(2, moving(2, 4))])


def test_no_clips_and_empty_clips_are_fine():
    assert link_tubes([]).num_frames == 0
    assert link_tubes([empty(0, 4), empty(2, 4)]).num_frames == 6
