"""Checkpoints to resume a run from, and its best weights: each file whole, or not there."""

from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.plugins.io import TorchCheckpointIO

from res3d.training.module import TrainingModule
from res3d.training.resume import BEST, FINAL, LAST, State
from res3d.weights import save_weights


class DirectCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint straight to its path. Lightning would hold it in memory, and then on the disk of /tmp."""

    def save_checkpoint(self, checkpoint: State, path: str | Path, storage_options: object = None) -> None:
        with Path(path).open("wb") as file:
            try:
                torch.save(checkpoint, file)
            except RuntimeError as error:  # torch's own, while it closes what the system has refused to write
                if isinstance(error.__context__, OSError):
                    raise error.__context__ from None
                raise


class Checkpoints(Checkpoint):  # Lightning keeps the state of callbacks in checkpoints by this name
    """Writes ``last.ckpt`` every so many steps and after each epoch, and ``best.safetensors`` when scores are best.

    Args:
        folder: the run's folder.
        every: steps from one checkpoint to the next; None writes them after epochs only.
        monitor: the score that decides, the higher the better.
        comparable: whether scores before the checkpoint that a run is resumed from compare with those after it.
    """

    def __init__(self, folder: Path, *, every: int | None, monitor: str, comparable: bool) -> None:
        self.folder = folder
        self.every = every
        self.monitor = monitor
        self.comparable = comparable
        self.best: float | None = None
        self.best_step: int | None = None
        self.stopped: int | None = None  # the ``early_stopping`` that has ended the run

    def is_best(self, trainer: pl.Trainer) -> bool:
        """Return whether the last validation is better than all before it."""
        return self.best is None or self._score(trainer) > self.best

    def _score(self, trainer: pl.Trainer) -> float:
        return float(trainer.callback_metrics[f"validate/{self.monitor}"])

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        ends_epoch = batch_idx + 1 >= trainer.num_training_batches  # the epoch's end writes one, after validation
        stepped = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        if self.every and stepped and not ends_epoch and trainer.global_step % self.every == 0:
            self._save(trainer)

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.is_best(trainer):
            self.best, self.best_step = self._score(trainer), trainer.global_step
            self._export(trainer, pl_module, BEST)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        stopper = trainer.early_stopping_callback
        self.stopped = stopper.patience if stopper is not None and trainer.should_stop else None
        self._save(trainer)

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._export(trainer, pl_module, FINAL)

    def state_dict(self) -> State:
        return {"best": self.best, "best_step": self.best_step, "stopped": self.stopped}

    def load_state_dict(self, state_dict: State) -> None:
        if self.comparable:
            self.best, self.best_step = state_dict["best"], state_dict.get("best_step")  # 0.1.0 saved no step

    def _save(self, trainer: pl.Trainer) -> None:
        """Write a checkpoint. Every process calls this, as some have parts of the state."""
        path, unfinished = self.folder / LAST, self.folder / f".{LAST}.unfinished"
        try:
            trainer.save_checkpoint(unfinished)
            if trainer.is_global_zero:
                unfinished.replace(path)
        except OSError as error:
            unfinished.unlink(missing_ok=True)
            rest = "the one before it is kept" if path.exists() else "there is none"
            raise OSError(f"{path}: the checkpoint cannot be written ({error.strerror or error}); {rest}") from None

    def _export(self, trainer: pl.Trainer, module: pl.LightningModule, name: str) -> None:
        assert isinstance(module, TrainingModule)
        if trainer.is_global_zero:
            save_weights(module.exported, self.folder / name)
