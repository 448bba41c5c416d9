import re

import numpy as np
import pytest
from helpers.detections import box_at
from helpers.tracks import assert_same

from res3d.data import SyntheticFrame, SyntheticVideo
from res3d.structures import ClipDetections, Rle, VideoTracks
from res3d.tracking import CostTerm, LinkSettings, TubeLinker, link_tubes, stream_tubes


def clip_of(start: int, *tubes, visible=None, scores=None, labels=None, **more) -> ClipDetections:
    """Detections of a clip from frame ``start`` on; a tube is a list of boxes."""
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


def empty_clip(start: int, length: int) -> ClipDetections:
    boxes = np.zeros((0, length, 4), np.float32)
    return ClipDetections(
        frames=np.arange(start, start + length),
        boxes=boxes,
        visible=boxes[..., 0],
        scores=boxes[:, 0, 0],
        labels=np.zeros(0, np.int64),
    )


def moving_tube(start: int, length: int, x: float = 0.0, speed: float = 3.0, y: float = 50.0) -> list[list[float]]:
    """Boxes in frames ``start`` to ``start + length - 1`` of an object that is at ``x`` in frame 0."""
    return [box_at(x + speed * (start + t), y) for t in range(length)]


def frames_by_id(video: VideoTracks) -> dict[int, list[int]]:
    return {track.id: track.frames.tolist() for track in video.tracks}


def ground_truth_clips(
    frames: list[SyntheticFrame], labels: np.ndarray, length: int, stride: int
) -> list[ClipDetections]:
    """The ground truth as detections: tubes in random order, without those that are never visible in a clip."""
    rng = np.random.default_rng(0)
    clips = []
    for start in range(0, len(frames) - length + 1, stride):
        clip_frames = frames[start : start + length]
        visible = np.stack([frame.visible for frame in clip_frames], axis=1)
        rows = rng.permutation(np.flatnonzero(visible.any(axis=1)))
        clips.append(
            ClipDetections(
                frames=np.arange(start, start + length),
                boxes=np.stack([frame.boxes for frame in clip_frames], axis=1)[rows],
                visible=visible[rows].astype(np.float32),
                scores=rng.uniform(0.7, 1, len(rows)).astype(np.float32),
                labels=labels[rows],
            )
        )
    return clips


@pytest.fixture(scope="module")
def scene() -> tuple[list[SyntheticFrame], np.ndarray]:
    """The frames of a synthetic video, and the classes of its objects."""
    video = SyntheticVideo(num_frames=6 * 28 + 8, size=(60, 80), seed=3)
    return list(video), video.labels


@pytest.mark.parametrize(("length", "stride"), [(8, 4), (8, 1), (8, 7), (4, 2)])
def test_ground_truth_tubes_become_the_ground_truth_tracks(scene, length, stride):
    """A track may end only where its object is hidden."""
    frames, labels = scene
    linked = link_tubes(ground_truth_clips(frames, labels, length, stride), min_length=1)
    for n in range(len(labels)):
        visible = np.array([frame.visible[n] for frame in frames])
        boxes = np.array([frame.boxes[n] for frame in frames])
        tracks = [t for t in linked.tracks if t.label == labels[n] and np.array_equal(t.boxes, boxes[t.frames])]
        assert sum(len(track) for track in tracks) == visible.sum(), f"object {n}"
        assert len(tracks) <= 1 + (np.diff(np.flatnonzero(visible)) > 1).sum(), f"object {n}"


def test_boxes_of_overlapping_clips_are_averaged_by_visibility():
    first = clip_of(0, [box_at(50, 50)] * 4, visible=[[1, 1, 0.9, 0.6]], scores=[0.9])
    second = clip_of(2, [box_at(54, 50)] * 4, visible=[[0.3, 0.6, 1, 1]], scores=[0.5])
    (track,) = link_tubes([first, second]).tracks
    centers = (track.boxes[:, 0] + track.boxes[:, 2]) / 2
    assert centers == pytest.approx([50, 50, (0.9 * 50 + 0.3 * 54) / 1.2, 52, 54, 54])
    assert track.scores == pytest.approx([0.9, 0.9, (0.9 * 0.9 + 0.3 * 0.5) / 1.2, 0.7, 0.5, 0.5])


def test_frames_with_a_mean_visibility_below_visible_score_are_left_out():
    first = clip_of(0, [box_at(50, 50)] * 4, visible=[[1, 1, 0.9, 0.4]])
    second = clip_of(2, [box_at(50, 50)] * 4, visible=[[0.0, 0.5, 1, 1]])
    assert frames_by_id(link_tubes([first, second])) == {1: [0, 1, 4, 5]}
    assert frames_by_id(link_tubes([first, second], visible_score=0.44)) == {1: [0, 1, 2, 3, 4, 5]}


