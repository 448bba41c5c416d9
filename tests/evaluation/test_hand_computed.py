"""Cases that are small enough to compute by hand: each kind of error changes only the scores that it should."""

import numpy as np
import pytest
from helpers.tracks import track_of

from res3d.evaluation import Switch, evaluate
from res3d.structures import Category, Rle, VideoTracks

pytest.importorskip("trackeval")
TEN = np.arange(10)


def boxes(x: float, frames=TEN) -> np.ndarray:
    """Return boxes of 20×20 pixels that move by 2 pixels per frame."""
    left = x + 2.0 * np.asarray(frames)
    return np.stack([left, np.full(len(left), 10.0), left + 20, np.full(len(left), 30.0)], axis=1)


def video(*tracks, num_frames: int = 10, **fields) -> VideoTracks:
    return VideoTracks(tracks=tracks, num_frames=num_frames, **fields)


TRUTH = video(track_of(1, TEN, boxes(0)), track_of(2, TEN, boxes(100)))


def scores(predictions: VideoTracks, truth: VideoTracks = TRUTH, kind: str = "box") -> dict[str, float]:
    return evaluate(predictions, truth).kinds[kind].total


def test_perfect_predictions_have_perfect_scores():
    perfect = scores(TRUTH)
    for name in ("HOTA", "DetA", "AssA", "LocA", "MOTA", "MOTP", "IDF1", "IDP", "IDR", "AP", "AP50", "AP75"):
        assert perfect[name] == pytest.approx(1), name
    assert [perfect[name] for name in ("switches", "fragments", "misses", "false_positives", "mostly_lost")] == [0] * 5
    assert (perfect["matches"], perfect["mostly_tracked"]) == (20, 2)


def test_numbers_of_ids_do_not_matter():
    predictions = video(track_of(70, TEN, boxes(0)), track_of(9, TEN, boxes(100)))
    assert scores(predictions) == scores(TRUTH)


def test_identity_swap_lowers_identity_and_association_scores_only():
    """Two objects of 10 frames swap ids at frame 5."""
    half = np.arange(5), np.arange(5, 10)
    predictions = video(
        track_of(1, TEN, np.concatenate([boxes(0, half[0]), boxes(100, half[1])])),
        track_of(2, TEN, np.concatenate([boxes(100, half[0]), boxes(0, half[1])])),
    )
    swapped = scores(predictions)
    assert swapped["switches"] == 2
    assert swapped["MOTA"] == pytest.approx(1 - 2 / 20)
    assert swapped["IDF1"] == pytest.approx(10 / 20)  # each object has one id, which is right in 5 of its 10 frames
    assert swapped["AssA"] == pytest.approx(5 / 15)  # 5 frames shared, 5 of the object only, 5 of the track only
    assert swapped["DetA"] == pytest.approx(1)
    assert swapped["HOTA"] == pytest.approx(np.sqrt(1 / 3))
    assert swapped["AP"] == pytest.approx(1)
    switches = evaluate(predictions, TRUTH).kinds["box"].switches
    assert [s for _, _, s in switches] == [
        Switch(frame=5, id=1, before=1, after=2),
        Switch(frame=5, id=2, before=2, after=1),
    ]


def test_misses_lower_recall():
    """The last four of the second object's ten boxes are missing."""
    missed = scores(video(track_of(1, TEN, boxes(0)), track_of(2, TEN[:6], boxes(100)[:6])))
    assert (missed["misses"], missed["false_positives"], missed["switches"]) == (4, 0, 0)
    assert missed["MOTA"] == pytest.approx(16 / 20)
    assert missed["IDF1"] == pytest.approx(2 * 16 / (2 * 16 + 4))
    assert missed["DetA"] == pytest.approx(16 / 20)
    assert missed["AssA"] == pytest.approx((10 * 1 + 6 * 0.6) / 16)
    assert missed["AP"] == pytest.approx(81 / 101)  # of 101 recall levels, 0.00 to 0.80 are reached
    assert (missed["mostly_tracked"], missed["mostly_lost"]) == (1, 0)


def test_false_positives_lower_precision():
    """The predictions have a third track of five boxes without an object."""
    more = scores(video(*TRUTH.tracks, track_of(3, TEN[:5], boxes(300)[:5], scores=[0.1] * 5)))
    assert (more["misses"], more["false_positives"], more["switches"]) == (0, 5, 0)
    assert more["MOTA"] == pytest.approx(15 / 20)
    assert more["IDF1"] == pytest.approx(2 * 20 / (2 * 20 + 5))
    assert more["DetA"] == pytest.approx(20 / 25)
    assert more["AssA"] == pytest.approx(1)
    assert more["AP"] == pytest.approx(1)  # the false positives have the lowest scores


