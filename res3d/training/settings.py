"""A training run as one dataclass: its fields are the keys of a config file and the flags of ``res3d train``."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

OPTIMIZERS = ("adamw", "adam", "sgd")
SCHEDULES = ("constant", "step", "cosine")
PRECISIONS = ("32", "bf16", "16")


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingSettings:
    """A whole run: model, data, optimizer, and how the work is divided.

    Args:
        model: kind (detector or classifier) and the keywords of res3d.detection.mask_rcnn_3d or res3d.create_classifier
        train: kind of the data to train on (docs/training.md has the table) and its settings
        validate: likewise, the data that is scored; without it the last weights are exported
        augment: how training clips are changed at random; scale, crop, flip, color
        mean: subtracted from each channel, of values in 0..1, before a classifier sees them; none is 0
        std: each channel is divided by it; none is 1
        views: augmented views of each clip, taken in turn by epoch; none draws a new one every epoch
        cache: folder for the maps of stages that stay frozen, computed once for each view; needs views
        cache_gigabytes: what the folder may grow to; clips beyond that are computed every time
        out: folder of the run; a run found there is continued
        seed: decides everything that is random; two runs with one seed are the same
        epochs: passes over the training data
        batch_size: clips of one step of the optimizer, over all devices and accumulated parts together
        accumulate: parts that a batch is divided into, one after the other, to save memory
        freeze_at: leading stages of the backbone that are frozen; 0 none, 1 stem, 2 stem and conv2, ...
        unfreeze: by the number of epochs that are over, from 1, the lower freeze_at from then on
        optimizer: adamw, adam or sgd
        learning_rate: of parts that rates does not name, after the warm-up
        rates: by part of the model (backbone, backbone.conv5, ...), what the learning rate is multiplied by there
        weight_decay: of weights; biases and norms have none
        momentum: of sgd
        schedule: constant, step (times decay at each of milestones) or cosine (down to 0 at the end)
        milestones: numbers of epochs after which the step schedule changes the rate, parts of them too
        decay: what it multiplies the rate by
        warm_up: steps over which the rate rises from 0; no more than the run has
        clip_gradient: largest norm of the gradient of a step; none does not clip
        averaging: of weights over steps, like 0.995; the averaged weights are scored and exported. none is off
        early_stopping: validations without a better score after which the run stops; none goes through to the end
        validate_every: epochs from one validation to the next
        checkpoint_every: steps from one checkpoint to the next, besides those after each epoch; none is those only
        log_every: steps from one line of OUT/train.csv to the next
        precision: 32, or mixed with bf16 or, on a GPU, 16
        accelerator: auto, cpu or gpu
        devices: processes on each machine
        nodes: machines
        workers: processes that load data, for each device

    Raises:
        ValueError: a value out of range, or values that do not go together.
    """

    model: dict[str, Any] = field(default_factory=dict)
    train: dict[str, Any] = field(default_factory=dict)
    validate: dict[str, Any] | None = None
    augment: dict[str, Any] = field(default_factory=dict)
    mean: list[float] = field(default_factory=list)
    std: list[float] = field(default_factory=list)
    views: int | None = None
    cache: str | None = None
    cache_gigabytes: float = 10.0
    out: str = "run"
    seed: int = 0
    epochs: int = 10
    batch_size: int = 4
    accumulate: int = 1
    freeze_at: int = 0
    unfreeze: dict[int, int] = field(default_factory=dict)
    optimizer: Literal["adamw", "adam", "sgd"] = "adamw"
    learning_rate: float = 1e-3
    rates: dict[str, float] = field(default_factory=dict)
    weight_decay: float = 0.0
    momentum: float = 0.9
    schedule: Literal["constant", "step", "cosine"] = "constant"
    milestones: list[float] = field(default_factory=list)
    decay: float = 0.1
    warm_up: int = 0
    clip_gradient: float | None = None
    averaging: float | None = None
    early_stopping: int | None = None
    validate_every: int = 1
    checkpoint_every: int | None = None
    log_every: int = 50
    precision: Literal["32", "bf16", "16", 32, 16] = "32"
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    devices: int = 1
    nodes: int = 1
    workers: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "precision", str(self.precision))  # YAML takes 32 without quotes for a number
        self._check_numbers()
        for name, accepted in (("optimizer", OPTIMIZERS), ("schedule", SCHEDULES), ("precision", PRECISIONS)):
            if getattr(self, name) not in accepted:
                raise ValueError(f"{name} must be one of {', '.join(accepted)}, not {getattr(self, name)!r}")
        if self.cache is not None and (self.views is None or not self.least_frozen):
            raise ValueError("cache needs stages that stay frozen (freeze_at) and a number of views that come again")
        if self.early_stopping is not None and self.validate is None:
            raise ValueError("early_stopping needs scores, and so data to validate on")
        if self.milestones and self.schedule != "step":
            raise ValueError(f"milestones are of the schedule 'step', not of {self.schedule!r}")
        if self.schedule == "step" and not self.milestones:
            raise ValueError("schedule 'step' needs milestones, at which the rate changes")
        if self.validate is not None and self.validate_every > self.epochs:
            raise ValueError(f"validate_every must be ≤ {self.epochs}, the run's epochs, not {self.validate_every}")
        if self.batch_size % (self.processes * self.accumulate):
            parts = f"{self.devices} devices × {self.nodes} nodes × {self.accumulate} accumulated parts"
            raise ValueError(f"batch_size must be a multiple of {parts}, not {self.batch_size}")
        if self.unfreeze and self.precision == "16" and self.processes > 1:
            raise ValueError("unfreeze on several devices needs precision 32 or bf16: 16 scales losses on each apart")

    def _check_numbers(self) -> None:
        for name, least in LEAST.items():
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < least):
                raise ValueError(f"{name} must be a whole number ≥ {least}, not {value!r}")
        for name in ("learning_rate", "decay", "cache_gigabytes", "clip_gradient"):
            if getattr(self, name) is not None and not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be > 0, not {getattr(self, name)!r}")
        if not 0 <= self.weight_decay < float("inf"):
            raise ValueError(f"weight_decay must be ≥ 0, not {self.weight_decay!r}")
        for name in ("averaging", "momentum"):
            if getattr(self, name) is not None and not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name} must be in [0, 1), not {getattr(self, name)!r}")
        self._check_freezing()
        if any(not abs(value) < float("inf") for value in self.mean) or any(
            not 0 < value < float("inf") for value in self.std
        ):
            raise ValueError(f"mean must be finite numbers and std numbers > 0, not {self.mean} and {self.std}")
        for part, rate in self.rates.items():
            if not 0 <= rate < float("inf"):
                raise ValueError(f"rates: that of {part!r} must be ≥ 0, not {rate!r}")

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

    @property
    def processes(self) -> int:
        """Over which a batch is divided."""
        return self.devices * self.nodes

    def frozen_in(self, epoch: int) -> int:
        """``freeze_at`` when so many epochs are over."""
        return {0: self.freeze_at, **self.unfreeze}[max(e for e in (0, *self.unfreeze) if e <= epoch)]

    @property
    def least_frozen(self) -> int:
        """``freeze_at`` at its lowest: the stages that are never trained."""
        return min(self.frozen_in(epoch) for epoch in (0, *self.unfreeze))


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
