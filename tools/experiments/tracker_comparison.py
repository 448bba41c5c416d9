#!/usr/bin/env python
"""Compare res3d's linking with the trackers of Roboflow's package ``trackers``, on the same noisy detections.

    python tools/experiments/tracker_comparison.py annotations/flies.json [--seeds 5]

The detections are the boxes of a CocoVID file without their ids. 5 % of them are dropped, their corners are moved by
Gaussian noise of 3 pixels, and 5 % of false positives are added. Scores are uniform in 0.7..1 for true boxes and in
0.1..0.5 for false ones. Every tracker has its default settings. Prints a Markdown table with the mean and the range
over the seeds.
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

# name in the table: keyword arguments of ``link_detections``
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
    """Return noisy detections of each frame of the ground truth."""
    rng = np.random.default_rng(seed)
    assert truth.size is not None
    height, width = truth.size
    frames = []
    for frame in truth.frames():
        boxes = frame.boxes[rng.random(len(frame)) >= DROPPED]
        moved = boxes + rng.normal(0, JITTER_PIXELS, boxes.shape)
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
    """Link the detections, and return the scores, the number of ids and the frames per second."""
    start = time.perf_counter()
    tracks = link_detections(detections, **arguments)
    seconds = time.perf_counter() - start
    total = evaluate(tracks, truth).kinds["box"].total
    return {**total, "ids": len(tracks), "frames/s": len(detections) / seconds}


def cell(name: str, values: list[float]) -> str:
    """Return one cell of the table: the mean and the range of the values."""
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
    for name, keywords in TRACKERS.items():
        scores = [score(truth, frames, keywords) for frames in inputs]
        cells = [cell(column, [s[key] for s in scores]) for column, key in COLUMNS.items()]
        speed = np.mean([s["frames/s"] for s in scores])
        print(f"| {name} | " + " | ".join(cells) + f" | {speed:,.0f} |", flush=True)


if __name__ == "__main__":
    main()
