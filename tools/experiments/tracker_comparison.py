#!/usr/bin/env python
"""Our linking beside the trackers of roboflow's package, on the same disturbed detections.

    python tools/experiments/tracker_comparison.py ../shared/data/flies/flies.json [--seeds 5]

The true boxes of a CocoVID file lose their ids; 5 % of them are dropped, corners are moved by 3 pixels (standard
deviation), and 5 % of false positives of low score are added. Scores of true boxes are drawn from 0.7 to 1, of false
ones from 0.1 to 0.5. Every tracker has its defaults. Prints a Markdown table: mean and range over the seeds.
"""

import argparse
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from res3d.evaluation import evaluate
from res3d.structures import FrameDetections, VideoTracks
from res3d.tracking import link_detections

# name in the table: how detections are linked
TRACKERS: Mapping[str, Mapping[str, Any]] = {
    "res3d": {},
    "res3d, gaps not filled": {"fill_gaps": 0},
    "res3d, `max_tracks=2`": {"max_tracks": 2},
    "trackers ByteTrack": {"engine": "bytetrack"},
    "trackers OC-SORT": {"engine": "ocsort"},
    "trackers SORT": {"engine": "sort"},
}
COLUMNS = {"MOTA": "MOTA", "IDF1": "IDF1", "HOTA": "HOTA", "switches": "switches", "ids": "ids"}

DROPPED = 0.05
JITTER_PIXELS = 3.0
FALSE_POSITIVES = 0.05
FALSE_SIDES_PIXELS = (60.0, 160.0)


def disturb(truth: VideoTracks, seed: int) -> list[FrameDetections]:
    rng = np.random.default_rng(seed)
    assert truth.size is not None
    height, width = truth.size
    frames = []
    for frame in truth.frames():
        kept = frame.boxes[rng.random(len(frame)) >= DROPPED]
        moved = kept + rng.normal(0, JITTER_PIXELS, kept.shape)
        count = int((rng.random(len(frame)) < FALSE_POSITIVES).sum())
        sides = rng.uniform(*FALSE_SIDES_PIXELS, (count, 2))
        corners = rng.uniform(0, np.array([width, height]) - sides)
        false = np.concatenate([corners, corners + sides], axis=1)
        boxes = np.concatenate([moved, false])
        boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2])
        scores = np.concatenate([rng.uniform(0.7, 1, len(moved)), rng.uniform(0.1, 0.5, count)])
        frames.append(
            FrameDetections(
                boxes=boxes.astype(np.float32),
                scores=scores.astype(np.float32),
                labels=np.ones(len(boxes), np.int64),
            )
        )
    return frames


def score(truth: VideoTracks, detections: list[FrameDetections], arguments: Mapping[str, Any]) -> dict[str, float]:
    began = time.perf_counter()
    found = link_detections(detections, **arguments)
    seconds = time.perf_counter() - began
    total = evaluate(found, truth).kinds["box"].total
    return {**total, "ids": len(found), "frames/s": len(detections) / seconds}


def cell(name: str, values: list[float]) -> str:
    mean, low, high = float(np.mean(values)), min(values), max(values)
    if name in ("switches", "ids"):
        return f"{mean:.1f} ({low:.0f} to {high:.0f})"
    return f"{100 * mean:.2f} ({100 * low:.2f} to {100 * high:.2f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("truth")
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    truth = VideoTracks.from_cocovid(arguments.truth)
    truth = truth.renamed(tracks=tuple(replace(track, keypoints=None) for track in truth.tracks))
    inputs = [disturb(truth, seed) for seed in range(arguments.seeds)]
    print(f"{truth.name}: {truth.num_frames} frames, {len(truth)} objects; mean (range) of {arguments.seeds} seeds\n")
    print("| tracker | " + " | ".join([*COLUMNS, "frames/s"]) + " |")
    print("|---|" + "---|" * (len(COLUMNS) + 1))
    for name, how in TRACKERS.items():
        scores = [score(truth, frames, how) for frames in inputs]
        cells = [cell(column, [s[key] for s in scores]) for column, key in COLUMNS.items()]
        speed = np.mean([s["frames/s"] for s in scores])
        print(f"| {name} | " + " | ".join(cells) + f" | {speed:,.0f} |", flush=True)


if __name__ == "__main__":
    main()
