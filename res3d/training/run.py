"""The function ``train``, which starts or resumes a run."""

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
    """Result of a run."""

    weights: Path
    """File of the weights with the best score; without validation, of the last weights."""
    score: float | None
    """The best score (accuracy of a classifier, ``quality`` of a detector); None without validation."""
    step: int | None
    """The step after which ``weights`` were written; None for runs of res3d 0.1.0 with validation, which did not save
    it."""
    steps: int
    """Steps of the whole run, including those before it was resumed."""

    def __str__(self) -> str:
        steps = count_of(self.steps, "step")
        if self.score is None:
            return f"{self.weights}: after {steps}"
        of = "" if self.step is None else f" of step {self.step}"
        return f"{self.weights}: the best weights{of}, score {self.score:.4f}, after {steps} in all"


def train(settings: TrainingSettings, *, log: Callable[[str], None] = print) -> TrainingResult:
    """Train a detector or a classifier. If the folder of the run contains a checkpoint, the run is resumed from it.

    The folder ``settings.out`` gets these files:

    - ``best.safetensors`` (with validation) and ``last.safetensors``: weights for ``res3d.load_model``,
    - ``last.ckpt``: the checkpoint to resume from,
    - ``train.csv`` and ``validate.csv``: losses and scores,
    - ``config.yaml``: the settings,
    - ``tensorboard``: a folder of TensorBoard files.

    A finished run is not trained again; its result is returned.

    Args:
        settings: settings of the run.
        log: called with lines about the progress, in the first process only.

    Returns:
        The weights, the best score and the number of steps.

    Raises:
        ImportError: PyTorch Lightning is not installed.
        ValueError: the settings do not fit together or do not fit the data, or the folder contains another run.
        FileNotFoundError: data do not exist.
        WeightsError: weights do not fit the model, or the checkpoint cannot be read.
        OSError: a file cannot be written, or (ConnectionError) another process of the run failed. The last checkpoint
            remains.
        FloatingPointError: the loss is not finite. The last checkpoint remains.
    """
    try:
        from res3d.training.fit import export_last, fit, is_first_process
    except ImportError as error:
        raise missing_extra("train", "training needs PyTorch Lightning", error) from None
    log = log if is_first_process() else _discard
    plan = make_plan(settings)
    folder = Path(settings.out)
    checkpoint = find_checkpoint(settings, plan.description)
    if checkpoint is not None and (hint := _finished_hint(checkpoint, plan)):
        if not checkpoint.exported:
            export_last(plan, checkpoint)
        steps = count_of(checkpoint.step, "step")
        log(f"{folder} is finished, after {steps}: nothing to do; {hint}")
        return _result(folder, checkpoint.best, checkpoint.best_step, checkpoint.step)
    if is_first_process():
        folder.mkdir(parents=True, exist_ok=True)
        text = yaml.safe_dump(settings.to_plain(), sort_keys=False, allow_unicode=True)
        write_whole(folder / CONFIG, text)
    for line in _describe(plan):
        log(line)
    if checkpoint is not None:
        log(f"resuming from {checkpoint.path}, after {checkpoint.step} of {count_of(plan.steps, 'step')}")
    result = fit(plan, checkpoint, log=log)
    return _result(folder, result.best, result.best_step, result.steps)


def count_of(number: int, noun: str) -> str:
    """Return a number followed by its noun, in the singular or plural form."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _finished_hint(checkpoint: Checkpoint, plan: Plan) -> str | None:
    """Return how to continue a finished run; None if the run is not finished."""
    if checkpoint.step >= plan.steps:
        return "set more epochs to continue it"
    if checkpoint.stops(plan.settings):
        return f"early_stopping {checkpoint.stopped} ended it; set a larger value, or none, to continue it"
    return None


def _discard(line: str) -> None:
    pass


def _describe(plan: Plan) -> Iterator[str]:
    """Yield the lines that are logged at the start of a run."""
    settings, sampler, backbone = plan.settings, plan.sampler, plan.task.backbone
    trained = sum(p.numel() for p in plan.task.model.parameters() if p.requires_grad)
    frozen = f"; frozen: {', '.join(backbone.frozen_stages)}" if backbone.frozen_stages else ""
    yield (
        f"{settings.model.tag}: {backbone.spec.name}, {count_parameters(plan.task.model):,} parameters, "
        f"{trained:,} of them trained{frozen}"
    )
    yield (
        f"train: {count_of(len(plan.data), 'clip')}, {count_of(sampler.steps_per_epoch, 'step')} of "
        f"{settings.batch_size} per epoch, {plan.steps} in all"
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
