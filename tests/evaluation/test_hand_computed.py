"""Cases small enough to be computed by hand: each metric moves as it should, and no other does."""

import numpy as np
import pytest
from helpers.tracks import track_of

from res3d.evaluation import Switch, evaluate
from res3d.structures import Category, Rle, VideoTracks

pytest.importorskip("trackeval")
TEN = np.arange(10)


def boxes(x: float, frames=TEN) -> np.ndarray:
    """A box of 20 pixels that moves 2 a frame."""
    left = x + 2.0 * np.asarray(frames)
    return np.stack([left, np.full(len(left), 10.0), left + 20, np.full(len(left), 30.0)], axis=1)


def video(*tracks, num_frames: int = 10, **facts) -> VideoTracks:
    return VideoTracks(tracks=tracks, num_frames=num_frames, **facts)


TRUTH = video(track_of(1, TEN, boxes(0)), track_of(2, TEN, boxes(100)))


def scores(found: VideoTracks, truth: VideoTracks = TRUTH, kind: str = "box") -> dict[str, float]:
    return evaluate(found, truth).kinds[kind].total


def test_perfect_input_gives_perfect_scores():
    perfect = scores(TRUTH)
    for name in ("HOTA", "DetA", "AssA", "LocA", "MOTA", "MOTP", "IDF1", "IDP", "IDR", "AP", "AP50", "AP75"):
        assert perfect[name] == pytest.approx(1), name
    assert [perfect[name] for name in ("switches", "fragments", "misses", "false_positives", "mostly_lost")] == [0] * 5
    assert (perfect["matches"], perfect["mostly_tracked"]) == (20, 2)


def test_ids_may_have_any_numbers():
    found = video(track_of(70, TEN, boxes(0)), track_of(9, TEN, boxes(100)))
    assert scores(found) == scores(TRUTH)


def test_an_identity_swap_costs_identity_and_association_only():
    """Two objects of 10 frames swap ids at frame 5."""
    half = np.arange(5), np.arange(5, 10)
    found = video(
        track_of(1, TEN, np.concatenate([boxes(0, half[0]), boxes(100, half[1])])),
        track_of(2, TEN, np.concatenate([boxes(100, half[0]), boxes(0, half[1])])),
    )
    swapped = scores(found)
    assert swapped["switches"] == 2
    assert swapped["MOTA"] == pytest.approx(1 - 2 / 20)
    assert swapped["IDF1"] == pytest.approx(10 / 20)  # of each object, one id's five frames count
    assert swapped["AssA"] == pytest.approx(5 / 15)  # five together, five of each without the other
    assert swapped["DetA"] == pytest.approx(1)
    assert swapped["HOTA"] == pytest.approx(np.sqrt(1 / 3))
    assert swapped["AP"] == pytest.approx(1)
    switches = evaluate(found, TRUTH).kinds["box"].switches
    assert [s for _, _, s in switches] == [
        Switch(frame=5, id=1, before=1, after=2),
        Switch(frame=5, id=2, before=2, after=1),
    ]


def test_misses_cost_recall():
    """Four of the second object's ten boxes are missing, the last four."""
    missed = scores(video(track_of(1, TEN, boxes(0)), track_of(2, TEN[:6], boxes(100)[:6])))
    assert (missed["misses"], missed["false_positives"], missed["switches"]) == (4, 0, 0)
    assert missed["MOTA"] == pytest.approx(16 / 20)
    assert missed["IDF1"] == pytest.approx(2 * 16 / (2 * 16 + 4))
    assert missed["DetA"] == pytest.approx(16 / 20)
    assert missed["AssA"] == pytest.approx((10 * 1 + 6 * 0.6) / 16)
    assert missed["AP"] == pytest.approx(81 / 101)  # recalls 0.00 to 0.80 of 101 are reached
    assert (missed["mostly_tracked"], missed["mostly_lost"]) == (1, 0)


def test_false_positives_cost_precision():
    """A third track of five boxes where nothing is."""
    more = scores(video(*TRUTH.tracks, track_of(3, TEN[:5], boxes(300)[:5], scores=[0.1] * 5)))
    assert (more["misses"], more["false_positives"], more["switches"]) == (0, 5, 0)
    assert more["MOTA"] == pytest.approx(15 / 20)
    assert more["IDF1"] == pytest.approx(2 * 20 / (2 * 20 + 5))
    assert more["DetA"] == pytest.approx(20 / 25)
    assert more["AssA"] == pytest.approx(1)
    assert more["AP"] == pytest.approx(1)  # they are ranked below every true one