def test_average_precision_depends_on_the_order_of_scores():
    """True at 0.9, false at 0.8, true at 0.7: the precision is 1 up to a recall of one half, then 2/3."""
    truth = video(track_of(1, [0, 1], boxes(0, [0, 1])))
    predictions = video(
        track_of(1, [0, 1], boxes(0, [0, 1]), scores=[0.9, 0.7]), track_of(2, [0], boxes(200, [0]), scores=[0.8])
    )
    assert scores(predictions, truth)["AP50"] == pytest.approx((51 + 50 * 2 / 3) / 101)


def test_shifted_boxes_lower_localization_scores():
    """A shift by 4 of 20 pixels: the IoU is 16/24, a match up to a threshold of 0.65."""
    loose = scores(video(track_of(1, TEN, boxes(4)), track_of(2, TEN, boxes(104))))
    assert loose["MOTA"] == 1
    assert loose["MOTP"] == pytest.approx(2 / 3)
    assert loose["HOTA"] == pytest.approx(13 / 19)  # 13 of the thresholds 0.05, 0.10, ... 0.95
    assert loose["AP"] == pytest.approx(4 / 10)
    assert (loose["AP50"], loose["AP75"]) == (pytest.approx(1), 0)


def test_wrong_class_is_a_miss_and_a_false_positive():
    truth = video(track_of(1, TEN, boxes(0)), track_of(2, TEN, boxes(100), label=2))
    predictions = video(track_of(1, TEN, boxes(0)), track_of(2, TEN, boxes(100), label=3))
    report = evaluate(predictions, truth).kinds["box"]
    assert (report.total["misses"], report.total["false_positives"]) == (10, 10)
    assert [report.classes[name]["MOTA"] for name in ("1", "2")] == [1, 0]
    assert report.total["AP"] == pytest.approx(0.5)  # the mean over the classes of the ground truth


def square(x: int, side: int) -> Rle:
    """Return a square mask with its top left corner at (x, 10)."""
    mask = np.zeros((40, 60), bool)
    mask[10 : 10 + side, x : x + side] = True
    return Rle.encode(mask)


def test_masks_are_compared_by_mask_iou():
    """Boxes are equal, but masks have a quarter of the pixels: the IoU is 1/4, a match up to a threshold of 0.25."""
    truth = video(track_of(1, TEN, boxes(0), masks=(square(4, 20),) * 10))
    predictions = video(track_of(1, TEN, boxes(0), masks=(square(4, 10),) * 10))
    perfect = scores(truth, truth, "mask")
    assert perfect["HOTA"] == perfect["AP"] == pytest.approx(1)
    small = scores(predictions, truth, "mask")
    assert small["HOTA"] == pytest.approx(5 / 19)
    assert (small["MOTA"], small["AP"]) == (-1, 0)  # all objects are misses, and all predictions false positives
    assert scores(predictions, truth, "box")["HOTA"] == pytest.approx(1)


FLY = Category(name="fly", keypoints=("head", "tail"))


def keypoints(shift: float, frames=TEN, v: float = 2) -> np.ndarray:
    """Return head and tail of an object in each frame. ``shift`` and ``v`` are the tail's error and visibility."""
    points = np.zeros((len(frames), 2, 3), np.float32)
    points[:, 0] = [5, 20, 2]
    points[:, 1] = [15 + shift, 20, v]
    return points


def test_poses_are_compared_by_oks_and_by_pck_of_each_keypoint():
    truth = video(track_of(1, TEN, boxes(0), keypoints=keypoints(0)), categories={1: FLY})
    perfect = evaluate(truth, truth).kinds["pose"]
    assert perfect.total["HOTA"] == perfect.total["AP"] == perfect.total["PCK"] == pytest.approx(1)
    # The tail has exp(-3² / (2 · 400 · 0.1²)) = exp(-9/8) = 0.3247, so the OKS is (1 + 0.3247) / 2.
    near = evaluate(video(track_of(1, TEN, boxes(0), keypoints=keypoints(3))), truth).kinds["pose"]
    assert near.total["MOTP"] == pytest.approx((1 + np.exp(-9 / 8)) / 2)
    assert near.total["AP50"] == pytest.approx(1)
    assert near.total["AP75"] == 0
    assert near.joints == {"fly: head": 1, "fly: tail": 1}  # 3 pixels are less than 0.2 of the box side of 20
    far = evaluate(video(track_of(1, TEN, boxes(0), keypoints=keypoints(5))), truth).kinds["pose"]
    assert far.joints == {"fly: head": 1, "fly: tail": 0}
    assert far.total["PCK"] == 0.5


