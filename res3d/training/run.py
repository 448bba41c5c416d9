"""``train``: a run from its settings, started or resumed."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from res3d.backbone import count_parameters
from res3d.files import write_whole
from res3d.settings import missing_extra
from res3d.training.plan import Plan, make_plan
from res3d.training.resume import BEST, CONFIG, FINAL, Checkpoint, find_checkpoint
from res3d.training.settings import TrainingSettings


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingResult:
    """The end of a run."""

    weights: Path
    """The weights with the best score; without validation, those at the end."""
    score: float | None
    """The best score (accuracy of a classifier, ``quality`` of a detector); None without validation."""
    step: int | None
    """The step that ``weights`` are of; None in a run that res3d 0.1.0 validated, which did not keep it."""
    steps: int
    """Steps of the whole run."""

    def __str__(self) -> str:
        steps = count_of(self.steps, "step")
        if self.score is None:
            return f"{self.weights}: after {steps}"
        of = "" if self.step is None else f" of step {self.step}"
        return f"{self.weights}: the best weights{of}, score {self.score:.4f}, after {steps} in all"


def train(settings: TrainingSettings, *, log: Callable[[str], None] = print) -> TrainingResult:
    """Train a detector or a classifier, from the checkpoint in the run's folder where there is one.

    The folder gets ``best.safetensors`` (with data to validate on) and ``last.safetensors``, which ``res3d.load_model``
    reads, ``last.ckpt`` to resume from, ``train.csv`` and ``validate.csv``, and files for TensorBoard.

    Args:
        settings: of the run.
        log: called with lines about its progress.

    Raises:
        ImportError: PyTorch Lightning is not installed.
        ValueError: settings that do not fit together or with the data, or a folder with another run.
        FileNotFoundError: data that are not there.
        WeightsError: weights that do not fit the model, or a checkpoint that cannot be read.
        OSError: a file that cannot be written; the last checkpoint is kept. A ConnectionError: another of the run's
            processes has failed.
        FloatingPointError: a loss that is not finite; the last checkpoint is kept.
    """
    try:
        from res3d.training.fit import export_last, fit, is_first_process
    except ImportError as error:
        raise missing_extra("train", "training needs PyTorch Lightning", error) from None
    log = log if is_first_process() else _discard
    plan = make_plan(settings)
    folder = Path(settings.out)
    checkpoint = find_checkpoint(settings, plan.description)
    if checkpoint is not None and (reason := _why_finished(checkpoint, plan)):
        if not checkpoint.exported:
            export_last(plan, checkpoint)
        steps = count_of(checkpoint.step, "step")
        log(f"{folder} is finished, after {steps}: nothing to do; {reason}")
        return _result(folder, checkpoint.best, checkpoint.best_step, checkpoint.step)
    if is_first_process():
        folder.mkdir(parents=True, exist_ok=True)
        text = yaml.safe_dump(settings.to_plain(), sort_keys=False, allow_unicode=True)
        write_whole(folder / CONFIG, text)
    for line in _describe(plan):
        log(line)
    if checkpoint is not None:
        log(f"resuming from {checkpoint.path}, after {checkpoint.step} of {count_of(plan.steps, 'step')}")
    end = fit(plan, checkpoint, log=log)
    return _result(folder, end.best, end.best_step, end.steps)


def count_of(number: int, noun: str) -> str:
    """Return a number with its noun, in the singular or the plural."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _why_finished(checkpoint: Checkpoint, plan: Plan) -> str | None:
    """Return what would make a finished run go on; None if it is not finished."""
    if checkpoint.step >= plan.steps:
        return "with more epochs it would go on"
    if checkpoint.stops(plan.settings):
        return f"early_stopping {checkpoint.stopped} ended it; with a larger one, or none, it would go on"
    return None


def _discard(line: str) -> None:
    pass


def _describe(plan: Plan) -> Iterator[str]:
    settings, sampler, backbone = plan.settings, plan.sampler, plan.task.backbone
    trained = sum(p.numel() for p in plan.task.model.parameters() if p.requires_grad)
    frozen = f"; frozen: {', '.join(backbone.frozen_stages)}" if backbone.frozen_stages else ""
    yield (
        f"{settings.model.tag}: {backbone.spec.name}, {count_parameters(plan.task.model):,} parameters, "
        f"{trained:,} of them trained{frozen}"
    )
    yield (
        f"train: {count_of(len(plan.data), 'clip')}, {count_of(sampler.steps_per_epoch, 'step')} of "
        f"{settings.batch_size} an epoch, {plan.steps} in all"
    )
    if plan.validation is not None:
        every = "every epoch" if settings.validate_every == 1 else f"every {settings.validate_every} epochs"
        yield f"validate: {count_of(len(plan.validation), 'clip')} {every}"
    if plan.flip_pairs:
        names = next(category.keypoints for category in plan.data.info.categories if category.keypoints)
        swapped = ", ".join(f"{names[a]} and {names[b]}" for a, b in plan.flip_pairs)
        yield f"a flip swaps {count_of(len(plan.flip_pairs), 'pair')} of keypoints: {swapped}"


def _result(folder: Path, best: float | None, best_step: int | None, steps: int) -> TrainingResult:
    if best is None:
        return TrainingResult(weights=folder / FINAL, score=None, step=steps, steps=steps)
    return TrainingResult(weights=folder / BEST, score=best, step=best_step, steps=steps)
