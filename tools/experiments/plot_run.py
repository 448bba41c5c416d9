#!/usr/bin/env python
"""Plot the learning curves of a training run: losses and scores.

python tools/experiments/plot_run.py runs/flies_r18_fpn docs/flies_curves.png
"""

import argparse
import csv
from pathlib import Path


def read_curve(path: Path) -> dict[str, list[tuple[int, float]]]:
    """Return the (step, value) pairs of each column that has a value."""
    curves: dict[str, list[tuple[int, float]]] = {}
    with path.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            for name, value in row.items():
                if value and name not in ("step", "epoch"):
                    curves.setdefault(name, []).append((int(row["step"]), float(value)))
    return curves


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("plot", type=Path)
    arguments = parser.parse_args()
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    losses, scores = (read_curve(arguments.run / f"{name}.csv") for name in ("train", "validate"))
    figure, axes = pyplot.subplots(1, 2, figsize=(10, 3.4))
    for name, points in losses.items():
        if name.startswith("loss_"):
            axes[0].plot(*zip(*points, strict=True), label=name.removeprefix("loss_"))
    for name, points in scores.items():
        axes[1].plot(*zip(*points, strict=True), "o-", label=name)
    axes[0].set(yscale="log", xlabel="step", ylabel="loss")
    axes[1].set(xlabel="step", ylim=(0, 1.02))
    for axis in axes:
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(arguments.plot, dpi=120)


if __name__ == "__main__":
    main()
