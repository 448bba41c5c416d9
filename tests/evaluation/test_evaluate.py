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
    """Boxes jittered, some dropped, ids exchanged now and then, false alarms."""
    rng = np.random.default_rng(seed)
    ids = [track.id for track in video.tracks]
    rows: dict[int, list[tuple[int, np.ndarray]]] = {}
    for frame in video.frames():
        if rng.random() < swaps:
            rng.shuffle(ids)
        for n, identity in enumerate(ids):
            at = np.flatnonzero(frame.ids == video.tracks[n].id)
            if len(at) and rng.random() > 0.1:
                rows.setdefault(identity, []).append((frame.frame, frame.boxes[at[0]] + rng.normal(0, 2, 4)))
        if rng.random() < 0.1:
            corner = rng.uniform(0, 500, 2)
            rows.setdefault(99, []).append((frame.frame, np.concatenate([corner, corner + 30])))
    tracks = [track_of(i, [f for f, _ in own], [b for _, b in own]) for i, own in rows.items()]
    return video.renamed(tracks=tuple(tracks))


def crowd(seed: int = 0, objects: int = 6, num_frames: int = 60, name: str = "crowd") -> VideoTracks:
    rng = np.random.default_rng(seed)
    tracks = []
    for n in range(objects):
        frames = np.arange(rng.integers(0, 10), num_frames - rng.integers(0, 10))
        center = rng.uniform(50, 250, 2) + np.cumsum(rng.normal(0, 3, (len(frames), 2)), axis=0)
        tracks.append(track_of(n + 1, frames, np.concatenate([center - 25, center + 25], axis=1)))
    return VideoTracks(tracks=tuple(tracks), num_frames=num_frames, name=name)


@pytest.mark.parametrize("seed", range(3))
def test_scores_are_trackevals_own_from_files(tmp_path, seed, capsys):
    truth = crowd(seed)
    found = noisy(truth, seed)
    write_mot(truth, tmp_path / "truth.txt")
    write_mot(found, tmp_path / "found.txt")
    for folder, file in (("gt/MOT17-train/crowd/gt", "truth.txt"), ("trackers/MOT17-train/ours/data", "found.txt")):
        (tmp_path / folder).mkdir(parents=True)
        target = "gt.txt" if "gt" in folder.split("/")[-1] else "crowd.txt"
        (tmp_path / file).rename(tmp_path / folder / target)
    quiet = {"PRINT_CONFIG": False}
    dataset = trackeval.datasets.MotChallenge2DBox(
        {
            **quiet,
            "GT_FOLDER": str(tmp_path / "gt"),
            "TRACKERS_FOLDER": str(tmp_path / "trackers"),
            "SEQ_INFO": {"crowd": 60},
            "BENCHMARK": "MOT17",
            "SPLIT_TO_EVAL": "train",
        }
    )
    settings = {"PRINT_RESULTS": False, "OUTPUT_SUMMARY": False, "OUTPUT_DETAILED": False, "PLOT_CURVES": False}
    evaluator = trackeval.Evaluator({**quiet, **settings, "TIME_PROGRESS": False, "OUTPUT_EMPTY_CLASSES": False})
    metrics = [trackeval.metrics.HOTA(), trackeval.metrics.CLEAR(dict(quiet)), trackeval.metrics.Identity(dict(quiet))]
    results, _ = evaluator.evaluate([dataset], metrics)
    theirs = results["MotChallenge2DBox"]["ours"]["crowd"]["pedestrian"]
    ours = evaluate(found, truth).kinds["box"].total
    assert ours["HOTA"] == pytest.approx(theirs["HOTA"]["HOTA"].mean(), abs=1e-6)
    for name in ("MOTA", "MOTP"):
        assert ours[name] == pytest.approx(theirs["CLEAR"][name], abs=1e-6)
    assert ours["IDF1"] == pytest.approx(theirs["Identity"]["IDF1"])
    assert ours["switches"] == theirs["CLEAR"]["IDSW"] > 0
    capsys.readouterr()


@pytest.mark.parametrize("seed", range(5))
def test_every_switch_is_listed(seed):
    truth = crowd(seed)
    pairs = pair_frames(truth, noisy(truth, seed, swaps=0.3), label=1, kind="box")
    assert len(find_switches(pairs)) == summarize(score_sequence(pairs))["switches"] > 3


def test_videos_and_total():
    truth = {name: crowd(seed, name=name) for seed, name in enumerate("ab")}
    found = {name: noisy(video, seed) for seed, (name, video) in enumerate(truth.items())}
    report = evaluate(found, truth).kinds["box"]
    single = [evaluate(found[name], truth[name]).kinds["box"].total for name in "ab"]
    for part, own in zip(report.videos.values(), single, strict=True):
        assert part == own
    for name in ("misses", "matches", "false_positives", "switches"):
        assert report.total[name] == sum(part[name] for part in single)
    assert min(p["AP50"] for p in single) - 0.05 < report.total["AP50"] < max(p["AP50"] for p in single) + 0.05


