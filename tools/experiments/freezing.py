#!/usr/bin/env python
"""What freezing buys and costs in fine-tuning: memory, time per step and accuracy at every freeze_at.

    python tools/experiments/freezing.py run --out runs/freezing
    python tools/experiments/freezing.py report --out runs/freezing [--plot docs/freezing.png]

A small detector learns to tell discs, squares and triangles apart. Its backbone then starts detectors that learn
something else from few clips: where things go, which no single frame shows. Each is trained for the same number of
epochs with the first ``freeze_at`` stages frozen, from clips, and from the cache of what those stages give.
``--target shape`` fine-tunes to the classes that the backbone knows, on other clips.

Memory and time of a step are also measured on a detector of ordinary size. Runs that are finished are kept: the same
command goes on.
"""

import argparse
import csv
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

import res3d
from res3d.data import SyntheticClips
from res3d.training import TrainingSettings, train

DEPTHS = range(6)
TARGETS = ("heading", "shape")  # the classes that are learned in fine-tuning
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


def pretrain(out: Path, steps: int) -> Path:
    """The weights of a backbone that knows shapes."""
    settings = TrainingSettings(
        model=MODEL,
        train={"kind": "synthetic", "seed": 1, "num_clips": 2 * steps, "labels": "shape", **SIZE},
        out=str(out / "pretrained"),
        epochs=1,
        **STEP,  # type: ignore[arg-type]
    )
    result = train(settings)
    path = out / "backbone.safetensors"
    res3d.save_weights(res3d.load_model(result.weights).backbone, path)
    return path


def fine_tune(out: Path, backbone: Path, target: str, freeze_at: int, clips: int, epochs: int, *, cached: bool) -> None:
    """One run, whose curves say how it went."""
    keep = {"views": 1, "cache": str(out / "cache")} if cached else {"views": 1}
    settings = TrainingSettings(
        model={**MODEL, "weights_backbone": str(backbone)},
        train={"kind": "synthetic", "seed": 2, "num_clips": clips, "labels": target, **SIZE},
        validate={"kind": "synthetic", "seed": 1_000_000, "num_clips": 60, "labels": target, **SIZE},
        out=str(out / f"{target}_{freeze_at}{'_cached' if cached else ''}"),
        epochs=epochs,
        validate_every=epochs,
        freeze_at=freeze_at,
        **keep,
        **STEP,  # type: ignore[arg-type]
    )
    train(settings)


def measure_step(freeze_at: int, steps: int = 4) -> dict[str, float]:
    """One step of a detector of full width on two clips of 8 × 192²: MiB that autograd keeps, MiB at the peak over what
    the process had before, and seconds, of the quickest step. In a process of its own, since peaks do not mix.
    """
    torch.manual_seed(0)
    sizes = {"width": 1.0, "min_size": 192, "max_size": 192}
    keywords = {key: value for key, value in MODEL.items() if key not in ("kind", "spec")} | sizes
    model = res3d.detection.mask_rcnn_3d(num_classes=4, freeze_at=freeze_at, **keywords).train()  # type: ignore[arg-type]
    data = SyntheticClips(num_clips=2, length=8, side=192)
    clips, targets = zip(*(data[n] for n in range(2)), strict=True)
    used = [{name: t[name] for name in ("boxes", "visible", "labels")} for t in targets]
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], 1e-3)
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
    before = _memory("VmRSS")
    kept: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    seconds = []
    for step in range(steps):
        began = time.perf_counter()
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            losses = model(list(clips), used)
        if step == 0:
            weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
            activations = sum(size for place, size in kept.items() if place not in weights)
        optimizer.zero_grad()
        torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        seconds.append(time.perf_counter() - began)
    return {"kept": activations / 2**20, "peak": (_memory("VmHWM") - before) / 1024, "seconds": min(seconds)}


