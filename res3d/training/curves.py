"""Losses and scores over a run: CSV files, TensorBoard, and lines on the screen."""

import csv
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import pytorch_lightning as pl
import torch
import torch.distributed as dist

from res3d.files import unfinished
from res3d.training.loaders import LoadingTime
from res3d.training.resume import State

Row = Mapping[str, float]


class CurveFile:
    """A CSV file of rows with a ``step``. Columns that first appear in a later row are added to all.

    Args:
        path: the file; rows are added to one that is there.
        after: rows of later steps are dropped: the run is resumed from a checkpoint before them.
    """

    def __init__(self, path: Path, *, after: int) -> None:
        self.path = path
        self._rows: list[dict[str, str]] = []
        if path.exists():
            with path.open(encoding="utf-8", newline="") as file:
                self._rows = [row for row in csv.DictReader(file) if int(row["step"]) <= after]
        self._write()

    def add(self, row: Row) -> None:
        """Write a row."""
        new = [name for name in row if self._rows and name not in self._rows[0]]
        self._rows.append({name: _format(value) for name, value in row.items()})
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


def _format(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.6g}"


class Curves(pl.Callback):  # Lightning keeps the state of callbacks in checkpoints by this name
    """Writes ``train.csv``, ``validate.csv`` and TensorBoard's files, and logs a line per validation.

    A row of training has the mean of each loss over the steps since the row before it, the learning rates, the seconds
    per step and the share of them spent waiting for data. ``epoch`` counts the epochs that are over, in rows from 0,
    as they are written during an epoch, and in logged lines from 1, as they are logged at its end.

    Args:
        folder: the run's folder.
        every: steps from one row to the next.
        loading_time: the loader's.
        is_best: says whether the last validation is better than all before it.
        log: called with each line.
    """

    def __init__(
        self,
        folder: Path,
        *,
        every: int,
        loading_time: LoadingTime,
        is_best: Callable[[pl.Trainer], bool],
        log: Callable[[str], None],
    ) -> None:
        self.folder = folder
        self.every = every
        self.is_best = is_best
        self.log_line = log  # Lightning sets an attribute ``log`` of its own
        self.clock = Clock(loading_time)
        self._row = Totals()
        self._run = Totals()  # since the process was started
        self._losses: dict[str, float] = {}  # sums over the parts of the row's batches
        self._parts = 0
        self._files: dict[str, CurveFile] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.is_global_zero:
            for name in ("train", "validate"):
                self._files[name] = CurveFile(self.folder / f"{name}.csv", after=trainer.global_step)
        self.clock.lap()

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        assert isinstance(outputs, Mapping)
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
        self._record(trainer, "validate", scores)
        best = " (best)" if self.is_best(trainer) else ""
        values = ", ".join(f"{name} {value:.4f}" for name, value in scores.items())
        self.log_line(f"epoch {trainer.current_epoch + 1}, step {trainer.global_step}: {values}{best}")
        self.clock.lap()  # scoring is no part of a step

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        run = self._run
        if run.steps:
            steps = "1 step" if run.steps == 1 else f"{run.steps} steps"
            self.log_line(f"{steps} in {run.seconds:.1f} s, {100 * run.waited / run.seconds:.1f} % waiting for data")

    def state_dict(self) -> State:
        return {"losses": dict(self._losses), "parts": self._parts}

    def load_state_dict(self, state_dict: State) -> None:
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
        self._record(trainer, "train", row)
        self._row, self._losses, self._parts = Totals(), {}, 0

    def _record(self, trainer: pl.Trainer, name: str, row: Row) -> None:
        if not trainer.is_global_zero:
            return
        with deferred_interrupt():
            self._files[name].add({"step": trainer.global_step, "epoch": trainer.current_epoch, **row})
            for logger in trainer.loggers:
                logger.log_metrics({f"{name}/{key}": value for key, value in row.items()}, step=trainer.global_step)


@contextmanager
def deferred_interrupt() -> Iterator[None]:
    """Hold Ctrl-C back until a block is over.

    TensorBoard hands rows to a thread through a queue. A KeyboardInterrupt in the middle of that can lose a wake-up of
    the thread, and the end of the run would wait two minutes for it.
    """
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield
        return
    received: list[tuple[int, FrameType | None]] = []
    signal.signal(signal.SIGINT, lambda number, frame: received.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
    if received:
        handler(*received[0])


@dataclass
class Totals:
    """Steps, the seconds that they took, and the seconds of these spent waiting for data."""

    steps: int = 0
    seconds: float = 0.0
    waited: float = 0.0

    def add(self, lap: tuple[float, float]) -> None:
        """Add a step of ``Clock.lap``."""
        self.steps += 1
        self.seconds += lap[0]
        self.waited += lap[1]


class Clock:
    """Measures time, and the part of it spent waiting for data.

    Args:
        loading_time: the loader's.
    """

    def __init__(self, loading_time: LoadingTime) -> None:
        self.loading_time = loading_time
        self._last = (0.0, 0.0)

    def lap(self) -> tuple[float, float]:
        """Return the seconds since the last lap, and how many of them were spent waiting for data."""
        now = time.perf_counter(), self.loading_time.seconds
        before, self._last = self._last, now
        return now[0] - before[0], now[1] - before[1]
