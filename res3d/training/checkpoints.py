"""Writing of checkpoints and of the best and the last weights. An error leaves no partial file."""

from pathlib import Path

import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.plugins.io import TorchCheckpointIO

from res3d.training.module import TrainingModule
from res3d.training.resume import BEST, FINAL, LAST, State
from res3d.weights import save_weights


class DirectCheckpointIO(TorchCheckpointIO):
    """Writer of checkpoints that writes directly to the path.

    Lightning's default first serializes the whole checkpoint into memory and then into the temporary folder.
    """

    def save_checkpoint(self, checkpoint: State, path: str | Path, storage_options: object = None) -> None:
        with Path(path).open("wb") as file:
            try:
                torch.save(checkpoint, file)
            except RuntimeError as error:  # torch raises it when it closes a file that could not be written
                if isinstance(error.__context__, OSError):
                    raise error.__context__ from None
                raise


class Checkpoints(Checkpoint):  # the class name is the key of the callback's state in checkpoints
    """Callback that writes ``last.ckpt``, ``best.safetensors`` and ``last.safetensors``.

    The checkpoint is written every ``every`` steps and after each epoch, the best weights after each validation with a
    new best score, the last weights at the end of the run.

    Args:
        folder: the folder of the run.
        every: steps from one checkpoint to the next; None writes checkpoints after epochs only.
        monitor: name of the score that selects the best weights; higher is better.
        comparable: True if the best score in the checkpoint that the run resumes from was computed on the current
            validation data. False ignores that score.
    """

    def __init__(self, folder: Path, *, every: int | None, monitor: str, comparable: bool) -> None:
        self.folder = folder
        self.every = every
        self.monitor = monitor
        self.comparable = comparable
        self.best: float | None = None
        self.best_step: int | None = None
        self.stopped: int | None = None  # the value of ``early_stopping`` that ended the run

    def is_best(self, trainer: pl.Trainer) -> bool:
        """Return whether the latest validation has a better score than all earlier ones."""
        return self.best is None or self._score(trainer) > self.best

    def _score(self, trainer: pl.Trainer) -> float:
        return float(trainer.callback_metrics[f"validate/{self.monitor}"])

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        ends_epoch = batch_idx + 1 >= trainer.num_training_batches  # on_train_epoch_end writes one, after validation
        ends_step = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        if self.every and ends_step and not ends_epoch and trainer.global_step % self.every == 0:
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
            self.best, self.best_step = state_dict["best"], state_dict.get("best_step")  # not saved by 0.1.0

    def _save(self, trainer: pl.Trainer) -> None:
        """Write the checkpoint. All processes must call this: the state can be distributed over them.

        Raises:
            OSError: the file cannot be written; the previous checkpoint remains.
        """
        path, unfinished = self.folder / LAST, self.folder / f".{LAST}.unfinished"
        try:
            trainer.save_checkpoint(unfinished)
            if trainer.is_global_zero:
                unfinished.replace(path)
        except OSError as error:
            unfinished.unlink(missing_ok=True)
            rest = "the previous one remains" if path.exists() else "there is no earlier one"
            raise OSError(f"{path}: the checkpoint cannot be written ({error.strerror or error}); {rest}") from None

    def _export(self, trainer: pl.Trainer, module: pl.LightningModule, name: str) -> None:
        """Write the weights to a file of the run's folder, in the first process only."""
        assert isinstance(module, TrainingModule)
        if trainer.is_global_zero:
            save_weights(module.exported, self.folder / name)
