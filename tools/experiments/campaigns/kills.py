#!/usr/bin/env python
"""Kills commands at random moments, runs them again until they are done, and compares with undisturbed runs.

    python tools/experiments/campaigns/kills.py [--count 50] [--seed 0]

Each case is one of extract (two videos), track, classify and train on generated data. It is killed with SIGKILL once
or twice at random moments, and then run to its end. Outcomes:

    equal       the results are those of an undisturbed run, and no unfinished file is left
    different   the results differ: must be 0
    stuck       the command refuses to go on: must be 0
    left over   a hidden unfinished file remains: must be 0
    half        after a kill, a file under its final name could not be read: must be 0
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from cases import Outcome, main, run_cases

COMMANDS = ("extract", "track", "train")
SPEC = Path(__file__).parents[3] / "configs" / "backbones" / "resnet10_3d_thin.yaml"


@dataclass(frozen=True)
class Case:
    command: str
    seed: int
    folder: Path


def arguments(command: str, data: Path, out: Path) -> list[str]:
    """The command line; its files lie in ``data``, its results in ``out``."""
    start = [sys.executable, "-m", "res3d", command]
    if command == "extract":
        return [*start, str(data / "a.mp4"), str(data / "b.mp4"), "--model", str(SPEC), "--out", str(out)]
    if command == "track":
        return [*start, str(data / "a.mp4"), "--out", str(out)]
    return [*start, "--config", str(data / "train.yaml"), "--out", str(out)]


def prepare(folder: Path) -> None:
    """Write the data, and the results of undisturbed runs with the seconds that they took."""
    from res3d.data import SyntheticVideo

    folder.mkdir(exist_ok=True)
    for name, seed in (("a", 0), ("b", 1)):
        SyntheticVideo(seed=seed, num_frames=40, size=(96, 128)).write(folder / f"{name}.mp4")
    (folder / "train.yaml").write_text(f"""
model:
  {{kind: detector, backbone: {SPEC}, mask: false, channels: 8,
    min_size: 32, max_size: 32, anchor_sizes: [8, 12, 16, 24, 32]}}
train: {{kind: synthetic, num_clips: 16, length: 2, side: 32}}
validate: {{kind: synthetic, num_clips: 4, length: 2, side: 32, seed: 9}}
epochs: 4
batch_size: 4
checkpoint_every: 2
accelerator: cpu
log_every: 1
""")
    for command in COMMANDS:
        began = time.monotonic()
        words = arguments(command, folder, folder / command)
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL, env=environment())
        (folder / f"{command}.seconds").write_text(str(time.monotonic() - began))


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def contents(out: Path) -> dict[str, object]:
    """Return the content of the results, without times and paths."""
    found: dict[str, object] = {}
    for path in sorted(out.rglob("*")):
        name = str(path.relative_to(out))
        if path.suffix == ".npz":
            with np.load(path) as file:
                found[name] = {key: file[key].tobytes() for key in file.files if key != "meta"}
        elif path.suffix == ".mp4":
            from res3d.video import VideoReader

            found[name] = b"".join(image.tobytes() for image, _ in VideoReader(path))
        elif path.name == "last.safetensors":
            from safetensors.numpy import load_file

            found[name] = {key: value.tobytes() for key, value in load_file(path).items()}
        elif path.suffix in (".txt",) or path.name.endswith("tracks.json"):
            found[name] = path.read_bytes()
    return found


def broken(out: Path) -> str | None:
    """The name of a file that cannot be read, of those under their final names."""
    import json

    for path in out.rglob("*"):
        try:
            if path.name.startswith(".") or not path.is_file():
                continue
            if path.suffix == ".npz":
                with np.load(path) as file:
                    [file[key] for key in file.files]
            elif path.suffix == ".json":
                json.loads(path.read_text())
            elif path.suffix == ".mp4":
                from res3d.video import VideoReader

                list(VideoReader(path))
            elif path.suffix == ".safetensors":
                from safetensors.numpy import load_file

                load_file(path)
        except Exception as error:  # of any library
            return f"{path.name}: {error}"
    return None


def run(case: Case) -> tuple[str, str]:
    rng = random.Random(case.seed)
    normal = float((case.folder / f"{case.command}.seconds").read_text())
    with tempfile.TemporaryDirectory() as name:
        data, out = Path(name) / "data", Path(name) / "out"
        data.mkdir()
        for path in (*case.folder.glob("*.mp4"), case.folder / "train.yaml"):
            shutil.copy(path, data)
        words = arguments(case.command, data, out)
        for _ in range(rng.choice([1, 1, 2])):
            process = subprocess.Popen(
                words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment(), start_new_session=True
            )
            try:
                process.wait(normal * rng.uniform(0.3, 1.1))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            if (file := broken(out)) is not None:
                return "half", file
        done = subprocess.run(words, capture_output=True, text=True, env=environment())
        if done.returncode:
            return "stuck", done.stderr.strip().splitlines()[-1][:200] if done.stderr.strip() else str(done.returncode)
        hidden = [p.name for p in out.rglob("*") if ".unfinished" in p.name or ".partial" in p.name]
        if hidden:
            return "left over", ", ".join(hidden)
        ours, theirs = contents(out), contents(case.folder / case.command)
        if ours.keys() != theirs.keys():
            return "different", f"files {sorted(ours.keys() ^ theirs.keys())}"
        other = [key for key in ours if ours[key] != theirs[key]]
        return ("different", ", ".join(other)) if other else ("equal", "")


def campaign(
    count: int, seed: int, *, workers: int = 2, show: Callable[[Outcome], None] = lambda outcome: None
) -> list[Outcome]:
    outcomes = []
    with tempfile.TemporaryDirectory() as name:
        prepare(Path(name))
        rng = random.Random(seed)
        cases = [Case(COMMANDS[n % len(COMMANDS)], rng.randrange(10**9), Path(name)) for n in range(count)]
        for outcome in run_cases(run, cases, workers=workers, seconds=300):
            show(outcome)
            outcomes.append(outcome)
    return outcomes


if __name__ == "__main__":
    main(
        __doc__,
        campaign,
        count=50,
        good=["equal"],
        bad=["different", "stuck", "left over", "half"],
    )