def test_average_precision_goes_by_scores():
    """Right at 0.9, wrong at 0.8, right at 0.7: precision 1 up to a recall of one half, 2/3 beyond."""
    truth = video(track_of(1, [0, 1], boxes(0, [0, 1])))
    found = video(
        track_of(1, [0, 1], boxes(0, [0, 1]), scores=[0.9, 0.7]), track_of(2, [0], boxes(200, [0]), scores=[0.8])
    )
    assert scores(found, truth)["AP50"] == pytest.approx((51 + 50 * 2 / 3) / 101)


def test_loose_boxes_cost_localization():
    """Shifted by 4 of 20 pixels: IoU 16/24, which counts up to a threshold of 0.65."""
    loose = scores(video(track_of(1, TEN, boxes(4)), track_of(2, TEN, boxes(104))))
    assert loose["MOTA"] == 1
    assert loose["MOTP"] == pytest.approx(2 / 3)
    assert loose["HOTA"] == pytest.approx(13 / 19)  # of the thresholds 0.05, 0.10, ... 0.95
    assert loose["AP"] == pytest.approx(4 / 10)
    assert (loose["AP50"], loose["AP75"]) == (pytest.approx(1), 0)


def test_a_class_that_was_mistaken_is_missed_and_false():
    truth = video(track_of(1, TEN, boxes(0)), track_of(2, TEN, boxes(100), label=2))
    found = video(track_of(1, TEN, boxes(0)), track_of(2, TEN, boxes(100), label=3))
    report = evaluate(found, truth).kinds["box"]
    assert (report.total["misses"], report.total["false_positives"]) == (10, 10)
    assert [report.classes[name]["MOTA"] for name in ("1", "2")] == [1, 0]
    assert report.total["AP"] == pytest.approx(0.5)  # the mean over the classes of the truth


def square(x: int, side: int) -> Rle:
    mask = np.zeros((40, 60), bool)
    mask[10 : 10 + side, x : x + side] = True
    return Rle.encode(mask)


def test_masks_are_compared_by_their_pixels():
    """Right boxes, masks of a quarter of the pixels: IoU 1/4, which counts up to a threshold of 0.25."""
    truth = video(track_of(1, TEN, boxes(0), masks=(square(4, 20),) * 10))
    found = video(track_of(1, TEN, boxes(0), masks=(square(4, 10),) * 10))
    assert scores(truth, truth, "mask")["HOTA"] == scores(truth, truth, "mask")["AP"] == pytest.approx(1)
    small = scores(found, truth, "mask")
    assert small["HOTA"] == pytest.approx(5 / 19)
    assert (small["MOTA"], small["AP"]) == (-1, 0)  # every box is missed, and every prediction false
    assert scores(found, truth, "box")["HOTA"] == pytest.approx(1)


JOINTS = Category(name="fly", keypoints=("head", "tail"))


def posed(shift: float, frames=TEN, v: float = 2) -> np.ndarray:
    """Head and tail of an object, the tail out of place by ``shift`` pixels."""
    points = np.zeros((len(frames), 2, 3), np.float32)
    points[:, 0] = [5, 20, 2]
    points[:, 1] = [15 + shift, 20, v]
    return points


def test_poses_are_compared_by_oks_and_joint_by_joint():
    truth = video(track_of(1, TEN, boxes(0), keypoints=posed(0)), categories={1: JOINTS})
    perfect = evaluate(truth, truth).kinds["pose"]
    assert perfect.total["HOTA"] == perfect.total["AP"] == perfect.total["PCK"] == pytest.approx(1)
    # exp(-3² / (2 · 400 · 0.1²)) = exp(-9/8) for the tail: an OKS of (1 + 0.3247) / 2
    near = evaluate(video(track_of(1, TEN, boxes(0), keypoints=posed(3))), truth).kinds["pose"]
    assert near.total["MOTP"] == pytest.approx((1 + np.exp(-9 / 8)) / 2)
    assert near.total["AP50"] == pytest.approx(1)
    assert near.total["AP75"] == 0
    assert near.joints == {"fly: head": 1, "fly: tail": 1}  # 3 pixels are within 0.2 of a box of 20
    far = evaluate(video(track_of(1, TEN, boxes(0), keypoints=posed(5))), truth).kinds["pose"]
    assert far.joints == {"fly: head": 1, "fly: tail": 0}
    assert far.total["PCK"] == 0.5


