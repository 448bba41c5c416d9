#!/usr/bin/env python
"""Accuracy after fine-tuning with frozen stages, and time of a step with cached frozen features, per freeze_at.

    python tools/experiments/freezing.py run --target heading --out runs/freezing
    python tools/experiments/freezing.py run --target shape --out runs/freezing
    python tools/experiments/freezing.py cache VIDEO VIDEO --out runs/freezing
    python tools/experiments/freezing.py report --out runs/freezing --plot docs/freezing.png

``run``: a small detector is trained on discs, squares and triangles. Its backbone then initializes detectors that are
trained on other clips, either with the same classes (``--target shape``) or with the direction of motion as the class
(``--target heading``), which a single frame does not show. Each is trained for the same number of epochs with the first
``freeze_at`` stages frozen.
``cache``: r3d_18 is trained to classify videos, with and without the cache, to measure the time of a step.

Finished runs are skipped, so that the same command resumes the experiment. For memory see ``freezing_memory.py``.
"""

import argparse
import csv
from pathlib import Path

import torch

import res3d
from res3d.settings import build_dataclass
from res3d.training import TrainingResult, TrainingSettings, train

DEPTHS = range(6)
TARGETS = ("heading", "shape")  # classes of the fine-tuning data
SIZE = {"length": 6, "side": 96, "seconds": [0.6, 0.6]}
MODEL = {
    "kind": "detector",
    "backbone": "resnet18_3d",
    "width": 0.25,
    "design": "torchvision_v2",
    "mask": False,
    "channels": 48,
    "anchor_sizes": [12, 24, 36, 48, 72],
    "min_size": 96,
    "max_size": 96,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.25, 0.25, 0.25],
    "rpn_pre_nms_top_n_train": 200,
    "rpn_post_nms_top_n_train": 100,
    "rpn_pre_nms_top_n_test": 100,
    "rpn_post_nms_top_n_test": 50,
    "rpn_batch_size_per_image": 64,
    "box_batch_size_per_image": 32,
    "box_detections_per_img": 20,
    "spec": {"proposals": {"depth": 1}, "box": {"convs": [48, 48]}},
}
STEP = {
    "batch_size": 2,
    "learning_rate": 1e-3,
    "weight_decay": 0.05,
    "warm_up": 50,
    "schedule": "cosine",
    "clip_gradient": 10.0,
    "averaging": 0.98,
    "log_every": 10,
}


def train_with(**settings: object) -> TrainingResult:
    return train(build_dataclass(TrainingSettings, settings, root=""))


def pretrain(out: Path, steps: int) -> Path:
    """Train a detector of shapes, and return the file of its backbone."""
    result = train_with(
        model=MODEL,
        train={"kind": "synthetic", "seed": 1, "num_clips": 2 * steps, "labels": "shape", **SIZE},
        out=str(out / "pretrained"),
        epochs=1,
        **STEP,
    )
    path = out / "backbone.safetensors"
    res3d.save_weights(res3d.load_model(result.weights).backbone, path)
    return path


def fine_tune(out: Path, backbone: Path, target: str, freeze_at: int, clips: int, epochs: int) -> None:
    """Fine-tune one detector, and evaluate it after the last epoch."""
    train_with(
        model={**MODEL, "weights_backbone": str(backbone)},
        train={"kind": "synthetic", "seed": 2, "num_clips": clips, "labels": target, **SIZE},
        validate={"kind": "synthetic", "seed": 1_000_000, "num_clips": 100, "labels": target, **SIZE},
        out=str(out / f"{target}_{freeze_at}"),
        epochs=epochs,
        validate_every=epochs,
        freeze_at=freeze_at,
        **STEP,
    )


def run(arguments: argparse.Namespace) -> None:
    """Pretrain the backbone if necessary, and fine-tune with every freeze_at."""
    backbone = arguments.out / "backbone.safetensors"
    if not backbone.exists():
        backbone = pretrain(arguments.out, arguments.pretrain)
    for freeze_at in DEPTHS:
        fine_tune(arguments.out, backbone, arguments.target, freeze_at, arguments.clips, arguments.epochs)


