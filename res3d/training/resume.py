"""Files in the folder of a run, and the check that an interrupted run there can be resumed with the given settings."""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import torch
import yaml

from res3d.settings import Variant, build_value, plain, settings_of
from res3d.training.settings import RunDescription, TrainingSettings
from res3d.weights import WeightsError

State: TypeAlias = dict[str, Any]
"""State of a run, or of one of its callbacks, in a checkpoint."""
CONFIG = "config.yaml"
"""File of the settings of a run, which ``res3d train --config`` reads."""
LAST = "last.ckpt"
"""File of the checkpoint that a run is resumed from."""
BEST = "best.safetensors"
"""File of the weights with the best score."""
FINAL = "last.safetensors"
"""File of the weights at the end of the run."""
DESCRIPTION = "res3d"
"""Key of ``Plan.description`` in a checkpoint."""

# Settings that can change when a run is resumed. All others influence the weights.
CHANGEABLE = (
    *("out", "epochs", "validate", "early_stopping", "validate_every", "checkpoint_every", "log_every"),
    *("accelerator", "devices", "nodes", "workers", "cache", "cache_gigabytes"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """The checkpoint of a run that can be resumed."""

    path: Path
    """Path of the file."""
    step: int
    """Number of completed steps."""
    best: float | None
    """The best score so far; None without validation."""
    best_step: int | None
    """The step with the best score; None without a score, and in checkpoints of res3d 0.1.0."""
    stopped: int | None
    """The value of ``early_stopping`` that ended the run; None if the run was not stopped early."""
    comparable: bool
    """True if the scores were computed on the current validation data."""

    def stops(self, settings: TrainingSettings) -> bool:
        """Return whether ``early_stopping`` ended the run and would end it again with these settings."""
        patience = settings.early_stopping
        return self.comparable and self.stopped is not None and patience is not None and patience <= self.stopped

    @property
    def exported(self) -> bool:
        """True if the last weights were written after the checkpoint; False if the run was killed in between."""
        final = self.path.with_name(FINAL)
        return final.exists() and final.stat().st_mtime_ns >= self.path.stat().st_mtime_ns


def find_checkpoint(settings: TrainingSettings, description: RunDescription) -> Checkpoint | None:
    """Find the checkpoint in the folder of a run; None if no run wrote a checkpoint there.

    Args:
        settings: settings of the run.
        description: description of the run, see ``Plan.description``.

    Raises:
        ValueError: the folder contains another run, with other settings, data or another model. The message names the
            first difference.
        WeightsError: the checkpoint cannot be read.
    """
    folder = Path(settings.out)
    path = folder / LAST
    if not path.exists():
        weights = [name for name in (FINAL, BEST) if (folder / name).exists()]
        # A run that is killed in its first epoch can leave the best weights without a checkpoint.
        if weights and (weights[0] == FINAL or not _was_started(folder, settings)):
            raise ValueError(
                f"{folder} contains {weights[0]} but no {LAST}, so there is no run to resume; choose another out"
            )
        return None
    state = _read(path)
    old = state[DESCRIPTION]
    try:
        comparable = _check_same(old, settings, description)
    except ValueError as error:
        raise ValueError(f"{path} belongs to another run: {error}; choose another out") from None
    callback = state["callbacks"]["Checkpoints"]
    return Checkpoint(
        path=path,
        step=state["global_step"],
        best=callback["best"],
        best_step=callback.get("best_step"),
        stopped=callback["stopped"],
        comparable=comparable,
    )


def _check_same(old: RunDescription, settings: TrainingSettings, new: RunDescription) -> bool:
    """Check that a checkpoint belongs to the run, and return whether both have the same validation data.

    Args:
        old: description in the checkpoint.
        settings: settings of the run.
        new: description of the run.

    Raises:
        ValueError: another model, other settings or another number of training clips.
    """
    kind = new["kind"]
    if old["kind"] != kind:
        raise ValueError(f"its model is a {old['kind']}, not a {kind}")
    for name, text in new["model"].items():
        if difference := _text_difference(str(old["model"].get(name)), str(text)):
            raise ValueError(f"its {kind} has another architecture ({difference})")
    old_settings = _read_settings(old["settings"])
    if difference := _setting_difference(_comparable(old_settings), _comparable(settings)):
        raise ValueError(difference)
    if (clips := old.get("clips", new["clips"])) != new["clips"]:  # missing in checkpoints before 0.1.0
        raise ValueError(f"it had {clips} training clips, but the data now have {new['clips']}")
    return _variant(old_settings.validate) == _variant(settings.validate)


def _was_started(folder: Path, settings: TrainingSettings) -> bool:
    """Return whether a run with the same settings was started in ``folder``."""
    try:
        old = _read_settings(yaml.safe_load((folder / CONFIG).read_text(encoding="utf-8")))
    except (OSError, ValueError, yaml.YAMLError):
        return False
    return _setting_difference(_comparable(old), _comparable(settings)) is None


def _read_settings(values: object) -> TrainingSettings:
    try:
        settings: TrainingSettings = build_value(TrainingSettings, values, "")
    except ValueError as error:
        raise ValueError(f"its settings are not valid in this version of res3d ({error})") from None
    return settings


def _read(path: Path) -> State:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        if DESCRIPTION not in state:
            raise ValueError("res3d did not write it")
    except Exception as error:  # a damaged file can raise any exception
        raise WeightsError(f"{path}: not a checkpoint of res3d train, or a damaged one ({error})") from None
    return dict(state)


def _comparable(settings: TrainingSettings) -> dict[str, object]:
    """Return the settings that must not change when a run is resumed, as plain values with all defaults."""
    values = {name: value for name, value in settings.to_plain().items() if name not in CHANGEABLE}
    for name in ("optimizer", "schedule"):
        if isinstance(values[name], str):
            values[name] = {"kind": values[name]}
    return {**values, "model": _variant(settings.model), "train": _variant(settings.train)}


def _variant(variant: Variant[object] | None) -> object:
    """Return a member of a tagged union as plain values with all defaults."""
    if variant is None:
        return None
    defaults = {s.name: s.default for s in settings_of(variant.kind) if s.default is not MISSING}
    return plain({"kind": variant.tag, **defaults, **variant.arguments})


def _text_difference(old: str, new: str) -> str | None:
    """Return the first line that differs between two YAML texts; None if both have the same meaning."""
    if old == new or yaml.safe_load(old) == yaml.safe_load(new):
        return None
    before, after = old.splitlines(), new.splitlines()
    for a, b in zip(before, after, strict=False):
        if a != b:
            return f"{a.strip()!r} in the checkpoint, {b.strip()!r} now"
    longer, location = (before, "in the checkpoint") if len(before) > len(after) else (after, "now")
    return f"{longer[min(len(before), len(after))].strip()!r} only {location}"


def _setting_difference(old: Mapping[str, object], new: Mapping[str, object], prefix: str = "") -> str | None:
    """Return the first difference of two settings as text; None if all are equal. A missing setting counts as null."""
    for name in [*new, *(key for key in old if key not in new)]:
        a, b = old.get(name), new.get(name)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            if difference := _setting_difference(a, b, f"{prefix}{name}."):
                return difference
        elif a != b:
            return f"{prefix}{name} is {a!r} in the checkpoint and {b!r} now"
    return None
