"""``train``: a run from its settings, begun or gone on with."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from res3d.backbone import count_parameters
from res3d.files import write_whole
from res3d.training.plan import Plan, make_plan
from res3d.training.resume import BEST, CONFIG, FINAL, Checkpoint, describe_run, find_checkpoint
from res3d.training.settings import TrainingSettings


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingResult:
    """How a run ended."""

    weights: Path  # the best where scores said which those are, else the last
    score: float | None  # of the best, by ``Task.best``
    steps: int


def train(settings: TrainingSettings, *, say: Callable[[str], None] = print) -> TrainingResult:
    """Train as ``settings`` say, from the checkpoint in their folder where there is one.

    The folder gets ``best.safetensors`` (with data to validate on) and ``last.safetensors``, which ``res3d.load_model``
    reads, ``last.ckpt`` to go on from, ``train.csv`` and ``validate.csv``, and files for TensorBoard.

    Args:
        settings: of the run.
        say: takes lines that tell how it goes.

    Raises:
        ImportError: PyTorch Lightning is not installed.
        ValueError: settings that do not fit together or with the data, or a folder with another run.
        FileNotFoundError: data that is not there.
        WeightsError: weights that do not fit the model, or a checkpoint that cannot be read.
        OSError: a file that cannot be written; the last checkpoint is kept. A ConnectionError: another of the run's
            processes has failed.
        FloatingPointError: a loss that is not finite; likewise.
    """
    try:
        from res3d.training.fit import export_last, fit, is_first_process
    except ImportError as error:
        raise ImportError(f'training needs PyTorch Lightning: pip install "res3d[train]" ({error})') from None
    say = say if is_first_process() else _silence
    plan = make_plan(settings)
    folder = Path(settings.out)
    checkpoint = find_checkpoint(folder, describe_run(plan))
    if checkpoint is not None and (ended := _why_finished(checkpoint, plan)):
        if not checkpoint.exported:
            export_last(plan, checkpoint)
        say(f"{folder} is finished, after {checkpoint.step} steps: nothing to do; {ended}")
        return _result(folder, checkpoint.best, checkpoint.step)
    if is_first_process():
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(folder / CONFIG, yaml.safe_dump(asdict(settings), sort_keys=False, allow_unicode=True))
    for line in _describe(plan):
        say(line)
    if checkpoint is not None:
        say(f"going on from {checkpoint.path}, after {checkpoint.step} of {plan.steps} steps")
    best, step = fit(plan, checkpoint, say=say)
    return _result(folder, best, step)


def _why_finished(checkpoint: Checkpoint, plan: Plan) -> str | None:
    """With what it would go on; None where it does."""
    if checkpoint.step >= plan.steps:
        return "with more epochs it would go on"
    if checkpoint.stops(plan.settings):
        return f"early_stopping {checkpoint.stopped} ended it; with a larger one, or none, it would go on"
    return None


def _silence(line: str) -> None:
    pass


def _describe(plan: Plan) -> Iterator[str]:
    settings, order = plan.settings, plan.order
    backbone: Any = plan.model.backbone
    trained = sum(p.numel() for p in plan.model.parameters() if p.requires_grad)
    frozen = f"; frozen: {', '.join(backbone.frozen_stages)}" if backbone.frozen_stages else ""
    yield (
        f"{settings.model['kind']}: {backbone.spec.name}, {count_parameters(plan.model):,} parameters, "
        f"{trained:,} of them trained{frozen}"
    )
    yield (
        f"train: {len(plan.data)} clips, {order.steps_per_epoch} steps of {settings.batch_size} an epoch, "
        f"{plan.steps} in all"
    )
    if plan.validation is not None:
        yield f"validate: {len(plan.validation)} clips every {settings.validate_every} epochs"
    if plan.flip_pairs:
        names = next(category.keypoints for category in plan.data.info.categories if category.keypoints)
        swapped = ", ".join(f"{names[a]} and {names[b]}" for a, b in plan.flip_pairs)
        yield f"a flip swaps {len(plan.flip_pairs)} pairs of keypoints: {swapped}"


def _result(folder: Path, best: float | None, steps: int) -> TrainingResult:
    return TrainingResult(weights=folder / (FINAL if best is None else BEST), score=best, steps=steps)
