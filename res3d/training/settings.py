"""A training run as one dataclass: its fields are the keys of a config file and the flags of ``res3d train``."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from math import isfinite
from typing import Annotated, Any

import yaml

from res3d.data import DATA_KINDS, Augmentation, ClipData
from res3d.settings import Alias, Choice, Tagged, Variant, build_value, dump_dataclass, settings_of
from res3d.training.models import MODELS, ModelOptions
from res3d.training.optimizers import OPTIMIZERS, AdamW, OptimizerSettings
from res3d.training.schedules import SCHEDULES, Constant, Schedule

PRECISIONS: Mapping[str, str] = {"32": "32-true", "bf16": "bf16-mixed", "16": "16-mixed"}
"""Precisions by name, and what PyTorch Lightning calls them."""
ACCELERATORS = ("auto", "cpu", "gpu")
MODEL_OPTIONS = {name: task.options for name, task in MODELS.items()}
DATA_OPTIONS = {name: row.data for name, row in DATA_KINDS.items()}
SHORTHANDS: Mapping[str, str] = {"momentum": "optimizer", "milestones": "schedule", "decay": "schedule"}
"""Settings of an optimizer or a schedule that can be given beside it, and where they belong."""

Data = Annotated[Variant[ClipData], Tagged(DATA_OPTIONS)]


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingSettings:
    """A whole run: model, data, optimizer, and how the work is divided.

    Fields of other types are built of plain values, as a config has them: ``train={"kind": "synthetic"}``.

    Raises:
        ValueError: an unknown key, a value of another type or out of range, or values that do not go together.
    """

    model: Annotated[Variant[ModelOptions], Tagged(MODEL_OPTIONS)]
    """The model: its kind (detector or classifier), and the keywords of res3d.detection.mask_rcnn_3d or
    res3d.create_classifier."""
    train: Data
    """The data to train on: its kind (docs/training.md has the table), and the settings of that kind."""
    validate: Data | None = None
    """The data that is scored, likewise; without it the last weights are exported."""
    augment: Augmentation = field(default_factory=Augmentation)
    """How training clips are changed at random: scale, crop, flip, color."""
    mean: tuple[float, ...] = ()
    """Subtracted from each channel, of values in 0..1, before a classifier sees them; empty for 0."""
    std: tuple[float, ...] = ()
    """Divides each channel after that; empty for 1."""
    views: int | None = None
    """Augmented views of each clip, taken in turn by epoch; none draws a new one in every epoch."""
    cache: str | None = None
    """Folder for the feature maps of stages that stay frozen, computed once for each view; needs views."""
    cache_gigabytes: float = 10.0
    """Size that the cache may grow to; the maps of further clips are computed every time."""
    out: str = "run"
    """Folder of the run; a run found there is resumed."""
    seed: int = 0
    """Decides everything that is random; two runs with one seed are the same."""
    epochs: int = 10
    """Passes over the training data."""
    batch_size: int = 4
    """Clips per step of the optimizer, over all devices and accumulated parts together."""
    accumulate: int = 1
    """Parts that a batch is divided into, one after the other, to save memory."""
    freeze_at: int = 0
    """Leading stages of the backbone that are frozen: 0 none, 1 stem, 2 stem and conv2, ... 5 all."""
    unfreeze: dict[int, int] = field(default_factory=dict)
    """Lower values of freeze_at by the number of epochs after which they hold: {4: 1, 8: 0}."""
    optimizer: Annotated[OptimizerSettings, Tagged(OPTIMIZERS, bare=True)] = field(default_factory=AdamW)
    """The optimizer; a mapping like {kind: sgd, momentum: 0.8} changes its settings."""
    learning_rate: float = 1e-3
    """Learning rate after the warm-up, of modules that rates does not name."""
    rates: dict[str, float] = field(default_factory=dict)
    """Factors of the learning rate by path of a module (backbone, backbone.conv5, ...)."""
    weight_decay: float = 0.0
    """Decay of weights; biases and norms have none."""
    momentum: float | None = None
    """Shorthand for optimizer.momentum; without effect on optimizers that have none."""
    schedule: Annotated[Schedule, Tagged(SCHEDULES, bare=True)] = field(default_factory=Constant)
    """The learning rate over the run: constant, step (times decay at each milestone) or cosine (down to 0 at the end)."""
    milestones: tuple[float, ...] | None = None
    """Shorthand for schedule.milestones: numbers of epochs, and fractions of them, after which the rate changes."""
    decay: float | None = None
    """Shorthand for schedule.decay: the factor at each milestone; without effect on schedules that have none."""
    warm_up: int = 0
    """Steps over which the rate rises from 0; no more than the run has."""
    clip_gradient: float | None = None
    """Largest norm of the gradient of a step; none does not clip."""
    averaging: float | None = None
    """Decay of the moving average of the weights, like 0.995, which is then scored and exported; none does not
    average."""
    early_stopping: int | None = None
    """Validations without a better score after which the run stops; none trains for all epochs."""
    validate_every: int = 1
    """Epochs from one validation to the next."""
    checkpoint_every: int | None = None
    """Steps from one checkpoint to the next, besides the one after each epoch; none writes only those."""
    log_every: int = 50
    """Steps from one row of OUT/train.csv to the next."""
    precision: Annotated[str, Choice(PRECISIONS, {"float32": "32", "bfloat16": "bf16", "float16": "16"})] = "32"
    """Floating-point numbers of training: 32, or mixed with bf16 or, on a GPU, 16."""
    accelerator: Annotated[str, Choice(ACCELERATORS, {"cuda": "gpu"})] = "auto"
    """Device to train on."""
    devices: int = 1
    """Processes on each machine."""
    nodes: int = 1
    """Machines."""
    workers: int = 0
    """Processes that load data, per device."""

    def __post_init__(self) -> None:
        for setting in settings_of(TrainingSettings):
            value = build_value(setting.hint, getattr(self, setting.name), setting.name)
            object.__setattr__(self, setting.name, value)
        self._place_shorthands()
        self._check_numbers()
        self._check_freezing()
        self._check_kinds()
        self._check_together()

    def _place_shorthands(self) -> None:
        """Move values that were given beside an optimizer or schedule into it."""
        for name, place in SHORTHANDS.items():
            value, chosen = getattr(self, name), getattr(self, place)
            own = next((f for f in fields(chosen) if f.name == name), None)
            object.__setattr__(self, name, None)
            if value is None:
                continue
            if own is not None:
                given = getattr(chosen, name)
                if given not in (own.default, value):
                    raise ValueError(f"{name} is {value!r} and {place}.{name} {given!r}: give one of them")
                object.__setattr__(self, place, replace(chosen, **{name: value}))
            elif name == "milestones" and value:
                tag = next(tag for tag, kind in SCHEDULES.items() if kind is type(chosen))
                raise ValueError(f"milestones are of the schedule 'step', not of {tag!r}")
