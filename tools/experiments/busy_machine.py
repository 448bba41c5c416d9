#!/usr/bin/env python
"""Frames per second of extraction and tracking, alone and beside other processes, for several spin counts.

    python tools/experiments/busy_machine.py [--jobs extract track] [--threads 1 2] [--spins 300000 10000] [--rounds 3]

An idle OpenMP thread spins before it sleeps; `--spins` are values of GOMP_SPINCOUNT, whose default is 300000. The jobs
run beside "nothing", beside a second process with the same job ("run"), and beside two processes that compute without a
pause ("busy"). All settings run in turns, `--rounds` times. Prints the medians as a Markdown table.
"""

import argparse
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

BESIDE = ("nothing", "run", "busy")


def extraction(folder: Path, threads: int) -> Callable[[], int]:
    """Return a function that extracts features once and returns the number of frames."""
    import res3d
    from res3d.features import ExtractionRun, FeatureExtractor
    from res3d.video import VideoReader

    extractor = FeatureExtractor(res3d.create_backbone("r3d_18"))

    def run() -> int:
        features = ExtractionRun(extractor, VideoReader(folder / "sample.mp4", threads=threads)).extract()
        return int(features.frame_indices.max()) + 1

    return run


def tracking(folder: Path, threads: int) -> Callable[[], int]:
    """Return a function that tracks once and returns the number of frames."""
    from res3d.detection import DEMO_WEIGHTS, load_detector
    from res3d.inference import optimize
    from res3d.tracking import track_video
    from res3d.video import VideoReader

    model = optimize(load_detector(DEMO_WEIGHTS).eval())
    return lambda: track_video(VideoReader(folder / "sample.mp4", threads=threads), model).num_frames


JOBS = {"extract": extraction, "track": tracking}


def work(job: str, folder: Path, threads: int, seconds: float) -> None:
    """Warm up, print "ready", wait for a line on stdin, run for ``seconds``, and print the frames per second."""
    from res3d.threads import use_threads

    use_threads(threads)
    run = JOBS[job](folder, threads)
    run()
    print("ready", flush=True)
    sys.stdin.readline()
    frames, start_time = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start_time) < seconds:
        frames += run()
    print(frames / elapsed)


def start(job: str, folder: Path, threads: int, seconds: float, spin: str) -> "subprocess.Popen[str]":
    """Start a process that runs ``work``."""
    arguments = [job, str(folder), str(threads), str(seconds)]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    return subprocess.Popen(
        [sys.executable, __file__, "work", *arguments],
        env=environment | {"GOMP_SPINCOUNT": spin},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@contextmanager
def busy(processes: int) -> Iterator[None]:
    """Run processes that compute without a pause until the block ends."""
    children = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(processes)]
    try:
        yield
    finally:
        for child in children:
            child.kill()
            child.wait()


def measure(job: str, folder: Path, threads: int, seconds: float, spin: str, beside: str) -> float:
    """Return the frames per second, averaged over the processes with the job."""
    processes = [start(job, folder, threads, seconds, spin) for _ in range(1 + (beside == "run"))]
    for process in processes:
        if process.stdout is None or process.stdout.readline().strip() != "ready":
            raise SystemExit(f"{job} did not start")
    with busy(2 if beside == "busy" else 0):
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        return statistics.mean(float(process.communicate()[0]) for process in processes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=list(JOBS))
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--spins", nargs="+", default=["300000", "10000"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=6)
    options = parser.parse_args()
    from res3d.data import SyntheticVideo

    rates: dict[tuple[str, int, str, str], list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        SyntheticVideo().write(Path(name) / "sample.mp4")
        for _ in range(options.rounds):
            for setting in itertools.product(options.jobs, options.threads, BESIDE, options.spins):
                job, threads, beside, spin = setting
                rates.setdefault(setting, []).append(measure(job, Path(name), threads, options.seconds, spin, beside))
                print(*setting, f"{rates[setting][-1]:.1f}", file=sys.stderr, flush=True)
    print("| job | threads | beside it |", *(f"spin {spin} |" for spin in options.spins))
    print("|---|---|---|" + "---|" * len(options.spins))
    for job, threads, beside in itertools.product(options.jobs, options.threads, BESIDE):
        speeds = (statistics.median(rates[job, threads, beside, spin]) for spin in options.spins)
        print(f"| {job} | {threads} | {beside} |", *(f"{speed:.1f} |" for speed in speeds))


if __name__ == "__main__":
    if sys.argv[1:2] == ["work"]:
        with suppress(KeyboardInterrupt):
            work(sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5]))
    else:
        main()
