"""A training run as one dataclass: its fields are the keys of a config file and the flags of ``res3d train``."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from math import inf, isfinite
from typing import Annotated, TypedDict

from res3d.data import DATASETS, Augmentation, ClipData
from res3d.settings import (
    Alias,
    Choice,
    Deprecated,
    Group,
    Tagged,
    Variant,
    build_value,
    dump_dataclass,
    load_yaml,
    settings_of,
)
from res3d.training.classifier import ClassifierTask
from res3d.training.detector import DetectorTask
from res3d.training.optimizers import OPTIMIZERS, AdamW, OptimizerSettings
from res3d.training.schedules import SCHEDULES, Constant, Schedule, StepDecay
from res3d.training.task import AnyTask

PRECISIONS: Mapping[str, str] = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}
"""Precisions by name, and what PyTorch Lightning calls them."""
PRECISION = Choice(PRECISIONS, {"float32": "32", "bfloat16": "bf16", "float16": "16", "fp32": "32", "fp16": "16"})
ACCELERATOR = Choice(("auto", "cpu", "gpu"), {"cuda": "gpu"})
MODELS: Mapping[str, type[AnyTask]] = {"detector": DetectorTask, "classifier": ClassifierTask}
"""Kinds of models, and how each is trained."""
MODEL_OPTIONS = {kind: task.options for kind, task in MODELS.items()}
SHORTHANDS: Mapping[str, str] = {"momentum": "optimizer", "milestones": "schedule", "decay": "schedule"}
"""Settings of an optimizer or a schedule that can be given beside it, and where they belong."""

# Headings of ``res3d train --help``.
NETWORK, INPUT, OPTIMIZATION, OUTPUT, MACHINE = map(Group, ("network", "input", "optimization", "output", "machine"))


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingSettings:
    """A whole run: model, data, optimizer, and how the work is divided.

    The fields may be given as plain values too, as a config has them: ``train={"kind": "synthetic", "side": 64}``.

    Raises:
        ValueError: an unknown key, a value of another type or out of range, or values that do not go together.
    """

    model: Annotated[Variant[object], Tagged(MODEL_OPTIONS), NETWORK]
    """The model: its kind (detector or classifier), and the keywords of res3d.detection.mask_rcnn_3d or
    res3d.create_classifier."""
    train: Annotated[Variant[ClipData], Tagged(DATASETS), INPUT]
    """The data to train on: its kind (docs/training.md has the table), and the settings of that kind."""
    validate: Annotated[Variant[ClipData] | None, Tagged(DATASETS), INPUT] = None
    """The data that is scored, likewise; without it the last weights are exported."""
    augment: Augmentation = field(default_factory=Augmentation)
    """How training clips are changed at random: scale, crop, flip, color."""
    mean: Annotated[tuple[float, ...], INPUT] = ()
    """Subtracted from each channel, of values in 0..1, before a classifier sees them; empty for 0."""
    std: Annotated[tuple[float, ...], INPUT] = ()
    """Divides each channel after that; empty for 1."""
    views: Annotated[int | None, INPUT] = None
    """Augmented views of each clip, taken in turn by epoch; none draws a new one in every epoch."""
    cache: Annotated[str | None, INPUT] = None
    """Folder for the feature maps of stages that stay frozen, computed once for each view; needs views."""
    cache_gigabytes: Annotated[float, INPUT] = 10.0
    """Size that the cache may grow to; the maps of further clips are computed every time."""
    out: Annotated[str, OUTPUT] = "run"
    """Folder of the run; a run found there is resumed."""
    seed: Annotated[int, OPTIMIZATION] = 0
    """Decides everything that is random; two runs with one seed are the same."""
    epochs: Annotated[int, OPTIMIZATION] = 10
    """Passes over the training data."""
    batch_size: Annotated[int, OPTIMIZATION] = 4
    """Clips per step of the optimizer, over all devices and accumulated parts together."""
    accumulate: Annotated[int, OPTIMIZATION] = 1
    """Parts that a batch is divided into, one after the other, to save memory."""
    freeze_at: Annotated[int, NETWORK] = 0
    """Leading stages of the backbone that are frozen: 0 none, 1 stem, 2 stem and conv2, ... 5 all."""
    unfreeze: Annotated[dict[int, int], NETWORK] = field(default_factory=dict)
    """Lower values of freeze_at by the number of epochs after which they hold: {4: 1, 8: 0}."""
    optimizer: Annotated[OptimizerSettings, Tagged(OPTIMIZERS, bare=True), OPTIMIZATION] = field(default_factory=AdamW)
    """The optimizer; a mapping like {kind: sgd, momentum: 0.8} changes its settings."""
    learning_rate: Annotated[float, OPTIMIZATION] = 1e-3
    """Learning rate after the warm-up, of modules that rates does not name."""
    rates: Annotated[dict[str, float], OPTIMIZATION] = field(default_factory=dict)
    """Factors of the learning rate by path of a module (backbone, backbone.conv5, ...)."""
    weight_decay: Annotated[float, OPTIMIZATION] = 0.0
    """Decay of weights; biases and norms have none."""
    momentum: Annotated[float | None, OPTIMIZATION] = None
    """Shorthand for optimizer.momentum, which sgd has (by default 0.9); without effect on other optimizers."""
    schedule: Annotated[Schedule, Tagged(SCHEDULES, bare=True), OPTIMIZATION] = field(default_factory=Constant)
    """The learning rate over the run: constant, step (times decay at each milestone) or cosine (down to 0)."""
    milestones: Annotated[tuple[float, ...] | None, OPTIMIZATION] = None
    """Shorthand for schedule.milestones: numbers of epochs, and fractions of them, after which the rate changes."""
    decay: Annotated[float | None, OPTIMIZATION] = None
    """Shorthand for schedule.decay, the factor at each milestone (by default 0.1); without effect on other schedules
    than step."""
    warm_up: Annotated[int, OPTIMIZATION] = 0
    """Steps over which the rate rises from 0; no more than the run has."""
    clip_gradient: Annotated[float | None, OPTIMIZATION] = None
    """Largest norm of the gradient of a step; none does not clip."""
    averaging: Annotated[float | None, OPTIMIZATION] = None
    """Decay of the moving average of the weights, like 0.995, which is then scored and exported; none does not
    average."""
    early_stopping: Annotated[int | None, OPTIMIZATION] = None
    """Validations without a better score after which the run stops; none trains for all epochs."""
    validate_every: Annotated[int, OUTPUT] = 1
    """Epochs from one validation to the next."""
    checkpoint_every: Annotated[int | None, OUTPUT] = None
    """Steps from one checkpoint to the next, besides the one after each epoch; none writes only those."""
    log_every: Annotated[int, OUTPUT] = 50
    """Steps from one row of OUT/train.csv to the next."""
    precision: Annotated[str, PRECISION, Alias("dtype"), Deprecated("precision"), MACHINE] = "32"
    """Floating-point numbers of training: 32 (float32), or mixed with bf16 (bfloat16) or, on a GPU, 16 (float16)."""
    accelerator: Annotated[str, ACCELERATOR, Alias("device"), Deprecated("accelerator"), MACHINE] = "auto"
    """Device to train on; cuda is another word for gpu."""
    devices: Annotated[int, MACHINE] = 1
    """Processes on each machine."""
    nodes: Annotated[int, MACHINE] = 1
    """Machines."""
    workers: Annotated[int, INPUT] = 0
    """Processes that load data, per device."""

    def __post_init__(self) -> None:
        for setting in settings_of(TrainingSettings):
            value = build_value(setting.hint, getattr(self, setting.name), setting.name)
            object.__setattr__(self, setting.name, value)
        self._place_shorthands()
        self._check_numbers()
        self._check_freezing()
        self._check_kinds()
        self._check_schedule()
        self._check_division()

    def _place_shorthands(self) -> None:
        """Move what was given beside an optimizer or schedule into it."""
        for name, place in SHORTHANDS.items():
            value, chosen = getattr(self, name), getattr(self, place)
            object.__setattr__(self, name, None)
            defaults = {f.name: f.default for f in fields(chosen)}
            if name == "milestones" and value and name not in defaults:
                raise ValueError(f"milestones are of the schedule 'step', not of {tag_of(chosen, SCHEDULES)!r}")
            if value is None or name not in defaults:  # a config may set the momentum, and a flag the optimizer
                continue
            if getattr(chosen, name) not in (defaults[name], value):
                raise ValueError(f"{name} {value!r} and {place}.{name} {getattr(chosen, name)!r}: give one of them")
            object.__setattr__(self, place, replace(chosen, **{name: value}))

    def _check_numbers(self) -> None:
        for name, least in LEAST.items():
            if (count := getattr(self, name)) is not None and count < least:
                raise ValueError(f"{name} must be a whole number ≥ {least}, not {count!r}")
        for name in ("learning_rate", "cache_gigabytes", "clip_gradient"):
            if (number := getattr(self, name)) is not None and not 0 < number < inf:
                raise ValueError(f"{name} must be > 0, not {number!r}")
        if not 0 <= self.weight_decay < inf:
            raise ValueError(f"weight_decay must be ≥ 0, not {self.weight_decay!r}")
        if self.averaging is not None and not 0 <= self.averaging < 1:
            raise ValueError(f"averaging must be in [0, 1), not {self.averaging!r}")
        if not all(map(isfinite, self.mean)) or not all(0 < value < inf for value in self.std):
            raise ValueError(f"mean must be finite numbers and std numbers > 0, not {self.mean} and {self.std}")
        for path, rate in self.rates.items():
            if not 0 <= rate < inf:
                raise ValueError(f"rates: that of {path!r} must be ≥ 0, not {rate!r}")

    def _check_freezing(self) -> None:
        if not 0 <= self.freeze_at <= 5:
            raise ValueError(f"freeze_at must be 0 (nothing) to 5 (everything), not {self.freeze_at}")
        depth = self.freeze_at
        for epoch, at in sorted(self.unfreeze.items()):
            if epoch < 1 or not 0 <= at < depth:
                raise ValueError(
                    f"unfreeze must give a lower freeze_at from epoch to epoch (from 1), below {depth} here, "
                    f"not {epoch}: {at}"
                )
            if epoch >= self.epochs:
                raise ValueError(f"unfreeze: after {epoch} epochs a run of {self.epochs} is over")
            depth = at
        if self.cache is not None and (self.views is None or not self.least_frozen):
            raise ValueError("cache needs stages that stay frozen (freeze_at) and a number of views that come again")

    def _check_kinds(self) -> None:
        kind = self.model.tag
        for name, data in (("train", self.train), ("validate", self.validate)):
            if data is not None and (task := data.kind.task) != kind:
                fitting = ", ".join(tag for tag, dataset in DATASETS.items() if dataset.task == kind)
                raise ValueError(f"{name}.kind {data.tag!r} is for a {task}, not for a {kind} (accepted: {fitting})")
        if "freeze_at" in self.model.arguments:
            raise ValueError("model has no key 'freeze_at': it is a setting of the run, beside unfreeze")
        if MODELS[kind].normalizes and (self.mean or self.std):
            raise ValueError(
                f"mean and std are not for a {kind}, which has its own (model.image_mean and model.image_std)"
            )

    def _check_schedule(self) -> None:
        if isinstance(self.schedule, StepDecay) and not self.schedule.milestones:
            raise ValueError("schedule 'step' needs milestones, at which the rate changes")
        if self.early_stopping is not None and self.validate is None:
            raise ValueError("early_stopping needs scores, and so data to validate on")
        if self.validate is not None and self.validate_every > self.epochs:
            raise ValueError(f"validate_every must be ≤ {self.epochs}, the run's epochs, not {self.validate_every}")

    def _check_division(self) -> None:
        if self.batch_size % (self.processes * self.accumulate):
            parts = f"{self.devices} devices × {self.nodes} nodes × {self.accumulate} accumulated parts"
            raise ValueError(f"batch_size must be a multiple of {parts}, not {self.batch_size}")
        if self.unfreeze and self.precision == "16" and self.processes > 1:
            raise ValueError("unfreeze on several devices needs precision 32 or bf16: 16 scales losses on each apart")

    @property
    def processes(self) -> int:
        """Processes that a batch is divided over."""
        return self.devices * self.nodes

    @property
    def least_frozen(self) -> int:
        """The lowest value of ``freeze_at``: leading stages that are never trained."""
        return min(self.frozen_in(epoch) for epoch in (0, *self.unfreeze))

    def frozen_in(self, epoch: int) -> int:
        """Return the value of ``freeze_at`` when so many epochs are over."""
        return {0: self.freeze_at, **self.unfreeze}[max(e for e in (0, *self.unfreeze) if e <= epoch)]

    def to_plain(self) -> dict[str, object]:
        """Return all settings as plain values, like those of a config; ``TrainingSettings(**values)`` reads them."""
        values = load_yaml(dump_dataclass(self, defaults=True), root="settings")
        return {name: value for name, value in values.items() if name not in SHORTHANDS}


class RunDescription(TypedDict):
    """Plain values that checkpoints hold, by which a resumed run is known to be the same."""

    kind: str
    """The kind of model, as weight files name it."""
    model: Mapping[str, object]
    """The model, as weight files describe it."""
    settings: Mapping[str, object]
    """``TrainingSettings.to_plain``."""
    clips: int
    """Clips to train on."""


def tag_of(member: object, table: Mapping[str, type]) -> str:
    """Return the tag of a member of a tagged union."""
    return next(tag for tag, kind in table.items() if kind is type(member))


LEAST: Mapping[str, int] = {
    "views": 1,
    "seed": 0,
    "epochs": 1,
    "batch_size": 1,
    "accumulate": 1,
    "warm_up": 0,
    "early_stopping": 1,
    "validate_every": 1,
    "checkpoint_every": 1,
    "log_every": 1,
    "devices": 1,
    "nodes": 1,
    "workers": 0,
}
