import numpy as np
import pytest
from helpers.tracks import track_of

from res3d.evaluation.average_precision import average_precision
from res3d.evaluation.sequence import FramePair, pair_frames
from res3d.structures import VideoTracks

pytest.importorskip("pycocotools")
THRESHOLDS = np.linspace(0.5, 0.95, 10)


def random_pairs(frames: int = 8) -> list[FramePair]:
    """Return pairs of three objects, most of which have a prediction nearby, and random false positives."""
    rng = np.random.default_rng(1)
    truth, predictions = [], []
    for n in range(3):
        boxes = np.tile([30.0 * n, 0, 30.0 * n + 20, 20], (frames, 1)) + np.arange(frames)[:, None]
        truth.append(track_of(n + 1, np.arange(frames), boxes))
        rows = np.flatnonzero(rng.random(frames) < 0.8)
        shifted = boxes[rows] + rng.normal(0, 1.5, (len(rows), 1))
        predictions.append(track_of(n + 1, rows, shifted, scores=rng.random(len(rows))))
    predictions.append(track_of(9, range(frames), [[200, 200, 220, 220]] * frames, scores=rng.random(frames)))
    videos = (VideoTracks(tracks=tuple(side), num_frames=frames) for side in (truth, predictions))
    return pair_frames(*videos, label=1, kind="box")


def expected_precision(pairs: list[FramePair], threshold: float) -> float:
    """Return the mean over 101 recalls of the best precision at that recall or above, by COCO's greedy matching."""
    detections, objects = [], 0
    for pair in pairs:
        objects += len(pair.truth)
        free = set(range(len(pair.truth)))
        for m in np.argsort(-pair.predictions.scores):
            best = max(free, key=lambda n: pair.similarity[n, m], default=None)
            is_match = best is not None and pair.similarity[best, m] >= threshold
            free -= {best} if is_match else set()
            detections.append((float(pair.predictions.scores[m]), is_match))
    detections.sort(reverse=True)
    hits = np.cumsum([is_match for _, is_match in detections])
    precision, recall = hits / np.arange(1, len(hits) + 1), hits / objects
    return float(np.mean([max(precision[recall >= level - 1e-9], default=0) for level in np.linspace(0, 1, 101)]))


def test_average_precision_equals_a_loop_over_detections():
    pairs = random_pairs()
    scores = average_precision(pairs, "box")
    expected = [expected_precision(pairs, threshold) for threshold in THRESHOLDS]
    assert 0 < expected[5] < expected[0] < 1
    assert scores["AP50"] == pytest.approx(expected[0], abs=1e-6)
    assert scores["AP75"] == pytest.approx(expected[5], abs=1e-6)
    assert scores["AP"] == pytest.approx(np.mean(expected), abs=1e-6)


def test_average_precision_without_ground_truth_is_nan():
    empty = VideoTracks(tracks=(), num_frames=2)
    predictions = VideoTracks(tracks=(track_of(1, [0], [[0, 0, 9, 9]]),), num_frames=2)
    for video in (empty, predictions):
        scores = average_precision(pair_frames(empty, video, label=1, kind="box"), "box")
        assert list(scores) == ["AP", "AP50", "AP75"]
        assert np.isnan(list(scores.values())).all()


def test_average_precision_without_predictions_is_0():
    empty = VideoTracks(tracks=(), num_frames=2)
    truth = VideoTracks(tracks=(track_of(1, [0], [[0, 0, 9, 9]]),), num_frames=2)
    scores = average_precision(pair_frames(truth, empty, label=1, kind="box"), "box")
    assert scores == {"AP": 0, "AP50": 0, "AP75": 0}
