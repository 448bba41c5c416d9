"""Logging of losses and scores during a run: CSV files, TensorBoard and text lines."""

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
    """A CSV file of rows with a column ``step``. New columns of later rows are added to all rows.

    Args:
        path: the file; if it exists, rows are appended.
        after: step that the run resumes from; rows of later steps are removed.
    """

    def __init__(self, path: Path, *, after: int) -> None:
        self.path = path
        self._rows: list[dict[str, str]] = []
        if path.exists():
            with path.open(encoding="utf-8", newline="") as file:
                self._rows = [row for row in csv.DictReader(file) if int(row["step"]) <= after]
        self._write()

    def add(self, row: Row) -> None:
        """Append a row."""
        new = [name for name in row if self._rows and name not in self._rows[0]]
        self._rows.append({name: _format(value) for name, value in row.items()})
        if new or len(self._rows) == 1:
            self._rows[0] |= {name: self._rows[0].get(name, "") for name in row}
            self._write()
            return
        with self.path.open("a", encoding="utf-8", newline="") as file:
            csv.DictWriter(file, list(self._rows[0]), restval="").writerow(self._rows[-1])

    def _write(self) -> None:
        with unfinished(self.path) as path, path.open("w", encoding="utf-8", newline="") as file:
            if self._rows:
                writer = csv.DictWriter(file, list(self._rows[0]), restval="")
                writer.writeheader()
                writer.writerows(self._rows)


def _format(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.6g}"


class Curves(pl.Callback):  # the class name is the key of the callback's state in checkpoints
    """Callback that writes ``train.csv``, ``validate.csv`` and TensorBoard files, and logs one line per validation.

    A row of ``train.csv`` has the mean of each loss over the steps since the previous row, the learning rates, the
    seconds per step, and the share of this time spent waiting for data. The column ``epoch`` counts completed epochs
    and starts at 0, because rows are written during an epoch. Logged lines count from 1, because they are written at
    the end of an epoch.

    Args:
        folder: the folder of the run.
        every: steps from one row of ``train.csv`` to the next.
        loading_time: the waiting time that the training loader measures.
        is_best: returns whether the latest validation has a better score than all earlier ones.
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
        self.log_line = log  # Lightning sets the attribute ``log``
        self.clock = Clock(loading_time)
        self._row = Totals()
        self._run = Totals()  # since the start of the process
        self._losses: dict[str, float] = {}  # sums over the forward passes of the row
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
        names = [name for name in outputs if name != "loss"]  # "loss" is the sum, which Lightning scales
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
        self.clock.lap()  # exclude validation from the next step

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
    """Defer Ctrl-C until the end of the block.

    TensorBoard passes rows to a thread through a queue. A KeyboardInterrupt inside the queue can lose the notification
    of the thread; the end of the run would then wait two minutes for the thread.
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
    """Number of steps, their duration in seconds, and the seconds of it spent waiting for data."""

    steps: int = 0
    seconds: float = 0.0
    waited: float = 0.0

    def add(self, lap: tuple[float, float]) -> None:
        """Add one step with the times that ``Clock.lap`` returned."""
        self.steps += 1
        self.seconds += lap[0]
        self.waited += lap[1]


class Clock:
    """Clock that measures time, and the part of it spent waiting for data.

    Args:
        loading_time: the waiting time that the training loader measures.
    """

    def __init__(self, loading_time: LoadingTime) -> None:
        self.loading_time = loading_time
        self._last = (0.0, 0.0)

    def lap(self) -> tuple[float, float]:
        """Return the seconds since the previous call, and the seconds of it spent waiting for data."""
        now = time.perf_counter(), self.loading_time.seconds
        last, self._last = self._last, now
        return now[0] - last[0], now[1] - last[1]