def test_keypoints_that_the_truth_does_not_know_do_not_count_and_missed_objects_do():
    truth = video(
        track_of(1, TEN, boxes(0), keypoints=posed(0, v=0)),
        track_of(2, TEN, boxes(100), keypoints=posed(0)),
        categories={1: JOINTS},
    )
    found = video(track_of(1, TEN, boxes(0), keypoints=posed(9)))
    report = evaluate(found, truth).kinds["pose"]
    assert report.joints == {"fly: head": 0.5, "fly: tail": 0}


def test_a_keypoint_that_was_not_found_is_wrong():
    truth = video(track_of(1, TEN, boxes(0), keypoints=posed(0)), categories={1: JOINTS})
    found = video(track_of(1, TEN, boxes(0), keypoints=posed(0, v=0)))
    report = evaluate(found, truth).kinds["pose"]
    assert report.joints == {"fly: head": 1, "fly: tail": 0}
    assert report.total["MOTP"] == pytest.approx(0.5)


def test_boxes_that_are_not_to_be_counted_count_neither_way():
    """MOTChallenge's flag 0: a prediction there is no false positive, none there is no miss."""
    flagged = track_of(2, TEN, boxes(100), scores=[0.0] * 10)
    truth = video(track_of(1, TEN, boxes(0)), flagged)
    for found in (TRUTH, video(track_of(1, TEN, boxes(0)))):
        report = scores(found, truth)
        assert (report["misses"], report["false_positives"], report["matches"]) == (0, 0, 10)


def test_frames_that_nobody_annotated_do_not_count():
    truth = video(track_of(1, [0, 4], boxes(0, [0, 4])), annotated=np.array([0, 4]))
    found = video(track_of(1, TEN, boxes(0)))
    assert scores(found, truth)["MOTA"] == 1
    assert scores(found, truth.renamed(annotated=None))["false_positives"] == 8


def test_nothing_found_and_nothing_there():
    nothing = video()
    missed = scores(nothing)
    assert (missed["HOTA"], missed["MOTA"], missed["IDF1"], missed["AP"], missed["misses"]) == (0, 0, 0, 0, 20)
    alone = scores(TRUTH, nothing)
    assert alone["false_positives"] == 20
    assert np.isnan(alone["AP"])


def test_objects_without_a_mask_or_pose_are_not_counted_where_those_are_compared():
    """Two objects have masks, of which one prediction lacks one; a third object has none, and neither has a fourth."""
    mask = (square(4, 20),) * 10
    truth = video(track_of(1, TEN, boxes(0), masks=mask), track_of(3, TEN, boxes(200)), track_of(4, TEN, boxes(300)))
    found = video(
        track_of(1, TEN, boxes(0), masks=(*mask[:9], None)),
        track_of(3, TEN, boxes(200), masks=mask),  # where the truth has no mask to compare
        track_of(4, TEN, boxes(300)),
    )
    total = scores(found, truth, "mask")
    assert (total["matches"], total["misses"], total["false_positives"]) == (9, 1, 0)
    assert scores(found, truth, "box")["matches"] == 30
    points = posed(0)
    truth = video(track_of(1, TEN, boxes(0), keypoints=points), track_of(3, TEN, boxes(200), keypoints=0 * points))
    found = video(track_of(1, TEN, boxes(0), keypoints=points), track_of(3, TEN, boxes(200), keypoints=points))
    assert scores(found, truth, "pose")["MOTA"] == 1


def test_classes_may_have_different_poses():
    """Flies have two keypoints, worms three, discs none."""
    worm = np.concatenate([posed(0), posed(3)[:, 1:]], axis=1)
    truth = video(
        track_of(1, TEN, boxes(0), keypoints=posed(0)),
        track_of(2, TEN, boxes(100), keypoints=worm, label=2),
        track_of(3, TEN, boxes(200), label=3),
        categories={1: JOINTS, 2: Category(name="worm", keypoints=("a", "b", "c"))},
    )
    report = evaluate(truth, truth).kinds["pose"]
    assert list(report.classes) == ["fly", "worm"]
    assert set(report.joints.values()) == {1}
    assert list(report.joints)[-1] == "worm: c"
    assert report.total["HOTA"] == report.total["AP"] == pytest.approx(1)
