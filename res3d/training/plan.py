"""What a run is made of, before anything runs."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from torch import nn

from res3d.data import Augmentation, ClipData, mirror_pairs
from res3d.settings import build_dataclass
from res3d.training.kinds import build_data, build_model, find_task
from res3d.training.loading import Change
from res3d.training.order import Order, seed_step
from res3d.training.schedule import Schedule
from res3d.training.settings import TrainingSettings
from res3d.training.tasks import Task


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """Everything that a run is made of."""

    settings: TrainingSettings
    task: Task
    model: nn.Module
    data: ClipData
    change: Change  # of what is trained on
    flip_pairs: tuple[tuple[int, int], ...]  # of keypoints that change places in it
    validation: ClipData | None
    order: Order  # of the first process
    schedule: Schedule

    @property
    def steps(self) -> int:
        """Of the whole run."""
        return self.settings.epochs * self.order.steps_per_epoch


def make_plan(settings: TrainingSettings) -> Plan:
    """Data opened, model built.

    Raises:
        ValueError, FileNotFoundError, WeightsError: as ``train``.
    """
    task = find_task(settings)
    kind = settings.model["kind"]
    if task.normalizes and (settings.mean or settings.std):
        raise ValueError(f"mean and std are not for a {kind}, which has its own (model.image_mean and model.image_std)")
    data = build_data("train", settings.train, kind)
    validation = None if settings.validate is None else build_data("validate", settings.validate, kind)
    _check_classes(data, validation)
    order = Order(
        num_clips=len(data),
        batch_size=settings.batch_size,
        seed=settings.seed,
        accumulate=settings.accumulate,
        processes=settings.processes,
    )
    if settings.warm_up > (steps := settings.epochs * order.steps_per_epoch):
        raise ValueError(f"warm_up must be ≤ {steps}, the steps of the run, not {settings.warm_up}")
    schedule = Schedule(
        kind=settings.schedule,
        warm_up=settings.warm_up,
        epochs=settings.epochs,
        steps_per_epoch=order.steps_per_epoch,
        milestones=settings.milestones,
        decay=settings.decay,
    )
    augmentation = build_dataclass(Augmentation, settings.augment, root="augment")
    flip_pairs = mirror_pairs(data.info.categories, augmentation.pairs) if augmentation.flip else ()
    seed_step(settings.seed)  # of random weights
    model = build_model(task, settings, data.info)
    task.note_input(model, settings, (data if validation is None else validation).info)
    _check_targets("train", data, task.needs(model))
    if validation is not None:
        _check_targets("validate", validation, task.needs(model))
    if augmentation.flip and augmentation.pairs is None and not flip_pairs and "keypoints" in task.needs(model):
        raise ValueError(
            "augment: no keypoint's name says left or right; name the pairs that a flip swaps (augment.pairs), or say "
            "that there are none ([])"
        )
    return Plan(
        settings=settings,
        task=task,
        model=model,
        data=data,
        change=partial(augmentation, flip_pairs=flip_pairs),
        flip_pairs=flip_pairs,
        validation=validation,
        order=order,
        schedule=schedule,
    )


def _check_classes(data: ClipData, validation: ClipData | None) -> None:
    if data.info.empty:
        raise ValueError(f"train: no clip shows {', '.join(data.info.empty)}; leave such classes out, or add examples")
    if validation is not None and data.info != validation.info:
        a, b = data.info, validation.info
        names = [", ".join(c.name for c in info.categories) or f"{info.num_classes} classes" for info in (a, b)]
        raise ValueError(f"train and validate must be of the same classes and keypoints, not {names[0]} and {names[1]}")


def _check_targets(name: str, data: ClipData, needs: Mapping[str, str]) -> None:
    info = data.info
    for field, shape in needs.items():
        if field not in info.targets:
            why = f": {info.partial[field]}" if field in info.partial else ""
            raise ValueError(f"{name}: the model has a head for {field}, which its data lack{why}")
        if info.targets[field] != shape:
            raise ValueError(f"{name}: {field} are [{info.targets[field]}], and the model's [{shape}]")