def _memory(name: str) -> int:
    """KiB, as Linux counts the process's."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def run(arguments: argparse.Namespace) -> None:
    arguments.out.mkdir(parents=True, exist_ok=True)
    backbone = arguments.out / "backbone.safetensors"
    if not backbone.exists():
        backbone = pretrain(arguments.out, arguments.pretrain)
    steps = arguments.out / "steps.json"
    if not steps.exists():
        command = [sys.executable, __file__, "step", "--threads", str(arguments.threads), "--freeze-at"]
        made = [subprocess.run([*command, str(n)], check=True, capture_output=True, text=True) for n in DEPTHS]
        steps.write_text(json.dumps([json.loads(one.stdout) for one in made]))
    for freeze_at in DEPTHS:
        for cached in (False, True)[: 2 if freeze_at else 1]:
            fine_tune(
                arguments.out, backbone, arguments.target, freeze_at, arguments.clips, arguments.epochs, cached=cached
            )


def read_curve(folder: Path, name: str) -> list[dict[str, float]]:
    with (folder / f"{name}.csv").open(encoding="utf-8") as file:
        return [{key: float(value) for key, value in row.items() if value} for row in csv.DictReader(file)]


def step_seconds(folder: Path) -> float:
    """Of the faster half of what was logged after the first epoch: cores are shared."""
    seconds = sorted(row["step_seconds"] for row in read_curve(folder, "train") if row["epoch"] >= 1)
    return sum(seconds[: len(seconds) // 2]) / max(1, len(seconds) // 2)


def table(out: Path) -> list[dict[str, Any]]:
    """A row a freeze_at."""
    rows = []
    for freeze_at, step in zip(DEPTHS, json.loads((out / "steps.json").read_text()), strict=True):
        row: dict[str, Any] = {"freeze_at": freeze_at, **step}
        for target in TARGETS:
            for name in (target, f"{target}_cached"):
                folder = out / f"{target}_{freeze_at}{name.removeprefix(target)}"
                if (folder / "last.safetensors").exists():
                    row[f"{name}_seconds"] = step_seconds(folder)
                    row[f"{name}_ap"] = read_curve(folder, "validate")[-1]["box_ap"]
        rows.append(row)
    return rows


def report(arguments: argparse.Namespace) -> None:
    rows = table(arguments.out)
    names = res3d.backbone.find_spec("resnet18_3d").stage_names
    print("| freeze_at | frozen | kept for backward, MiB | peak memory, MiB | s a step |")
    print("|---|---|---|---|---|")
    for row in rows:
        frozen = ", ".join(names[: row["freeze_at"]]) or "nothing"
        print(f"| {row['freeze_at']} | {frozen} | {row['kept']:.0f} | {row['peak']:.0f} | {row['seconds']:.2f} |")
    targets = [target for target in TARGETS if f"{target}_seconds" in rows[0]]
    heads = [f"{target}: {what}" for target in targets for what in ("s a step", "cached", "AP50", "cached")]
    print(f"\n| freeze_at | {' | '.join(heads)} |")
    print("|---" * (1 + len(heads)) + "|")
    for row in rows:
        cells = [
            _cell(row, f"{target}{cached}_{what}")
            for target in targets
            for what in ("seconds", "ap")
            for cached in ("", "_cached")
        ]
        print(f"| {row['freeze_at']} | {' | '.join(cells)} |")
    if arguments.plot:
        _plot(rows, targets, arguments.plot)


def _cell(row: dict[str, Any], name: str) -> str:
    return f"{row[name]:.3f}" if name in row else "-"


def _plot(rows: list[dict[str, Any]], targets: list[str], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 3, figsize=(11, 3.2))
    depths = [row["freeze_at"] for row in rows]
    axes[0].bar(depths, [row["kept"] for row in rows], color="C0")
    axes[0].set_ylabel("MiB kept for the backward pass")
    target = targets[0]
    axes[1].plot(depths, [row[f"{target}_seconds"] for row in rows], "o-", color="C0", label="from clips")
    cached = [row for row in rows if f"{target}_cached_seconds" in row]
    seconds = [row[f"{target}_cached_seconds"] for row in cached]
    axes[1].plot([row["freeze_at"] for row in cached], seconds, "s--", color="C1", label="from the cache")
    axes[1].set_ylabel("seconds a step")
    axes[1].legend()
    for number, target in enumerate(targets):
        axes[2].plot(depths, [row[f"{target}_ap"] for row in rows], "o-", color=f"C{number + 2}", label=target)
    axes[2].set_ylabel("tube AP50 after equal epochs")
    axes[2].legend()
    for axis in axes:
        axis.set_ylim(bottom=0)
        axis.set_xlabel("freeze_at")
        axis.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    running, reporting, stepping = (commands.add_parser(name) for name in ("run", "report", "step"))
    running.add_argument("--pretrain", type=int, default=600, help="steps of two clips that the backbone learns from")
    running.add_argument("--clips", type=int, default=60, help="to fine-tune on")
    running.add_argument("--epochs", type=int, default=10)
    running.add_argument("--target", choices=TARGETS, default=TARGETS[0])
    reporting.add_argument("--plot", type=Path)
    stepping.add_argument("--freeze-at", type=int, required=True)
    for command in (running, reporting):
        command.add_argument("--out", type=Path, default=Path("runs/freezing"))
    for command in (running, stepping):
        command.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    if arguments.command == "report":
        report(arguments)
        return
    torch.set_num_threads(arguments.threads)
    if arguments.command == "step":
        print(json.dumps(measure_step(arguments.freeze_at)))
        return
    run(arguments)


if __name__ == "__main__":
    main()
