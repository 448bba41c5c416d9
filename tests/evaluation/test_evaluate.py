import json
import re
import sys

import numpy as np
import pytest
from helpers.tracks import random_video, track_of

from res3d.evaluation import evaluate
from res3d.evaluation.sequence import pair_frames
from res3d.evaluation.switches import find_switches
from res3d.evaluation.tracking_scores import score_sequence, summarize
from res3d.structures import Category, VideoTracks
from res3d.structures.formats import write_mot

trackeval = pytest.importorskip("trackeval")


def noisy(video: VideoTracks, seed: int = 0, swaps: float = 0.1) -> VideoTracks:
    """Return the tracks with noise: shifted boxes, misses, exchanged ids and false positives."""
    rng = np.random.default_rng(seed)
    ids = [track.id for track in video.tracks]
    rows: dict[int, list[tuple[int, np.ndarray]]] = {}
    for frame in video.frames():
        if rng.random() < swaps:
            rng.shuffle(ids)
        for n, identity in enumerate(ids):
            indices = np.flatnonzero(frame.ids == video.tracks[n].id)
            if len(indices) and rng.random() > 0.1:
                rows.setdefault(identity, []).append((frame.frame, frame.boxes[indices[0]] + rng.normal(0, 2, 4)))
        if rng.random() < 0.1:
            corner = rng.uniform(0, 500, 2)
            rows.setdefault(99, []).append((frame.frame, np.concatenate([corner, corner + 30])))
    tracks = [track_of(i, [f for f, _ in row], [b for _, b in row]) for i, row in rows.items()]
    return video.renamed(tracks=tuple(tracks))


def crowd(seed: int = 0, objects: int = 5, num_frames: int = 32, name: str = "crowd") -> VideoTracks:
    """Return tracks of random walks, which start and end at different frames."""
    rng = np.random.default_rng(seed)
    tracks = []
    for n in range(objects):
        frames = np.arange(rng.integers(0, 10), num_frames - rng.integers(0, 10))
        center = rng.uniform(50, 250, 2) + np.cumsum(rng.normal(0, 3, (len(frames), 2)), axis=0)
        tracks.append(track_of(n + 1, frames, np.concatenate([center - 25, center + 25], axis=1)))
    return VideoTracks(tracks=tuple(tracks), num_frames=num_frames, name=name)


@pytest.mark.parametrize("seed", range(3))
def test_scores_equal_trackeval_on_files(tmp_path, seed, capsys):
    truth = crowd(seed)
    predictions = noisy(truth, seed)
    truth_file = tmp_path / "gt" / "MOT17-train" / "crowd" / "gt" / "gt.txt"
    tracks_file = tmp_path / "trackers" / "MOT17-train" / "res3d" / "data" / "crowd.txt"
    for video, file in ((truth, truth_file), (predictions, tracks_file)):
        file.parent.mkdir(parents=True)
        write_mot(video, file)
    quiet = {"PRINT_CONFIG": False}
    dataset = trackeval.datasets.MotChallenge2DBox(
        {
            **quiet,
            "GT_FOLDER": str(tmp_path / "gt"),
            "TRACKERS_FOLDER": str(tmp_path / "trackers"),
            "SEQ_INFO": {"crowd": truth.num_frames},
            "BENCHMARK": "MOT17",
            "SPLIT_TO_EVAL": "train",
        }
    )
    settings = {"PRINT_RESULTS": False, "OUTPUT_SUMMARY": False, "OUTPUT_DETAILED": False, "PLOT_CURVES": False}
    evaluator = trackeval.Evaluator({**quiet, **settings, "TIME_PROGRESS": False, "OUTPUT_EMPTY_CLASSES": False})
    metrics = [trackeval.metrics.HOTA(), trackeval.metrics.CLEAR(dict(quiet)), trackeval.metrics.Identity(dict(quiet))]
    results, _ = evaluator.evaluate([dataset], metrics)
    expected = results["MotChallenge2DBox"]["res3d"]["crowd"]["pedestrian"]
    scores = evaluate(predictions, truth).kinds["box"].total
    assert scores["HOTA"] == pytest.approx(expected["HOTA"]["HOTA"].mean(), abs=1e-6)
    for name in ("MOTA", "MOTP"):
        assert scores[name] == pytest.approx(expected["CLEAR"][name], abs=1e-6)
    assert scores["IDF1"] == pytest.approx(expected["Identity"]["IDF1"])
    assert scores["switches"] == expected["CLEAR"]["IDSW"] > 0
    capsys.readouterr()


@pytest.mark.parametrize("seed", range(5))
def test_find_switches_lists_as_many_as_trackeval_counts(seed):
    truth = crowd(seed)
    pairs = pair_frames(truth, noisy(truth, seed, swaps=0.3), label=1, kind="box")
    assert len(find_switches(pairs)) == summarize(score_sequence(pairs))["switches"] > 3


def test_scores_of_videos_and_their_total():
    truth = {name: crowd(seed, name=name) for seed, name in enumerate("ab")}
    predictions = {name: noisy(video, seed) for seed, (name, video) in enumerate(truth.items())}
    report = evaluate(predictions, truth).kinds["box"]
    single = [evaluate(predictions[name], truth[name]).kinds["box"].total for name in "ab"]
    for scores, expected in zip(report.videos.values(), single, strict=True):
        assert scores == expected
    for name in ("misses", "matches", "false_positives", "switches"):
        assert report.total[name] == sum(part[name] for part in single)
    assert min(p["AP50"] for p in single) - 0.05 < report.total["AP50"] < max(p["AP50"] for p in single) + 0.05