def test_videos_go_by_name_with_or_without_a_suffix():
    truth = {"flies.mp4": crowd(name="flies.mp4")}
    assert evaluate({"flies": crowd()}, truth).kinds["box"].total["MOTA"] == 1


@pytest.mark.parametrize(
    ("found", "truth", "message"),
    [
        ("ab", "a", "the predictions have a video 'b' that the ground truth lacks; it has 'a'"),
        ("a", "ab", "the ground truth has a video 'b' that the predictions lack; they have 'a'"),
        ("abcdefgh", "x", "a video 'x' that the predictions lack; they have 'a', 'b', 'c', 'd', 'e' and 3 more"),
    ],
)
def test_other_videos_are_refused(found, truth, message):
    videos = {name: crowd() for name in "abcdefghx"}
    with pytest.raises(ValueError, match=re.escape(message)):
        evaluate({name: videos[name] for name in found}, {name: videos[name] for name in truth})


def test_one_video_is_not_compared_with_many():
    with pytest.raises(ValueError, match="must both be one video, or both be videos by name"):
        evaluate(crowd(), {"a": crowd()})


def named(video: VideoTracks, label: int, **names: str) -> VideoTracks:
    tracks = tuple(track.relabeled(label) for track in video.tracks)
    return video.renamed(tracks=tracks, categories={int(k[1:]): Category(name=v) for k, v in names.items()})


def test_classes_go_by_their_names_where_both_sides_have_names():
    truth = named(crowd(), 1, _1="fly", _2="bee")
    assert evaluate(named(crowd(), 7, _7="fly"), truth).kinds["box"].total["MOTA"] == 1
    assert evaluate(named(crowd(), 1), truth).kinds["box"].total["MOTA"] == 1
    bees = evaluate(named(crowd(), 2, _2="bee"), truth).kinds["box"]
    assert (bees.total["matches"], bees.total["false_positives"]) == (0, sum(map(len, crowd().tracks)))


def test_classes_that_the_truth_does_not_know_are_left_out_and_said():
    count = sum(map(len, crowd().tracks))
    truth = named(crowd(), 1, _1="fly")
    report = evaluate(named(crowd(), 7, _7="cat"), truth)
    assert report.notes == (f"crowd: {count} predictions of class 'cat' left out: not in the truth",)
    assert report.kinds["box"].total["false_positives"] == 0
    assert report.notes[0] in report.table()
    assert evaluate(named(crowd(), 7), truth).notes[0].startswith(f"crowd: {count} predictions of label 7 left out")


def test_kinds_are_those_that_both_sides_have():
    both = random_video()
    assert list(evaluate(both, both).kinds) == ["box", "mask", "pose"]
    assert list(evaluate(both, random_video(masks=False)).kinds) == ["box", "pose"]
    assert list(evaluate(random_video(poses=False), both).kinds) == ["box", "mask"]


def test_poses_of_another_kind_are_refused():
    truth = VideoTracks(
        tracks=(track_of(1, [0], [[0, 0, 9, 9]], keypoints=np.ones((1, 5, 3), np.float32)),), num_frames=1
    )
    found = VideoTracks(
        tracks=(track_of(1, [0], [[0, 0, 9, 9]], keypoints=np.ones((1, 4, 3), np.float32)),), num_frames=1
    )
    with pytest.raises(ValueError, match="the ground truth has 5 keypoints an object, the predictions 4"):
        evaluate(found, truth)


def test_the_report_as_text_and_as_json(tmp_path):
    truth = {name: named(crowd(seed, name=name), 1, _1="fly") for seed, name in enumerate("ab")}
    found = {name: noisy(video, swaps=0.5) for name, video in truth.items()}
    report = evaluate(found, truth)
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
    assert f"... and {total['switches'] - 3} switches more" in text


def test_numbers_that_do_not_exist_are_null_in_json_and_a_dash_in_text():
    nothing = VideoTracks(tracks=(), num_frames=10)
    report = evaluate(crowd(num_frames=20, objects=1).renamed(name="video"), nothing)
    assert report.to_dict()["box"]["total"]["AP"] is None
    assert report.table().splitlines()[-1].split()[-1] == "-"


@pytest.mark.parametrize(
    ("module", "message"),
    [
        ("trackeval.metrics", "tracking scores need trackeval"),
        ("pycocotools.coco", "average precision needs pycocotools"),
    ],
)
def test_missing_tools_are_named(monkeypatch, module, message):
    from res3d.evaluation import tracking_scores

    tracking_scores._metrics.cache_clear()
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=f"{message}: pip install {module.partition('.')[0]}"):
        evaluate(crowd(), crowd())
