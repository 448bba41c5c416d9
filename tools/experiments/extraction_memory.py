#!/usr/bin/env python
"""Peak memory of feature extraction for videos of several lengths.

    python tools/experiments/extraction_memory.py --minutes 1 10 [--source VIDEO] [flags of res3d extract ...]

The videos are the source (by default a generated one), looped to each length by copying its packets. Each extraction
runs in a new process; its peak memory is ru_maxrss of the operating system.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

import av

from res3d.data import SyntheticVideo
from res3d.video import VideoReader

EXTRACT = Path(__file__).parent.parent / "extract_features.py"


def loop(source: Path, target: Path, seconds: float) -> None:
    """Repeat the packets of ``source`` until ``target`` lasts ``seconds``."""
    frames = list(VideoReader(source).frames())
    length = frames[-1].time + frames[-1].duration
    with av.open(str(target), "w") as output:
        stream = None
        for repeat in range(-(-int(seconds * 1000) // int(length * 1000))):
            with av.open(str(source)) as container:
                video = container.streams.video[0]
                stream = stream or output.add_stream_from_template(video)
                shift = round(repeat * length / Fraction(video.time_base))
                for packet in container.demux(video):
                    if packet.dts is None:
                        continue
                    packet.pts, packet.dts, packet.stream = packet.pts + shift, packet.dts + shift, stream
                    output.mux(packet)


def peak_of(command: list[str]) -> tuple[float, str]:
    """Run a command, and return its peak memory in MiB and its line about the video."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    output = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    if status != 0:
        raise SystemExit(f"{' '.join(command)} failed:\n{output}")
    return usage.ru_maxrss / 1024, next(line for line in output.splitlines() if " clips -> " in line)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, nargs="+", default=[1, 10])
    parser.add_argument("--source", type=Path)
    arguments, flags = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as folder:
        source = arguments.source
        if source is None:
            source = Path(folder) / "source.mp4"
            SyntheticVideo(num_frames=250, size=(480, 640)).write(source)
        info = VideoReader(source).info
        size = f"{info.width}×{info.height} at {info.fps:g} frames/s"
        print(f"{source.name} looped, {size}; flags: {' '.join(flags) or 'none'}\n")
        print("| minutes | peak memory | ratio | |\n|---|---|---|---|")
        first = None
        for minutes in arguments.minutes:
            video = Path(folder) / f"{minutes:g}_minutes.mp4"
            loop(source, video, 60 * minutes)
            peak, line = peak_of([sys.executable, str(EXTRACT), str(video), "--out", folder, *flags])
            first = first or peak
            summary = line.split(": ", 1)[-1].replace(f"{folder}/", "")
            print(f"| {minutes:g} | {peak:,.0f} MiB | {peak / first:.3f} | {summary} |", flush=True)


if __name__ == "__main__":
    main()
