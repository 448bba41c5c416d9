"""Execution of a run with PyTorch Lightning's ``Trainer``."""

import logging
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytorch_lightning as pl
import torch
import torch.distributed as dist
from pytorch_lightning.callbacks import TQDMProgressBar
from pytorch_lightning.loggers import TensorBoardLogger
from pytorch_lightning.utilities import rank_zero_only
from pytorch_lightning.utilities.exceptions import MisconfigurationException  # type: ignore[attr-defined]
from torch import nn

from res3d.training.batch_sampler import split_clips
from res3d.training.checkpoints import Checkpoints, DirectCheckpointIO
from res3d.training.curves import Curves
from res3d.training.datasets import AugmentedClips, Normalization, TrainingClips
from res3d.training.early_stopping import EarlyStopping
from res3d.training.feature_cache import FeatureCache, open_cache
from res3d.training.loaders import ScoringLoader, TrainingLoader
from res3d.training.module import TrainingModule
from res3d.training.plan import Plan
from res3d.training.resume import FINAL, Checkpoint
from res3d.training.settings import PRECISIONS, TrainingSettings
from res3d.weights import save_weights

# Lightning's warnings about intended behavior.
IGNORED_WARNINGS = (
    "Found .* in eval mode at the start of training",  # frozen stages are in eval mode
    "The '.*_dataloader' does not have many workers",  # the user sets the number of workers
    "You're resuming from a checkpoint that ended before the epoch ended",  # the loader continues at the exact step
    "Be aware that when using `ckpt_path`, callbacks used to create the checkpoint need to be provided",
    r"`isinstance\(treespec, LeafSpec\)` is deprecated",  # raised by torch for code in Lightning
    r"You passed `Trainer\(accelerator='cpu', precision='16-mixed'\)`",  # ``_check_device`` raises ValueError
    "You defined a `validation_step` but have no `val_dataloader`",  # validation data are optional
    "GPU available but not used",  # the user sets the accelerator
    "The number of training batches .* is smaller than the logging interval",  # ``Curves`` replaces Lightning's logging
)


def is_first_process() -> bool:
    """Return whether this process has rank 0. Only that process writes files and logs lines."""
    return int(rank_zero_only.rank or 0) == 0  # type: ignore[attr-defined]


def export_last(plan: Plan, checkpoint: Checkpoint) -> None:
    """Write ``last.safetensors`` from the last checkpoint, for a run that was killed before it wrote the file."""
    if is_first_process():
        module = TrainingModule(plan)
        state = torch.load(checkpoint.path, map_location="cpu", weights_only=True, mmap=True)
        module.load_state_dict(state["state_dict"])
        save_weights(module.exported, Path(plan.settings.out) / FINAL)


@dataclass(frozen=True, kw_only=True, slots=True)
class FitResult:
    """Result of a run."""

    best: float | None
    """The best score; None without validation."""
    best_step: int | None
    """The step with the best score; None without validation."""
    steps: int
    """Steps of the whole run, including those before it was resumed."""


def fit(plan: Plan, checkpoint: Checkpoint | None, *, log: Callable[[str], None]) -> FitResult:
    """Train until the last epoch or until early stopping.

    Args:
        plan: the parts of the run.
        checkpoint: the checkpoint to resume from; None starts a new run.
        log: called with lines about the progress.

    Raises:
        ValueError, OSError, FloatingPointError: see ``train``.
    """
    settings = plan.settings
    folder = Path(settings.out)
    cache = open_cache(settings, plan.task, plan.data, plan.description, log=log)
    module = TrainingModule(plan, cache)
    normalize = Normalization(mean=settings.mean, std=settings.std)
    loader = _training_loader(plan, normalize, cache, lambda: module.global_step)
    comparable = checkpoint is None or checkpoint.comparable
    checkpoints = Checkpoints(
        folder, every=settings.checkpoint_every, monitor=plan.task.best_score, comparable=comparable
    )
    curves = Curves(
        folder,
        every=settings.log_every,
        loading_time=loader.loading_time,
        is_best=checkpoints.is_best,
        log=log,
    )
    with _quiet():
        trainer = _trainer(settings, [curves, checkpoints, *_more_callbacks(plan, comparable)])
        _check_device(plan, trainer)
        loader.sampler = replace(plan.sampler, process=trainer.global_rank)
        scoring = _scoring_loader(plan, normalize, trainer.global_rank)
        path = None if checkpoint is None else checkpoint.path
        _run(trainer, lambda: trainer.fit(module, loader, scoring, ckpt_path=path, weights_only=True))
    return FitResult(best=checkpoints.best, best_step=checkpoints.best_step, steps=trainer.global_step)


