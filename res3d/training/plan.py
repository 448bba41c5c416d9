"""Preparation of a run: data, model and batch sampler, with checks that they fit together."""

from dataclasses import dataclass, replace
from functools import partial

from res3d.clips import ClipSpec
from res3d.data import Augmentation, ClipData, DatasetInfo, mirror_pairs
from res3d.settings import Variant
from res3d.training.batch_sampler import BatchSampler
from res3d.training.datasets import Augment
from res3d.training.schedules import RateFactor
from res3d.training.seeding import seed_step
from res3d.training.settings import MODELS, RunDescription, TrainingSettings
from res3d.training.task import AnyTask
from res3d.weights.kinds import kind_of

Pairs = tuple[tuple[int, int], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """The parts of a run."""

    settings: TrainingSettings
    """The settings that the parts were made from."""
    task: AnyTask
    """The task, with the model that is trained."""
    data: ClipData
    """The training clips."""
    augment: Augment
    """Augmentation of the training clips."""
    flip_pairs: Pairs
    """Pairs of indices of keypoints that a flip swaps."""
    validation: ClipData | None
    """The validation clips; None without validation."""
    sampler: BatchSampler
    """The batch sampler of the first process."""
    rate_factor: RateFactor
    """Factor of the learning rates in each step."""
    description: RunDescription
    """Description of the run in its checkpoints, by which a resumed run is recognized."""

    @property
    def steps(self) -> int:
        """Optimizer steps of the whole run."""
        return self.settings.epochs * self.sampler.steps_per_epoch


def make_plan(settings: TrainingSettings) -> Plan:
    """Open the data, build the model and check that they fit together.

    Raises:
        ValueError, FileNotFoundError, WeightsError: see ``train``.
    """
    data = _open("train", settings.train)
    validation = None if settings.validate is None else _open("validate", settings.validate)
    _check_classes(data.info, None if validation is None else validation.info)
    sampler = BatchSampler(
        num_clips=len(data),
        batch_size=settings.batch_size,
        seed=settings.seed,
        accumulate=settings.accumulate,
        processes=settings.processes,
    )
    rate_factor = _plan_rates(settings, sampler.steps_per_epoch)
    pairs = mirror_pairs(data.info.categories, settings.augment.pairs) if settings.augment.flip else ()
    task = build_task(settings, data.info)
    if (clip := _recorded_clip(settings, (validation or data).info)) is not None:
        task.record_clips(clip, [category.name for category in data.info.categories])
    _check_targets("train", data.info, task)
    if validation is not None:
        _check_targets("validate", validation.info, task)
    _check_pairs(settings.augment, pairs, task)
    return Plan(
        settings=settings,
        task=task,
        data=data,
        augment=partial(settings.augment, flip_pairs=pairs),
        flip_pairs=pairs,
        validation=validation,
        sampler=sampler,
        rate_factor=rate_factor,
        description=_describe(settings, task, len(data)),
    )


def build_task(settings: TrainingSettings, info: DatasetInfo) -> AnyTask:
    """Build the model of a run, frozen as in the first epoch. Random weights are determined by the seed of the run.

    Raises:
        ValueError: options that are invalid or do not fit the data.
        WeightsError: weights that do not fit the model.
    """
    seed_step(settings.seed)
    task = MODELS[settings.model.tag].build(settings.model.arguments, info)
    task.backbone.freeze(settings.freeze_at)
    return task


def _open(name: str, data: Variant[ClipData]) -> ClipData:
    clips = data.build()
    if not len(clips):
        raise ValueError(f"{name}: the dataset has no clips")
    return clips


def _plan_rates(settings: TrainingSettings, steps_per_epoch: int) -> RateFactor:
    if settings.warm_up > (steps := settings.epochs * steps_per_epoch):
        raise ValueError(f"warm_up must be ≤ {steps}, the steps of the run, not {settings.warm_up}")
    return RateFactor(
        schedule=settings.schedule,
        warm_up=settings.warm_up,
        epochs=settings.epochs,
        steps_per_epoch=steps_per_epoch,
    )


def _recorded_clip(settings: TrainingSettings, info: DatasetInfo) -> ClipSpec | None:
    """Return the clip spec that is saved with the weights; None if clips are not cut from videos.

    Args:
        settings: settings of the run.
        info: metadata of the validation data, or of the training data without validation.
    """
    clip = info.clip
    if clip is None:
        return None
    if clip.crop is None and settings.validate is None and settings.augment.crop is not None:
        # A random crop pads smaller frames with black. A clip spec cannot, so its crop must fit into the frame.
        height, width = (min(n, clip.resize) if isinstance(clip.resize, int) else n for n in settings.augment.crop)
        clip = replace(clip, crop=(height, width))
    return replace(clip, mean=settings.mean or clip.mean, std=settings.std or clip.std)


def _describe(settings: TrainingSettings, task: AnyTask, clips: int) -> RunDescription:
    kind = kind_of(task.model)
    return {
        "kind": kind.name,
        "model": kind.describe(task.model),
        "settings": settings.to_plain(),
        "clips": clips,
    }


def _check_classes(train: DatasetInfo, validate: DatasetInfo | None) -> None:
    if train.empty:
        raise ValueError(f"train: no clip shows {', '.join(train.empty)}; remove these classes or add clips of them")
    if validate is not None and train != validate:
        a, b = (
            ", ".join(category.name for category in info.categories) or f"{info.num_classes} classes"
            for info in (train, validate)
        )
        raise ValueError(f"train and validate must have the same classes and keypoints, not {a} and {b}")


def _check_targets(name: str, info: DatasetInfo, task: AnyTask) -> None:
    for field, shape in task.target_shapes.items():
        if field not in info.targets:
            reason = f": {info.partial[field]}" if field in info.partial else ""
            raise ValueError(f"{name}: the model has a head for {field}, but the data have no {field}{reason}")
        if info.targets[field] != shape:
            raise ValueError(
                f"{name}: {field} have shape [{info.targets[field]}] in the data, but [{shape}] in the model"
            )


def _check_pairs(augment: Augmentation, pairs: Pairs, task: AnyTask) -> None:
    if augment.flip and augment.pairs is None and not pairs and "keypoints" in task.target_shapes:
        raise ValueError(
            "augment: no keypoint name contains left or right; set augment.pairs to the pairs that a flip swaps, or "
            "to [] if there are no pairs"
        )
