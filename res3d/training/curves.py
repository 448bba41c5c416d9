"""What becomes of losses and scores over a run: CSV files, TensorBoard, and lines for people."""

import csv
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
import torch.distributed as dist

from res3d.files import unfinished
from res3d.training.checkpoints import Checkpoints
from res3d.training.loading import Waiting

Row = Mapping[str, float]


class CurveFile:
    """A CSV file of rows with a ``step``; columns that are new are added.

    Args:
        path: of the file; one that is there is gone on with.
        after: rows of later steps are dropped: the run went on from a checkpoint before them.
    """

    def __init__(self, path: Path, *, after: int) -> None:
        self.path = path
        rows: list[dict[str, Any]] = []
        if path.exists():
            with path.open(encoding="utf-8", newline="") as file:
                rows = [row for row in csv.DictReader(file) if int(row["step"]) <= after]
        self._rows = rows
        self._write()

    def add(self, row: Row) -> None:
        """Write a row."""
        new = [name for name in row if self._rows and name not in self._rows[0]]
        self._rows.append({name: _shown(value) for name, value in row.items()})
        if new or len(self._rows) == 1:
            self._rows[0] |= {name: self._rows[0].get(name, "") for name in row}
            self._write()
            return
        with self.path.open("a", encoding="utf-8", newline="") as file:
            csv.DictWriter(file, list(self._rows[0]), restval="").writerow(self._rows[-1])

    def _write(self) -> None:
        with unfinished(self.path) as place, place.open("w", encoding="utf-8", newline="") as file:
            if self._rows:
                writer = csv.DictWriter(file, list(self._rows[0]), restval="")
                writer.writeheader()
                writer.writerows(self._rows)


def _shown(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.6g}"


class Curves(pl.Callback):
    """Writes ``train.csv`` and ``validate.csv``, TensorBoard's files, and a line a validation.

    A row of training has the mean of each loss over the steps since the row before it, the learning rates, the seconds
    that a step took and the share of them spent waiting for data.

    Args:
        folder: of the run.
        every: steps from one row to the next.
        waiting: of the loader.
        checkpoints: which know the best score.
        say: takes a line.
    """

    def __init__(
        self, folder: Path, *, every: int, waiting: Waiting, checkpoints: Checkpoints, say: Callable[[str], None]
    ) -> None:
        self.folder = folder
        self.every = every
        self.checkpoints = checkpoints
        self.say = say
        self.clock = Clock(waiting)
        self._row = Totals()
        self._run = Totals()  # since the process began
        self._losses: dict[str, float] = {}  # sums over the parts of the row's batches
        self._parts = 0
        self._files: dict[str, CurveFile] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.is_global_zero:
            for name in ("train", "validate"):
                self._files[name] = CurveFile(self.folder / f"{name}.csv", after=trainer.global_step)
        self.clock.lap()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        names = [name for name in outputs if name != "loss"]  # their sum, which Lightning scales
        losses = torch.stack([outputs[name].float() for name in names])
        if trainer.world_size > 1:
            dist.all_reduce(losses)
            losses /= trainer.world_size
        for name, value in zip(names, losses.tolist(), strict=True):
            self._losses[name] = self._losses.get(name, 0.0) + value
        self._parts += 1
        if (batch_idx + 1) % trainer.accumulate_grad_batches:
            return
        lap = self.clock.lap()
        self._row.add(lap)
        self._run.add(lap)
        if trainer.global_step % self.every == 0:
            self._write_row(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        scores = {
            name.removeprefix("validate/"): float(value)
            for name, value in trainer.callback_metrics.items()
            if name.startswith("validate/")
        }
        self._log(trainer, "validate", scores)
        best = self.checkpoints.is_best(trainer)
        shown = ", ".join(f"{name} {value:.4f}" for name, value in scores.items())
        self.say(f"epoch {trainer.current_epoch + 1}, step {trainer.global_step}: {shown}{' (best)' if best else ''}")
        self.clock.lap()  # scoring is no part of a step

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        run = self._run
        if run.steps:
            self.say(
                f"{run.steps} steps in {run.seconds:.1f} s, {100 * run.waited / run.seconds:.1f} % waiting for data"
            )

    def state_dict(self) -> dict[str, Any]:
        return {"losses": dict(self._losses), "parts": self._parts}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._losses, self._parts = dict(state_dict["losses"]), state_dict["parts"]

    def _write_row(self, trainer: pl.Trainer) -> None:
        losses = {name: total / self._parts for name, total in self._losses.items()}
        groups = trainer.optimizers[0].param_groups
        row = {
            "loss": sum(losses.values()),
            **losses,
            **{f"rate {group['name']}": group["lr"] for group in groups},
            "step_seconds": self._row.seconds / self._row.steps,
            "data_wait": self._row.waited / self._row.seconds,
        }
        self._log(trainer, "train", row)
        self._row, self._losses, self._parts = Totals(), {}, 0

    def _log(self, trainer: pl.Trainer, kind: str, row: Mapping[str, float]) -> None:
        if not trainer.is_global_zero:
            return
        self._files[kind].add({"step": trainer.global_step, "epoch": trainer.current_epoch, **row})
        for logger in trainer.loggers:
            logger.log_metrics({f"{kind}/{name}": value for name, value in row.items()}, step=trainer.global_step)


@dataclass
class Totals:
    """Of some steps."""

    steps: int = 0
    seconds: float = 0.0
    waited: float = 0.0

    def add(self, lap: tuple[float, float]) -> None:
        self.steps += 1
        self.seconds += lap[0]
        self.waited += lap[1]


class Clock:
    """Seconds that pass, and those of them spent waiting for data."""

    def __init__(self, waiting: Waiting) -> None:
        self.waiting = waiting
        self._last = (0.0, 0.0)

    def lap(self) -> tuple[float, float]:
        """Since the lap before."""
        now = time.perf_counter(), self.waiting.seconds
        before, self._last = self._last, now
        return now[0] - before[0], now[1] - before[1]