def _trainer(settings: TrainingSettings, callbacks: list[pl.Callback]) -> pl.Trainer:
    return pl.Trainer(
        accelerator=settings.accelerator,
        devices=settings.devices,
        num_nodes=settings.nodes,
        strategy="ddp" if settings.processes > 1 else "auto",
        precision=PRECISIONS[settings.precision],  # type: ignore[arg-type]
        max_epochs=settings.epochs,
        accumulate_grad_batches=settings.accumulate,
        gradient_clip_val=settings.clip_gradient,
        check_val_every_n_epoch=settings.validate_every,
        num_sanity_val_steps=0,
        callbacks=callbacks,
        plugins=[DirectCheckpointIO()],
        logger=TensorBoardLogger(settings.out, name="tensorboard", version=""),
        enable_progress_bar=any(isinstance(callback, TQDMProgressBar) for callback in callbacks),
        enable_model_summary=False,
        use_distributed_sampler=False,  # BatchSampler and split_clips already divide the clips among processes
    )


def _more_callbacks(plan: Plan, comparable: bool) -> list[pl.Callback]:
    callbacks: list[pl.Callback] = []
    if (patience := plan.settings.early_stopping) is not None:
        callbacks.append(EarlyStopping(f"validate/{plan.task.best_score}", patience, comparable=comparable))
    if sys.stderr.isatty():
        callbacks.append(TQDMProgressBar())
    return callbacks


def _training_loader(
    plan: Plan, normalize: Normalization, cache: FeatureCache | None, next_step: Callable[[], int]
) -> TrainingLoader:
    clips = AugmentedClips(plan.data, plan.augment, normalize, plan.settings.seed)
    return TrainingLoader(
        TrainingClips(clips, None if cache is None else cache.files),
        plan.sampler,
        next_step,
        num_views=plan.settings.views,
        workers=plan.settings.workers,
    )


def _scoring_loader(plan: Plan, normalize: Normalization, process: int) -> ScoringLoader | None:
    if plan.validation is None:
        return None
    return ScoringLoader(
        AugmentedClips(plan.validation, None, normalize, plan.settings.seed),
        split_clips(len(plan.validation), plan.settings.processes, process),
        batch_size=1 if plan.task.scores_one_by_one else plan.sampler.part_size,
        workers=plan.settings.workers,
    )


def _check_device(plan: Plan, trainer: pl.Trainer) -> None:
    """Raise ValueError for settings that need a GPU when the run is on a CPU."""
    if trainer.strategy.root_device.type != "cpu":
        return
    if any(isinstance(module, nn.SyncBatchNorm) for module in plan.task.model.modules()):
        raise ValueError("norm 'sync_batch' needs a GPU; use group, frozen_batch or batch on a CPU")
    if plan.settings.precision == "16":
        raise ValueError("precision 16 needs a GPU; use 32 or bf16 on a CPU")


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress Lightning's info messages and ``IGNORED_WARNINGS``, and raise its configuration errors as ValueError."""
    loggers = [logging.getLogger(name) for name in ("pytorch_lightning", "lightning_fabric")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            for message in IGNORED_WARNINGS:
                warnings.filterwarnings("ignore", message=message)
            yield
    except MisconfigurationException as error:
        raise ValueError(" ".join(str(error).split())) from None
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _run(trainer: pl.Trainer, action: Callable[[], None]) -> None:
    """Run an action of the trainer and restore the handler of Ctrl-C.

    Lightning alone would exit on Ctrl-C, and would leave a handler that ignores the next Ctrl-C.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed.
        ConnectionError: another process of the run has failed.
    """
    handler = signal.getsignal(signal.SIGINT)
    try:
        action()
    except SystemExit:
        if trainer.interrupted:
            raise KeyboardInterrupt from None
        raise
    except RuntimeError as error:
        if trainer.world_size > 1 and _is_lost(error):
            raise ConnectionError("another process of the run failed; see the error message of that process") from None
        raise
    finally:
        signal.signal(signal.SIGINT, handler)


def _is_lost(error: RuntimeError) -> bool:
    """Return whether an error means that the connection to another process is lost.

    The backend gloo raises a plain RuntimeError for it.
    """
    return isinstance(error, dist.DistError) or "gloo" in str(error)
