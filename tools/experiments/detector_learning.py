#!/usr/bin/env python
"""Learning curves of a small detector on synthetic clips, in 3D and in 2D.

    python tools/experiments/detector_learning.py run --labels shape --mode 3d --seed 0 --steps 2000 --out runs
    python tools/experiments/detector_learning.py report --out runs [--plot docs/detector_learning.png]

Clips of 8 × 128² show 2 to 4 sprites; two of them cross in the middle, one behind the other. With ``--labels shape``
the classes are disc, square and triangle; with ``--labels heading`` they are the four directions of motion, which a
single frame does not show. Training runs under bfloat16 autocast, evaluation in float32. The 2D detector has temporal
kernel 1 in all layers and is otherwise the same.

``run`` writes OUT/LABELS_MODE_seedN.json after every evaluation, and a checkpoint beside it. The same command resumes
from the checkpoint, also to more steps. ``report`` prints Markdown tables of all runs in OUT. Scores are those of
weights averaged over the last few hundred steps, on clips that are not in the training data. Budgets are in steps,
because times on shared cores vary.
"""

import argparse
import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from res3d.data import SyntheticClips
from res3d.detection import MaskRCNN3d, mask_rcnn_3d
from res3d.evaluation import score_tubes

CHANNELS = 64  # of the feature pyramid and the heads
BATCH = 2  # clips per step
LEARNING_RATE, WARM_UP, WEIGHT_DECAY, LARGEST_GRADIENT = 1e-3, 100, 0.05, 10.0
AVERAGING = 0.995  # decay of the averaged weights, which are scored
HELD_OUT = 1_000_000  # seed of the evaluation clips; training seeds are smaller
KEYPOINTS = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """One run: its classes, its mode (2d or 3d) and its seed."""

    labels: str
    mode: str
    seed: int

    @property
    def name(self) -> str:
        return f"{self.labels}_{self.mode}_seed{self.seed}"


def build(run: Run) -> MaskRCNN3d:
    """Build a detector that is quick on a CPU: ResNet-18 of half width, 64 pyramid channels, two layers per head."""
    classes = SyntheticClips(labels=run.labels).num_classes  # type: ignore[arg-type]
    model = mask_rcnn_3d(
        "resnet18_3d",
        classes,
        width=0.5,
        design="torchvision_v2",
        keypoints=KEYPOINTS,
        channels=CHANNELS,
        temporal_kernel=1 if run.mode == "2d" else None,
        anchor_sizes=(16, 32, 64, 96, 128),
        min_size=128,
        image_mean=(0.5, 0.5, 0.5),
        image_std=(0.25, 0.25, 0.25),
        rpn_pre_nms_top_n_train=200,
        rpn_post_nms_top_n_train=100,
        rpn_pre_nms_top_n_test=200,
        rpn_post_nms_top_n_test=50,
        rpn_batch_size_per_image=128,
        box_batch_size_per_image=32,
        box_detections_per_img=20,
    )
    spec = model.spec
    assert spec.mask is not None
    assert spec.keypoints is not None
    spec = replace(
        spec,
        proposals=replace(spec.proposals, depth=1),
        box=replace(spec.box, convs=(CHANNELS, CHANNELS)),
        mask=replace(spec.mask, convs=(CHANNELS, CHANNELS)),
        keypoints=replace(spec.keypoints, convs=(CHANNELS, CHANNELS), temporal_kernel=1),
    )
    torch.manual_seed(run.seed)
    return MaskRCNN3d(spec, model.settings)


