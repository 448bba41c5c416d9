"""Settings of a training run as one dataclass: the keys of a configuration and the flags of ``res3d train``."""

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
"""Names of the precisions in PyTorch Lightning, by name in a configuration."""
PRECISION = Choice(PRECISIONS, {"float32": "32", "bfloat16": "bf16", "float16": "16", "fp32": "32", "fp16": "16"})
ACCELERATOR = Choice(("auto", "cpu", "gpu"), {"cuda": "gpu"})
MODELS: Mapping[str, type[AnyTask]] = {"detector": DetectorTask, "classifier": ClassifierTask}
"""Training task of each model kind."""
MODEL_OPTIONS = {kind: task.options for kind, task in MODELS.items()}
"""Dataclass of the options of each model kind."""
SHORTHANDS: Mapping[str, str] = {"momentum": "optimizer", "milestones": "schedule", "decay": "schedule"}
"""Top-level settings that set a field of the optimizer or the schedule, and the setting they belong to."""

# Group headings of ``res3d train --help``.
NETWORK, INPUT, OPTIMIZATION, OUTPUT, MACHINE = map(Group, ("network", "input", "optimization", "output", "machine"))


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingSettings:
    """Settings of a run: model, data, optimizer, output and machine.

    Fields also accept plain values as in a configuration: ``train={"kind": "synthetic", "side": 64}``.

    Raises:
        ValueError: an unknown key, a value of another type or out of range, or values that do not fit together.
    """

    model: Annotated[Variant[object], Tagged(MODEL_OPTIONS), NETWORK]
    """Model: its kind (detector or classifier) and the keywords of res3d.detection.mask_rcnn_3d or
    res3d.create_classifier."""
    train: Annotated[Variant[ClipData], Tagged(DATASETS), INPUT]
    """Training data: the kind of dataset (see the table in docs/training.md) and the settings of that kind."""
    validate: Annotated[Variant[ClipData] | None, Tagged(DATASETS), INPUT] = None
    """Validation data, in the same form as train; none skips validation and exports only the last weights."""
    augment: Augmentation = field(default_factory=Augmentation)
    """Random augmentation of training clips: scale, crop, flip, color."""
    mean: Annotated[tuple[float, ...], INPUT] = ()
    """Mean per channel, subtracted from values in 0..1 before a classifier; empty for 0."""
    std: Annotated[tuple[float, ...], INPUT] = ()
    """Standard deviation per channel, by which values are divided after subtracting mean; empty for 1."""
    views: Annotated[int | None, INPUT] = None
    """Augmented views per clip, which alternate from epoch to epoch; none makes a new view in every epoch."""
    cache: Annotated[str | None, INPUT] = None
    """Folder for the feature maps of frozen stages, which are computed once per view; needs views."""
    cache_gigabytes: Annotated[float, INPUT] = 10.0
    """Largest size of the cache in gigabytes; maps beyond it are computed in every epoch."""
    out: Annotated[str, OUTPUT] = "run"
    """Folder of the run; an interrupted run in it is resumed."""
    seed: Annotated[int, OPTIMIZATION] = 0
    """Seed of all random choices; two runs with the same settings and seed are equal."""
    epochs: Annotated[int, OPTIMIZATION] = 10
    """Passes over the training data."""
    batch_size: Annotated[int, OPTIMIZATION] = 4
    """Clips per optimizer step, over all devices and accumulated parts together."""
    accumulate: Annotated[int, OPTIMIZATION] = 1
    """Parts of a batch that are computed one after the other to save memory; their gradients are accumulated."""
    freeze_at: Annotated[int, NETWORK] = 0
    """First stages of the backbone that are frozen: 0 none, 1 stem, 2 stem and conv2, ... 5 all."""
    unfreeze: Annotated[dict[int, int], NETWORK] = field(default_factory=dict)
    """Lower values of freeze_at by the number of completed epochs from which they apply: {4: 1, 8: 0}."""
    optimizer: Annotated[OptimizerSettings, Tagged(OPTIMIZERS, bare=True), OPTIMIZATION] = field(default_factory=AdamW)
    """Optimizer; a mapping like {kind: sgd, momentum: 0.8} changes its settings."""
    learning_rate: Annotated[float, OPTIMIZATION] = 1e-3
    """Learning rate after the warm-up; rates multiplies it for single modules."""
    rates: Annotated[dict[str, float], OPTIMIZATION] = field(default_factory=dict)
    """Factors of the learning rate by module path (backbone, backbone.conv5, ...)."""
    weight_decay: Annotated[float, OPTIMIZATION] = 0.0
    """Weight decay of all parameters except biases and norms."""
    momentum: Annotated[float | None, OPTIMIZATION] = None
    """Shorthand for optimizer.momentum of sgd (default 0.9); no effect on other optimizers."""
    schedule: Annotated[Schedule, Tagged(SCHEDULES, bare=True), OPTIMIZATION] = field(default_factory=Constant)
    """Learning rate over the run: constant, step (multiplied by decay at each milestone) or cosine (down to 0)."""
    milestones: Annotated[tuple[float, ...] | None, OPTIMIZATION] = None
    """Shorthand for schedule.milestones: numbers of epochs, with fractions, after which the learning rate changes."""
    decay: Annotated[float | None, OPTIMIZATION] = None
    """Shorthand for schedule.decay of step, the factor at each milestone (default 0.1); no effect on others."""
    warm_up: Annotated[int, OPTIMIZATION] = 0
    """Steps over which the learning rate rises from 0; at most the steps of the run."""
    clip_gradient: Annotated[float | None, OPTIMIZATION] = None
    """Largest norm of the gradient of a step; none does not clip."""
    averaging: Annotated[float | None, OPTIMIZATION] = None
    """Decay of a moving average of the weights, like 0.995; the average is scored and exported. None does not
    average."""
    early_stopping: Annotated[int | None, OPTIMIZATION] = None
    """Validations without a better score after which the run stops; none trains for all epochs."""
    validate_every: Annotated[int, OUTPUT] = 1
    """Epochs from one validation to the next."""
    checkpoint_every: Annotated[int | None, OUTPUT] = None
    """Steps from one checkpoint to the next, besides one after each epoch; none writes them after epochs only."""
    log_every: Annotated[int, OUTPUT] = 50
    """Steps from one row of OUT/train.csv to the next."""
    precision: Annotated[str, PRECISION, Alias("dtype"), Deprecated("precision"), MACHINE] = "32"
    """Precision of training: 32 (float32), bf16 (bfloat16 mixed) or, on a GPU only, 16 (float16 mixed)."""
    accelerator: Annotated[str, ACCELERATOR, Alias("device"), Deprecated("accelerator"), MACHINE] = "auto"
    """Device to train on; cuda is an alias of gpu."""
    devices: Annotated[int, MACHINE] = 1
    """Processes per machine, one per device."""
    nodes: Annotated[int, MACHINE] = 1
    """Number of machines."""
    workers: Annotated[int, INPUT] = 0
    """Processes that load data, per device; 0 loads in the training process."""

    def __post_init__(self) -> None:
        for setting in settings_of(TrainingSettings):
            value = build_value(setting.hint, getattr(self, setting.name), setting.name)
            object.__setattr__(self, setting.name, value)
        self._apply_shorthands()
        self._check_numbers()
        self._check_freezing()
        self._check_kinds()
        self._check_schedule()
        self._check_division()

    def _apply_shorthands(self) -> None:
        """Move the values of ``SHORTHANDS`` into the optimizer and the schedule."""
        for name, owner in SHORTHANDS.items():
            value, component = getattr(self, name), getattr(self, owner)
            object.__setattr__(self, name, None)
            defaults = {f.name: f.default for f in fields(component)}
            if name == "milestones" and value and name not in defaults:
                raise ValueError(f"milestones need the schedule 'step', not {tag_of(component, SCHEDULES)!r}")
            # A shorthand without effect is no error: a file can set momentum, and a flag another optimizer.
            if value is None or name not in defaults:
                continue
            if getattr(component, name) not in (defaults[name], value):
                raise ValueError(
                    f"{name} {value!r} contradicts {owner}.{name} {getattr(component, name)!r}; set only one of them"
                )
            object.__setattr__(self, owner, replace(component, **{name: value}))

    def _check_numbers(self) -> None:
        for name, minimum in MINIMA.items():
            if (count := getattr(self, name)) is not None and count < minimum:
                raise ValueError(f"{name} must be a whole number ≥ {minimum}, not {count!r}")
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
                raise ValueError(f"rates: the factor of {path!r} must be ≥ 0, not {rate!r}")

    def _check_freezing(self) -> None:
        if not 0 <= self.freeze_at <= 5:
            raise ValueError(f"freeze_at must be from 0 (no stage) to 5 (all stages), not {self.freeze_at}")
        depth = self.freeze_at
        for epoch, at in sorted(self.unfreeze.items()):
            if epoch < 1 or not 0 <= at < depth:
                raise ValueError(
                    f"unfreeze must map epochs ≥ 1 to decreasing values of freeze_at, here below {depth}, "
                    f"not {epoch}: {at}"
                )
            if epoch >= self.epochs:
                raise ValueError(f"unfreeze after {epoch} epochs has no effect in a run of {self.epochs} epochs")
            depth = at
        if self.cache is not None and (self.views is None or not self.least_frozen):
            raise ValueError(
                "cache needs stages that are frozen in all epochs (freeze_at, unfreeze) and a number of views"
            )

    def _check_kinds(self) -> None:
        kind = self.model.tag
        for name, data in (("train", self.train), ("validate", self.validate)):
            if data is not None and (task := data.kind.task) != kind:
                fitting = ", ".join(tag for tag, dataset in DATASETS.items() if dataset.task == kind)
                raise ValueError(f"{name}.kind {data.tag!r} is for a {task}, not for a {kind} (accepted: {fitting})")
        if "freeze_at" in self.model.arguments:
            raise ValueError("model has no key 'freeze_at': set freeze_at at the top level, beside unfreeze")
        if MODELS[kind].normalizes and (self.mean or self.std):
            raise ValueError(f"mean and std are not used by a {kind}; set model.image_mean and model.image_std")

    def _check_schedule(self) -> None:
        if isinstance(self.schedule, StepDecay) and not self.schedule.milestones:
            raise ValueError("schedule 'step' needs milestones")
        if self.early_stopping is not None and self.validate is None:
            raise ValueError("early_stopping needs validation data (validate)")
        if self.validate is not None and self.validate_every > self.epochs:
            raise ValueError(
                f"validate_every must be ≤ {self.epochs}, the epochs of the run, not {self.validate_every}"
            )

    def _check_division(self) -> None:
        if self.batch_size % (self.processes * self.accumulate):
            parts = f"{self.devices} devices × {self.nodes} nodes × {self.accumulate} accumulated parts"
            raise ValueError(f"batch_size must be a multiple of {parts}, not {self.batch_size}")
        if self.unfreeze and self.precision == "16" and self.processes > 1:
            raise ValueError(
                "unfreeze on several devices needs precision 32 or bf16: with 16, each device scales losses differently"
            )

    @property
    def processes(self) -> int:
        """Number of processes that share a batch."""
        return self.devices * self.nodes

    @property
    def least_frozen(self) -> int:
        """The lowest value of ``freeze_at`` in the run: the number of first stages that are never trained."""
        return min(self.frozen_in(epoch) for epoch in (0, *self.unfreeze))

    def frozen_in(self, epoch: int) -> int:
        """Return the value of ``freeze_at`` after ``epoch`` completed epochs."""
        return {0: self.freeze_at, **self.unfreeze}[max(e for e in (0, *self.unfreeze) if e <= epoch)]

    def to_plain(self) -> dict[str, object]:
        """Return all settings as plain values, as in a configuration; ``TrainingSettings(**values)`` reads them.

        Shorthands are left out: their values are in the optimizer and the schedule.
        """
        values = load_yaml(dump_dataclass(self, defaults=True), root="settings")
        return {name: value for name, value in values.items() if name not in SHORTHANDS}


class RunDescription(TypedDict):
    """Description of a run in its checkpoints, as plain values. Resuming compares it with the current run."""

    kind: str
    """Model kind, as in the metadata of weights files."""
    model: Mapping[str, object]
    """Description of the model, as in the metadata of weights files."""
    settings: Mapping[str, object]
    """Result of ``TrainingSettings.to_plain``."""
    clips: int
    """Number of training clips."""


def tag_of(member: object, table: Mapping[str, type]) -> str:
    """Return the tag of a member of a tagged union."""
    return next(tag for tag, kind in table.items() if kind is type(member))


MINIMA: Mapping[str, int] = {
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
