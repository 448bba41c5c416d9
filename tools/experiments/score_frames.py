#!/usr/bin/env python
"""Scores of tracks in a range of frames, for example the frames that a detector was not trained on.

    python tools/experiments/score_frames.py tracks/flies.json annotations/flies.json --frames 1500 2000

Both files have one video. Tracks are cut to the range and keep their ids.
"""

import argparse
from pathlib import Path

import numpy as np

from res3d.evaluation import evaluate
from res3d.structures import VideoTracks
from res3d.structures.formats import read_tracks


def cut(video: VideoTracks, first: int, stop: int) -> VideoTracks:
    """Return the tracks of a video in the frames [first, stop)."""
    inside = [(track, (track.frames >= first) & (track.frames < stop)) for track in video.tracks]
    tracks = tuple(track.at(rows) for track, rows in inside if rows.any())
    annotated = None if video.annotated is None else video.annotated[np.isin(video.annotated, range(first, stop))]
    return video.renamed(tracks=tracks, num_frames=min(stop, video.num_frames), annotated=annotated)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("predicted", type=Path)
    parser.add_argument("truth", type=Path)
    parser.add_argument("--frames", type=int, nargs=2, required=True, metavar=("FIRST", "STOP"))
    arguments = parser.parse_args()
    predicted, truth = (
        cut(next(iter(read_tracks(path).values())), *arguments.frames)
        for path in (arguments.predicted, arguments.truth)
    )
    print(evaluate(predicted, truth).table())


if __name__ == "__main__":
    main()