def test_videos_match_by_name_with_or_without_a_suffix():
    truth = {"flies.mp4": crowd(name="flies.mp4")}
    assert evaluate({"flies": crowd()}, truth).kinds["box"].total["MOTA"] == 1


@pytest.mark.parametrize(
    ("predictions", "truth", "message"),
    [
        ("ab", "a", "the predictions have a video 'b' that the ground truth lacks; it has 'a'"),
        ("a", "ab", "the ground truth has a video 'b' that the predictions lack; they have 'a'"),
        ("abcdefgh", "x", "a video 'x' that the predictions lack; they have 'a', 'b', 'c', 'd', 'e' and 3 more"),
    ],
)
def test_videos_that_only_one_side_has_are_refused(predictions, truth, message):
    videos = {name: crowd() for name in "abcdefghx"}
    with pytest.raises(ValueError, match=re.escape(message)):
        evaluate({name: videos[name] for name in predictions}, {name: videos[name] for name in truth})


def test_one_video_and_several_videos_are_refused():
    with pytest.raises(ValueError, match="must both be one video, or both be videos by name"):
        evaluate(crowd(), {"a": crowd()})


def with_label(video: VideoTracks, label: int, categories: dict[int, str] | None = None) -> VideoTracks:
    """Return the video with all tracks under ``label``, and with categories of these names."""
    tracks = tuple(track.relabeled(label) for track in video.tracks)
    return video.renamed(tracks=tracks, categories={n: Category(name=name) for n, name in (categories or {}).items()})


def test_classes_match_by_name_if_both_sides_have_names():
    truth = with_label(crowd(), 1, {1: "fly", 2: "bee"})
    assert evaluate(with_label(crowd(), 7, {7: "fly"}), truth).kinds["box"].total["MOTA"] == 1
    assert evaluate(with_label(crowd(), 1), truth).kinds["box"].total["MOTA"] == 1
    bees = evaluate(with_label(crowd(), 2, {2: "bee"}), truth).kinds["box"]
    assert (bees.total["matches"], bees.total["false_positives"]) == (0, sum(map(len, crowd().tracks)))


def test_classes_without_ground_truth_are_excluded_and_noted():
    count = sum(map(len, crowd().tracks))
    truth = with_label(crowd(), 1, {1: "fly"})
    report = evaluate(with_label(crowd(), 7, {7: "cat"}), truth)
    note = f"crowd: {count} predictions of class 'cat' excluded: the ground truth has no such class"
    assert report.notes == (note,)
    assert report.kinds["box"].total["false_positives"] == 0
    assert note in report.table()
    (note,) = evaluate(with_label(crowd(), 7), truth).notes
    assert note.startswith(f"crowd: {count} predictions of label 7 excluded")


def test_kinds_are_those_that_both_sides_have():
    both = random_video()
    assert list(evaluate(both, both).kinds) == ["box", "mask", "pose"]
    assert list(evaluate(both, random_video(masks=False)).kinds) == ["box", "pose"]
    assert list(evaluate(random_video(poses=False), both).kinds) == ["box", "mask"]


def test_different_numbers_of_keypoints_are_refused():
    truth, predictions = (
        VideoTracks(
            tracks=(track_of(1, [0], [[0, 0, 9, 9]], keypoints=np.ones((1, count, 3), np.float32)),), num_frames=1
        )
        for count in (5, 4)
    )
    with pytest.raises(ValueError, match="the ground truth has 5 keypoints per object, the predictions 4"):
        evaluate(predictions, truth)


def test_report_as_text_and_as_json(tmp_path):
    truth = {name: with_label(crowd(seed, name=name), 1, {1: "fly"}) for seed, name in enumerate("ab")}
    predictions = {name: noisy(video, swaps=0.5) for name, video in truth.items()}
    report = evaluate(predictions, truth)
    report.to_json(tmp_path / "scores.json")
    data = json.loads((tmp_path / "scores.json").read_text())
    total = report.kinds["box"].total
    assert data["box"]["total"] == total
    assert list(data["box"]["videos"]) == ["a", "b"]
    assert len(data["box"]["switches"]) == total["switches"]
    assert set(data["box"]["switches"][0]) == {"video", "class", "frame", "id", "before", "after"}
    text = report.table(most_switches=3)
    lines = text.splitlines()
    assert lines[0].split()[:4] == ["box", "HOTA", "DetA", "AssA"]
    assert lines[3].split()[:2] == ["total", f"{100 * total['HOTA']:.2f}"]
    assert sum(line.startswith("switch in ") for line in lines) == 3
    assert f"... and {total['switches'] - 3} more switches" in text


def test_undefined_scores_are_null_in_json_and_a_dash_in_text():
    empty = VideoTracks(tracks=(), num_frames=10)
    report = evaluate(crowd(num_frames=20, objects=1).renamed(name="video"), empty)
    assert report.to_dict()["box"]["total"]["AP"] is None
    assert report.table().splitlines()[-1].split()[-1] == "-"


@pytest.mark.parametrize(
    ("module", "message"),
    [
        ("trackeval.metrics", "tracking scores need trackeval"),
        ("pycocotools.coco", "average precision needs pycocotools"),
    ],
)
def test_missing_packages_are_named(monkeypatch, module, message):
    from res3d.evaluation import tracking_scores

    tracking_scores._metrics.cache_clear()
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=f"{message}: pip install {module.partition('.')[0]}"):
        evaluate(crowd(), crowd())
