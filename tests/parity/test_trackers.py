"""Linking of res3d compared with the trackers of roboflow's package, on a video of flies."""

import importlib.util

import numpy as np
import pytest
from helpers.paths import ROOT

from res3d.structures import VideoTracks

pytest.importorskip("trackers")
pytest.importorskip("trackeval")

SCRIPT = ROOT / "tools" / "experiments" / "tracker_comparison.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("tracker_comparison", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("num_frames", [250, pytest.param(750, marks=pytest.mark.full)])
def test_linking_is_at_least_as_good_as_the_best_of_the_trackers(script, real_videos, num_frames):
    whole = VideoTracks.from_cocovid(real_videos.parent / "flies" / "flies.json")
    tracks = tuple(track.at(track.frames < num_frames) for track in whole.tracks)
    truth = whole.renamed(tracks=tracks, num_frames=num_frames)
    detections = script.disturb(truth, seed=11)
    scores = {name: script.score(truth, detections, how) for name, how in script.TRACKERS.items()}
    for name in ("MOTA", "IDF1", "HOTA"):
        best = np.max([score[name] for tracker, score in scores.items() if tracker.startswith("trackers")])
        assert scores["res3d"][name] >= best, name
        assert scores["res3d, gaps not filled"][name] >= best, name
    assert scores["res3d, `max_tracks=2`"]["switches"] == 0