def time_cache(arguments: argparse.Namespace) -> None:
    """Train with and without the cache; the curves contain the times. Videos are decoded once, before the steps."""
    out = arguments.out
    clips = out / "clips.csv"
    videos = [Path(video).resolve() for video in arguments.videos]
    clips.write_text("".join(f"{video},{video.stem}\n" for video in videos for _ in range(arguments.clips)))
    data = {"kind": "labelled", "source": str(clips), "side": 128, "crop": [112, 112], "store": str(out / "frames")}
    for freeze_at in DEPTHS:
        for cached in (False, True)[: 2 if freeze_at else 1]:
            train_with(
                model={"kind": "classifier", "backbone": "r3d_18"},
                train=data,
                out=str(out / f"steps_{freeze_at}{'_cached' if cached else ''}"),
                epochs=4,
                batch_size=4,
                learning_rate=1e-3,
                views=1,
                cache=str(out / "cache") if cached else None,
                freeze_at=freeze_at,
                log_every=1,
            )


def read_curve(folder: Path, name: str) -> list[dict[str, float]]:
    with (folder / f"{name}.csv").open(encoding="utf-8") as file:
        return [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(file)]


def step_seconds(folder: Path) -> float:
    """Return the mean time of the faster half of the steps after the first epoch, because the cores are shared."""
    seconds = sorted(row["step_seconds"] for row in read_curve(folder, "train") if row["epoch"] >= 1)
    return sum(seconds[: len(seconds) // 2]) / max(1, len(seconds) // 2)


def table(out: Path) -> list[dict[str, float]]:
    """Return one row per freeze_at, with the results of the finished runs."""
    rows = []
    for freeze_at in DEPTHS:
        row: dict[str, float] = {"freeze_at": freeze_at}
        for name in ("steps", "cached", *TARGETS):
            folder = out / (f"steps_{freeze_at}_cached" if name == "cached" else f"{name}_{freeze_at}")
            if (folder / "last.safetensors").exists():
                row[name] = read_curve(folder, "validate")[-1]["box_ap"] if name in TARGETS else step_seconds(folder)
        rows.append(row)
    return rows


def report(arguments: argparse.Namespace) -> None:
    """Print the table and draw the plot."""
    rows = table(arguments.out)
    names = res3d.backbone.find_spec("resnet18_3d").stage_names
    print(f"| freeze_at | frozen | {' | '.join(TARGETS)} | s per step | s per step, cached | speedup |")
    print("|---" * (5 + len(TARGETS)) + "|")
    for row in rows:
        speedup = f"{row['steps'] / row['cached']:.1f}" if "cached" in row else ""
        frozen = ", ".join(names[: int(row["freeze_at"])]) or "nothing"
        cells = [f"{row[name]:.3f}" if name in row else "" for name in (*TARGETS, "steps", "cached")]
        print(f"| {' | '.join([str(row['freeze_at']), frozen, *cells, speedup])} |")
    if arguments.plot:
        _plot(rows, arguments.plot)


def _plot(rows: list[dict[str, float]], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.4))
    for axis, lines in (
        (axes[0], {"heading": "heading: new classes", "shape": "shape: classes of the pretraining"}),
        (axes[1], {"steps": "from clips", "cached": "from the cache"}),
    ):
        for name, label in lines.items():
            points = [row for row in rows if name in row]
            axis.plot([row["freeze_at"] for row in points], [row[name] for row in points], "o-", label=label)
        axis.set_ylim(bottom=0)
        axis.set_xlabel("freeze_at")
        axis.grid(alpha=0.3)
        axis.legend()
    axes[0].set_ylabel("tube AP50 after equal epochs")
    axes[1].set_ylabel("seconds per step, r3d_18")
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    running, caching, reporting = (commands.add_parser(name) for name in ("run", "cache", "report"))
    running.add_argument("--pretrain", type=int, default=1200, help="steps of two clips to pretrain the backbone")
    running.add_argument("--clips", type=int, default=600, help="clips to fine-tune on")
    running.add_argument("--epochs", type=int, default=4)
    running.add_argument("--target", choices=TARGETS, required=True)
    caching.add_argument("videos", nargs="+")
    caching.add_argument("--clips", type=int, default=6, help="clips per video")
    reporting.add_argument("--plot", type=Path)
    for command in (running, caching, reporting):
        command.add_argument("--out", type=Path, default=Path("runs/freezing"))
    for command in (running, caching):
        command.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    if arguments.command == "report":
        report(arguments)
        return
    torch.set_num_threads(arguments.threads)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (run if arguments.command == "run" else time_cache)(arguments)


if __name__ == "__main__":
    main()
