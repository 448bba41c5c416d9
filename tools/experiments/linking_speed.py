#!/usr/bin/env python
"""Frames per second of linking, on one thread.

    OMP_NUM_THREADS=1 python tools/experiments/linking_speed.py [--objects 5 20 80]

The input are moving boxes, of which 5 % are missing, with one false positive per frame; and tubes of 8 frames with
stride 4 of the same boxes. Prints the best of three runs as a Markdown table.
"""

import argparse
import time
from collections.abc import Callable

import numpy as np

from res3d.structures import ClipDetections, FrameDetections
from res3d.tracking import link_detections, link_tubes

SIDE = 2000  # pixels of a frame
LENGTH, STRIDE = 8, 4


def paths(objects: int, frames: int) -> np.ndarray:
    """Return the boxes of moving objects: [frames, objects, 4] xyxy."""
    rng = np.random.default_rng(0)
    sides = rng.uniform(40, 120, (objects, 2))
    start, speed = rng.uniform(0, SIDE, (objects, 2)), rng.normal(0, 3, (objects, 2))
    center = np.abs((start + speed * np.arange(frames)[:, None, None]) % (2 * SIDE) - SIDE)  # reflected at the border
    return np.concatenate([center - sides / 2, center + sides / 2], axis=2)


def detections(boxes: np.ndarray) -> list[FrameDetections]:
    """Return noisy detections of each frame: 5 % of the boxes are missing, and there is one false positive."""
    rng = np.random.default_rng(1)
    frames = []
    for frame in boxes:
        corner = rng.uniform(0, SIDE, (1, 2))
        true = frame[rng.random(len(frame)) > 0.05]
        noisy = np.concatenate([true + rng.normal(0, 1, true.shape), np.concatenate([corner, corner + 60], axis=1)])
        scores = np.append(rng.uniform(0.6, 1, len(true)), rng.uniform(0.1, 0.4))
        frames.append(
            FrameDetections(
                boxes=noisy.astype(np.float32),
                scores=scores.astype(np.float32),
                labels=np.ones(len(noisy), np.int64),
            )
        )
    return frames


def tubes(boxes: np.ndarray) -> list[ClipDetections]:
    """Return noisy tubes of each clip: 5 % of the tubes are missing."""
    rng = np.random.default_rng(2)
    clips = []
    for start in range(0, len(boxes) - LENGTH + 1, STRIDE):
        part = boxes[start : start + LENGTH].transpose(1, 0, 2)
        part = part[rng.random(len(part)) > 0.05]
        clips.append(
            ClipDetections(
                frames=np.arange(start, start + LENGTH),
                boxes=(part + rng.normal(0, 1, part.shape)).astype(np.float32),
                visible=rng.uniform(0.6, 1, part.shape[:2]).astype(np.float32),
                scores=rng.uniform(0.6, 1, len(part)).astype(np.float32),
                labels=np.ones(len(part), np.int64),
            )
        )
    return clips


def best_seconds(run: Callable[[], object]) -> float:
    """Return the shortest of three runs, in seconds."""
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, nargs="+", default=[5, 20, 80])
    parser.add_argument("--frames", type=int, default=2000)
    arguments = parser.parse_args()
    print("| objects per frame | detections, frames/s | tubes of 8 at stride 4, frames/s |\n|---|---|---|")
    for objects in arguments.objects:
        boxes = paths(objects, arguments.frames)
        frames, clips = detections(boxes), tubes(boxes)
        by_frame = best_seconds(lambda frames=frames: link_detections(frames))  # type: ignore[misc]
        by_tube = best_seconds(lambda clips=clips: link_tubes(clips))  # type: ignore[misc]
        rates = [f"{arguments.frames / seconds:,.0f}" for seconds in (by_frame, by_tube)]
        print(f"| {objects} | {rates[0]} | {rates[1]} |", flush=True)


if __name__ == "__main__":
    main()