def test_keypoints_are_averaged_and_the_best_visible_mask_is_used():
    masks = [Rle.encode(np.eye(9, dtype=bool)), Rle.encode(np.ones((9, 9), bool))]
    points = np.ones((1, 4, 2, 3), np.float32)
    first_clip = clip_of(
        0,
        [box_at(50, 50)] * 4,
        visible=[[1, 1, 0.9, 0.5]],
        masks=((masks[0],) * 4,),
        keypoints=points,
        keypoints_scores=points[..., 0],
    )
    second_clip = clip_of(
        2,
        [box_at(50, 50)] * 4,
        visible=[[0.6, 1, 1, 1]],
        masks=((masks[1],) * 4,),
        keypoints=points * np.array([[6, 6, 1], [0, 0, 0]], np.float32),
        keypoints_scores=3 * points[..., 0],
    )
    (track,) = link_tubes([first_clip, second_clip]).tracks
    assert track.masks == (masks[0], masks[0], masks[0], masks[1], masks[1], masks[1])
    first, second = track.keypoints[:, 0], track.keypoints[:, 1]
    assert first[:, 0] == pytest.approx([1, 1, (0.9 + 0.6 * 6) / 1.5, (0.5 + 6) / 1.5, 6, 6])
    assert second[2].tolist() == [1, 1, 1]  # missing in the second clip: the position of the first
    assert track.keypoints_scores[2, 0] == pytest.approx((0.9 + 0.6 * 3) / 1.5)


def test_tubes_of_objects_that_pass_each_other_keep_their_ids():
    clips = [
        clip_of(s, moving_tube(s, 8, 20, 4), moving_tube(s, 8, 132, -4), scores=[0.9, 0.8][:: 1 if s % 8 else -1])
        for s in range(0, 25, 4)
    ]
    for track in link_tubes(clips).tracks:
        steps = np.diff(track.boxes[:, 0])
        assert len(track) == 32
        assert np.ptp(steps) == 0


def test_a_gap_between_tubes_is_bridged_by_motion_and_interpolated():
    clips = [clip_of(0, moving_tube(0, 4)), empty_clip(2, 4), empty_clip(4, 4), clip_of(6, moving_tube(6, 4))]
    (track,) = link_tubes(clips).tracks
    assert track.frames.tolist() == [*range(10)]
    assert (track.boxes[:, 0] + track.boxes[:, 2]) / 2 == pytest.approx(3 * np.arange(10))
    assert (track.scores == 0).tolist() == [n in (4, 5) for n in range(10)]
    assert frames_by_id(link_tubes(clips, fill_gaps=0)) == {1: [0, 1, 2, 3, 6, 7, 8, 9]}


def test_a_gap_is_not_filled_if_the_object_was_invisible_before_it():
    first = clip_of(0, moving_tube(0, 4), visible=[[1, 1, 1, 0]])
    clips = [first, empty_clip(2, 4), empty_clip(4, 4), clip_of(6, moving_tube(6, 4))]
    assert frames_by_id(link_tubes(clips)) == {1: [0, 1, 2, 6, 7, 8, 9]}


def test_a_track_ends_after_max_lost_frames_without_a_tube():
    clips = [clip_of(0, moving_tube(0, 4, speed=0)), *(empty_clip(s, 4) for s in range(2, 20, 2))]
    clips.append(clip_of(20, moving_tube(20, 4, speed=0)))
    assert list(frames_by_id(link_tubes(clips, max_lost=20))) == [1]
    assert list(frames_by_id(link_tubes(clips, max_lost=10, lost_reach=0))) == [1, 2]


def test_an_object_that_jumps_between_clips_within_lost_reach_keeps_its_id():
    clips = [clip_of(0, [box_at(50, 50)] * 4), clip_of(4, [box_at(80, 50)] * 4), clip_of(6, [box_at(80, 50)] * 4)]
    assert frames_by_id(link_tubes(clips, lost_reach=2.0)) == {1: [*range(10)]}
    assert list(frames_by_id(link_tubes(clips, lost_reach=1.0))) == [1, 2]


def test_tubes_of_low_score_continue_tracks_and_start_none():
    clips = [
        clip_of(s, moving_tube(s, 4), [box_at(200, 200)] * 4, scores=[0.9 if s < 4 else 0.2, 0.4]) for s in (0, 2, 4, 6)
    ]
    assert frames_by_id(link_tubes(clips)) == {1: [*range(10)]}
    assert frames_by_id(link_tubes(clips, min_score=0.3)) == {1: [*range(6)]}


def test_an_object_detected_as_two_classes_is_one_track_with_the_class_of_more_votes():
    """Class 2 has the higher score in the first clip only."""
    clips = [
        clip_of(
            s, moving_tube(s, 4), moving_tube(s, 4, x=1), labels=[1, 2], scores=[0.7, 0.9] if s == 0 else [0.9, 0.6]
        )
        for s in (0, 2, 4, 6)
    ]
    (track,) = link_tubes(clips).tracks
    assert (track.label, track.frames.tolist()) == (1, [*range(10)])
    assert sorted(track.label for track in link_tubes(clips, class_overlap=None).tracks) == [1, 2]


def test_a_tube_whose_class_changes_between_clips_stays_one_track():
    clips = [clip_of(s, moving_tube(s, 4), labels=[3 if s == 2 else 1]) for s in (0, 2, 4, 6)]
    (track,) = link_tubes(clips).tracks
    assert (track.label, track.frames.tolist()) == (1, [*range(10)])
    assert len(link_tubes(clips, class_overlap=None)) == 2