def test_unannotated_keypoints_do_not_count_but_missed_objects_do():
    truth = video(
        track_of(1, TEN, boxes(0), keypoints=keypoints(0, v=0)),
        track_of(2, TEN, boxes(100), keypoints=keypoints(0)),
        categories={1: FLY},
    )
    predictions = video(track_of(1, TEN, boxes(0), keypoints=keypoints(9)))
    report = evaluate(predictions, truth).kinds["pose"]
    assert report.joints == {"fly: head": 0.5, "fly: tail": 0}


def test_missing_keypoint_is_wrong():
    truth = video(track_of(1, TEN, boxes(0), keypoints=keypoints(0)), categories={1: FLY})
    predictions = video(track_of(1, TEN, boxes(0), keypoints=keypoints(0, v=0)))
    report = evaluate(predictions, truth).kinds["pose"]
    assert report.joints == {"fly: head": 1, "fly: tail": 0}
    assert report.total["MOTP"] == pytest.approx(0.5)


def test_objects_with_score_0_are_neither_misses_nor_matches():
    """MOTChallenge's flag 0: a prediction there is no false positive, and without a prediction it is no miss."""
    ignored = track_of(2, TEN, boxes(100), scores=[0.0] * 10)
    truth = video(track_of(1, TEN, boxes(0)), ignored)
    for predictions in (TRUTH, video(track_of(1, TEN, boxes(0)))):
        report = scores(predictions, truth)
        assert (report["misses"], report["false_positives"], report["matches"]) == (0, 0, 10)


def test_unannotated_frames_do_not_count():
    truth = video(track_of(1, [0, 4], boxes(0, [0, 4])), annotated=np.array([0, 4]))
    predictions = video(track_of(1, TEN, boxes(0)))
    assert scores(predictions, truth)["MOTA"] == 1
    assert scores(predictions, truth.renamed(annotated=None))["false_positives"] == 8


def test_videos_without_predictions_or_without_ground_truth():
    empty = video()
    missed = scores(empty)
    assert (missed["HOTA"], missed["MOTA"], missed["IDF1"], missed["AP"], missed["misses"]) == (0, 0, 0, 0, 20)
    unmatched = scores(TRUTH, empty)
    assert unmatched["false_positives"] == 20
    assert np.isnan(unmatched["AP"])


def test_objects_without_a_mask_or_pose_do_not_count():
    """Only the first object has masks in the ground truth; its prediction has no mask in one frame."""
    mask = (square(4, 20),) * 10
    truth = video(track_of(1, TEN, boxes(0), masks=mask), track_of(3, TEN, boxes(200)), track_of(4, TEN, boxes(300)))
    predictions = video(
        track_of(1, TEN, boxes(0), masks=(*mask[:9], None)),
        track_of(3, TEN, boxes(200), masks=mask),  # the ground truth has no mask here
        track_of(4, TEN, boxes(300)),
    )
    total = scores(predictions, truth, "mask")
    assert (total["matches"], total["misses"], total["false_positives"]) == (9, 1, 0)
    assert scores(predictions, truth, "box")["matches"] == 30
    points = keypoints(0)
    truth = video(track_of(1, TEN, boxes(0), keypoints=points), track_of(3, TEN, boxes(200), keypoints=0 * points))
    predictions = video(track_of(1, TEN, boxes(0), keypoints=points), track_of(3, TEN, boxes(200), keypoints=points))
    assert scores(predictions, truth, "pose")["MOTA"] == 1


def test_classes_may_have_different_keypoints():
    """Flies have two keypoints, worms three, and objects of class 3 none."""
    worm = np.concatenate([keypoints(0), keypoints(3)[:, 1:]], axis=1)
    truth = video(
        track_of(1, TEN, boxes(0), keypoints=keypoints(0)),
        track_of(2, TEN, boxes(100), keypoints=worm, label=2),
        track_of(3, TEN, boxes(200), label=3),
        categories={1: FLY, 2: Category(name="worm", keypoints=("a", "b", "c"))},
    )
    report = evaluate(truth, truth).kinds["pose"]
    assert list(report.classes) == ["fly", "worm"]
    assert set(report.joints.values()) == {1}
    assert list(report.joints)[-1] == "worm: c"
    assert report.total["HOTA"] == report.total["AP"] == pytest.approx(1)