class Trainer:
    """Training with AdamW at a constant learning rate after a short warm-up; averaged weights for evaluation."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.model = build(run).train()
        average = get_ema_multi_avg_fn(AVERAGING)  # type: ignore[no-untyped-call]
        self.averaged = AveragedModel(self.model, multi_avg_fn=average, use_buffers=True)
        self.optimizer = torch.optim.AdamW(self.model.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
        self.clips = SyntheticClips(seed=run.seed, num_clips=1 << 40, labels=run.labels)  # type: ignore[arg-type]
        self.step_number = 0

    def step(self) -> dict[str, float]:
        """Make one step on the next clips, and return the losses."""
        numbers = range(BATCH * self.step_number, BATCH * (self.step_number + 1))
        clips, targets = zip(*(self.clips[n] for n in numbers), strict=True)
        with torch.autocast("cpu", torch.bfloat16):
            losses: dict[str, Tensor] = self.model(clips, targets)
        self.optimizer.zero_grad()
        torch.stack(list(losses.values())).sum().backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), LARGEST_GRADIENT)
        for group in self.optimizer.param_groups:
            group["lr"] = LEARNING_RATE * min(1.0, (self.step_number + 1) / WARM_UP)
        self.optimizer.step()
        self.averaged.update_parameters(self.model)
        self.step_number += 1
        return {name: loss.item() for name, loss in losses.items()}

    @torch.no_grad()
    def score(self, num_clips: int) -> dict[str, Any]:
        """Return the scores on evaluation clips."""
        held_out = SyntheticClips(seed=HELD_OUT, num_clips=num_clips, labels=self.run.labels)  # type: ignore[arg-type]
        model = self.averaged.module.eval()
        results, targets = [], []
        for number in range(num_clips):
            clip, target = held_out[number]
            results += model([clip])
            targets.append(target)
        return asdict(score_tubes(results, targets))

    def save(self, path: Path) -> None:
        state = {
            "step": self.step_number,
            "model": self.model.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "random": torch.get_rng_state(),
        }
        unfinished = path.with_suffix(".unfinished")
        torch.save(state, unfinished)
        unfinished.replace(path)

    def restore(self, path: Path) -> None:
        state = torch.load(path, weights_only=True)
        self.step_number = state["step"]
        self.model.load_state_dict(state["model"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimizer.load_state_dict(state["optimizer"])
        torch.set_rng_state(state["random"])


def train(run: Run, steps: int, every: int, num_clips: int, out: Path) -> list[dict[str, Any]]:
    """Train to ``steps``, evaluate after ``every`` steps, and return the curve, which is also written to ``out``."""
    out.mkdir(parents=True, exist_ok=True)
    record, checkpoint = out / f"{run.name}.json", out / f"{run.name}.pt"
    trainer = Trainer(run)
    curve: list[dict[str, Any]] = []
    if checkpoint.exists():
        trainer.restore(checkpoint)
        curve = json.loads(record.read_text())["curve"]
    start, totals, count = time.monotonic(), dict[str, float](), 0  # since the last evaluation
    while trainer.step_number < steps:
        for name, loss in trainer.step().items():
            totals[name] = totals.get(name, 0.0) + loss
        count += 1
        if trainer.step_number % every and trainer.step_number < steps:
            continue
        losses = {name: total / count for name, total in totals.items()}
        curve.append({"step": trainer.step_number, **trainer.score(num_clips), "losses": losses})
        record.write_text(json.dumps({**asdict(run), "clips": num_clips, "curve": curve}, indent=1))
        trainer.save(checkpoint)
        seconds = (time.monotonic() - start) / count
        scores = {name: curve[-1][name] for name in ("box_ap", "mask_ap", "recall", "keypoint_error")}
        values = ", ".join(f"{name} {'-' if value is None else f'{value:.3f}'}" for name, value in scores.items())
        print(f"{run.name} step {trainer.step_number}: {values} ({seconds:.2f} s per step)", flush=True)
        start, totals, count = time.monotonic(), {}, 0
    return curve


def report(out: Path, plot: Path | None) -> None:
    """Print Markdown tables of all runs in ``out``: all scores, and 3D compared with 2D at equal steps and seeds."""
    runs = [json.loads(path.read_text()) for path in sorted(out.glob("*.json"))]
    print("| labels | mode | seed | step | box AP50 | mask AP50 | recall | keypoint error | visibility error |")
    print("|---|---|---|---|---|---|---|---|---|")
    for run in runs:
        for point in run["curve"]:
            names = ("box_ap", "mask_ap", "recall", "keypoint_error", "visibility_error")
            cells = ["-" if point[name] is None else f"{point[name]:.3f}" for name in names]
            print(f"| {run['labels']} | {run['mode']} | {run['seed']} | {point['step']} | {' | '.join(cells)} |")
    _compare(runs)
    if plot:
        _plot(runs, plot)


def _compare(runs: list[dict[str, Any]]) -> None:
    scores = {(r["labels"], r["mode"], r["seed"], p["step"]): p["box_ap"] for r in runs for p in r["curve"]}
    pairs = [key for key in scores if key[1] == "3d" and (key[0], "2d", *key[2:]) in scores]
    if pairs:
        print("\n| labels | seed | step | 3D | 2D twin | 3D − 2D |\n|---|---|---|---|---|---|")
    for labels, _, seed, step in sorted(pairs):
        three, two = scores[labels, "3d", seed, step], scores[labels, "2d", seed, step]
        print(f"| {labels} | {seed} | {step} | {three:.3f} | {two:.3f} | {three - two:+.3f} |")


def _plot(runs: list[dict[str, Any]], path: Path) -> None:
    try:
        import matplotlib
    except ImportError:
        raise SystemExit("--plot needs matplotlib: pip install matplotlib") from None
    matplotlib.use("Agg")
    from matplotlib import pyplot

    label_sets = sorted({run["labels"] for run in runs})
    figure, axes = pyplot.subplots(1, len(label_sets), figsize=(5 * len(label_sets), 3.5), squeeze=False, sharey=True)
    for axis, labels in zip(axes[0], label_sets, strict=True):
        for run in (r for r in runs if r["labels"] == labels):
            steps, scores = ([point[name] for point in run["curve"]] for name in ("step", "box_ap"))
            color, style = {"3d": "C0", "2d": "C1"}[run["mode"]], "-" if run["seed"] % 2 == 0 else "--"
            axis.plot(steps, scores, style, color=color, label=f"{run['mode'].upper()}, seed {run['seed']}")
        axis.set(title=f"classes: {labels}", xlabel="steps of 2 clips", ylim=(0, 1))
        axis.grid(alpha=0.3)
        axis.legend()
    axes[0][0].set_ylabel("tube AP50 on held-out clips")
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run")
    running.add_argument("--labels", choices=("shape", "heading"), default="shape")
    running.add_argument("--mode", choices=("3d", "2d"), default="3d")
    running.add_argument("--seed", type=int, default=0)
    running.add_argument("--steps", type=int, default=2000)
    running.add_argument("--every", type=int, default=400, help="steps between evaluations")
    running.add_argument("--clips", type=int, default=100, help="number of evaluation clips")
    running.add_argument("--threads", type=int, default=torch.get_num_threads())
    reporting = commands.add_parser("report")
    reporting.add_argument("--plot", type=Path)
    for command in (running, reporting):
        command.add_argument("--out", type=Path, default=Path("runs"))
    arguments = parser.parse_args()
    if arguments.command == "report":
        report(arguments.out, arguments.plot)
        return
    torch.set_num_threads(arguments.threads)
    run = Run(labels=arguments.labels, mode=arguments.mode, seed=arguments.seed)
    train(run, arguments.steps, arguments.every, arguments.clips, arguments.out)


if __name__ == "__main__":
    main()