def test_objects_of_different_classes_with_little_overlap_are_separate_tracks():
    clips = [clip_of(s, moving_tube(s, 4), moving_tube(s, 4, y=55), labels=[1, 2]) for s in (0, 2, 4)]
    assert sorted(track.label for track in link_tubes(clips).tracks) == [1, 2]


def test_tubes_that_are_never_visible_start_no_tracks():
    clips = [clip_of(s, moving_tube(s, 4), visible=[[0.4] * 4]) for s in (0, 2, 4)]
    assert len(link_tubes(clips)) == 0


def test_the_number_of_ids_is_at_most_max_tracks():
    clips = [clip_of(s, moving_tube(s, 4), moving_tube(s, 4, y=150), [box_at(300, 300)] * 4) for s in (0, 2, 4)]
    assert len(link_tubes(clips)) == 3
    assert frames_by_id(link_tubes(clips, max_tracks=2)) == {1: [*range(8)], 2: [*range(8)]}
    late = [
        clip_of(0, moving_tube(0, 4, speed=0)),
        *(empty_clip(s, 4) for s in range(2, 60, 2)),
        clip_of(60, [box_at(500, 50)] * 4),
    ]
    assert frames_by_id(link_tubes(late, max_tracks=1, fill_gaps=0)) == {1: [0, 1, 2, 3, 60, 61, 62, 63]}


@pytest.mark.parametrize("name", ["appearance", "oks", "pck"])
def test_appearance_and_poses_distinguish_tubes_with_the_same_boxes(name):
    """The order of the tubes alternates from clip to clip."""
    embeddings = np.array([[1.0, 0], [0, 1]], np.float32)
    up, down = [[50, 42, 1], [50, 50, 1]], [[50, 58, 1], [54, 54, 1]]
    clips = []
    for s in range(0, 12, 2):
        order = 1 if s % 4 else -1
        poses = np.array([[up] * 4, [down] * 4], np.float32)[::order]
        tube = [box_at(50, 50)] * 4
        clips.append(clip_of(s, tube, tube, embeddings=embeddings[::order], keypoints=poses))
    tracks = link_tubes(clips, costs=(CostTerm("overlap"), CostTerm(name))).tracks
    assert len(tracks) == 2
    for track in tracks:
        assert np.ptp(track.keypoints[:, 0, 1]) == 0


@pytest.mark.parametrize("name", ["appearance", "oks"])
def test_lost_objects_are_recovered_by_appearance_and_poses(name):
    embeddings = np.array([[1.0, 0], [0, 1]], np.float32)
    poses = np.array([[[[50, 42, 1], [50, 50, 1]]] * 4, [[[50, 58, 1], [54, 54, 1]]] * 4], np.float32)
    tube = [box_at(50, 50)] * 4
    clips = [clip_of(0, tube, tube, embeddings=embeddings, keypoints=poses), empty_clip(2, 4), empty_clip(4, 4)]
    clips.append(clip_of(6, tube, tube, embeddings=embeddings[::-1], keypoints=poses[::-1]))
    first, second = link_tubes(clips, costs=(CostTerm("overlap"), CostTerm(name)), fill_gaps=0).tracks
    assert np.ptp(first.keypoints[:, 0, 1]) == np.ptp(second.keypoints[:, 0, 1]) == 0


def test_a_stream_yields_every_frame_once_in_order_with_bounded_delay(scene):
    frames, labels = scene
    clips = ground_truth_clips(frames[:120], labels, 8, 4)
    linker = TubeLinker(LinkSettings())
    released, delays = [], []
    for clip in clips:
        released += linker.push(clip)
        delays.append(int(clip.frames[-1]) + 1 - len(released))
    released += linker.finish()
    assert [frame.frame for frame in released] == list(range(120))
    assert max(delays) <= 8 + 30 + 8
    assert_same(VideoTracks.from_frames(released), link_tubes(clips))
    assert len(list(stream_tubes(clips))) == 120


def test_clips_with_a_step_between_frames_are_linked():
    clips = []
    for s in (0, 4, 8):
        clip = clip_of(s, [box_at(3 * (s + 2 * t), 50) for t in range(4)])
        fields = {name: getattr(clip, name) for name in ("boxes", "visible", "scores", "labels")}
        clips.append(ClipDetections(frames=s + 2 * np.arange(4), **fields))
    (track,) = link_tubes(clips).tracks
    assert track.frames.tolist() == [*range(0, 16, 2)]


def test_clips_out_of_order_are_refused():
    with pytest.raises(
        ValueError,
        match=re.escape("clips must be in order: a clip that starts at frame 2 follows one that starts at frame 4"),
    ):
        link_tubes([clip_of(4, moving_tube(4, 4)), clip_of(2, moving_tube(2, 4))])


def test_a_video_without_clips_or_without_tubes_has_no_tracks():
    assert link_tubes([]).num_frames == 0
    assert link_tubes([empty_clip(0, 4), empty_clip(2, 4)]).num_frames == 6
