"""The files of a run's folder, and whether a run found there is the one that is asked for."""

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
"""What a checkpoint holds of a run, or of one of its callbacks, by name."""
CONFIG = "config.yaml"
"""The settings of a run, as ``res3d train --config`` reads them."""
LAST = "last.ckpt"
"""The checkpoint that a run is resumed from."""
BEST = "best.safetensors"
"""The weights with the best score."""
FINAL = "last.safetensors"
"""The weights at the end."""
DESCRIPTION = "res3d"
"""The key of ``Plan.description`` in a checkpoint."""

# Settings that may change when a run is resumed; all others decide what it learns.
FREE = (
    *("out", "epochs", "validate", "early_stopping", "validate_every", "checkpoint_every", "log_every"),
    *("accelerator", "devices", "nodes", "workers", "cache", "cache_gigabytes"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """A checkpoint of the run that is to be resumed."""

    path: Path
    """The file."""
    step: int
    """Steps that are over."""
    best: float | None
    """The best score so far."""
    best_step: int | None
    """The step that it was reached at; None without a score, and in checkpoints of res3d 0.1.0."""
    stopped: int | None
    """The ``early_stopping`` that ended the run."""
    comparable: bool
    """Whether its scores are of the data that the run is validated on now."""

    def stops(self, settings: TrainingSettings) -> bool:
        """Return whether ``early_stopping`` has ended the run, and would do so again."""
        patience = settings.early_stopping
        return self.comparable and self.stopped is not None and patience is not None and patience <= self.stopped

    @property
    def exported(self) -> bool:
        """Whether its weights have been written since; a run can be killed before that."""
        final = self.path.with_name(FINAL)
        return final.exists() and final.stat().st_mtime_ns >= self.path.stat().st_mtime_ns


def find_checkpoint(settings: TrainingSettings, description: RunDescription) -> Checkpoint | None:
    """Find the checkpoint in the run's folder; None where no run was begun, or none came so far.

    Args:
        settings: the run's.
        description: the run's, see ``Plan.description``.

    Raises:
        ValueError: the folder holds another run: of other settings, of another model; names what differs.
        WeightsError: a checkpoint that cannot be read.
    """
    folder = Path(settings.out)
    path = folder / LAST
    if not path.exists():
        found = [name for name in (FINAL, BEST) if (folder / name).exists()]
        if found and (found[0] == FINAL or not _is_begun(folder, settings)):  # the best may come before the checkpoint
            raise ValueError(
                f"{folder} holds {found[0]} but no {LAST}, so there is no run to resume; choose another out"
            )
        return None
    state = _read(path)
    old = state[DESCRIPTION]
    try:
        comparable = _check_same(old, settings, description)
    except ValueError as error:
        raise ValueError(f"{path} is of another run: {error}; choose another out") from None
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
    """Refuse the description of another run; return whether scores of the old one are of the same data."""
    kind = new["kind"]
    if old["kind"] != kind:
        raise ValueError(f"it has a {old['kind']}, and this is of a {kind}")
    for name, text in new["model"].items():
        if difference := _text_difference(str(old["model"].get(name)), str(text)):
            raise ValueError(f"its {kind} has another architecture ({difference})")
    old_settings = _read_settings(old["settings"])
    if difference := _setting_difference(_comparable(old_settings), _comparable(settings)):
        raise ValueError(difference)
    if (clips := old.get("clips", new["clips"])) != new["clips"]:  # checkpoints before 0.1.0 do not have it
        raise ValueError(f"its data had {clips} clips to train on, and now have {new['clips']}")
    return _variant(old_settings.validate) == _variant(settings.validate)


def _is_begun(folder: Path, settings: TrainingSettings) -> bool:
    """Return whether a run of the same settings was begun in ``folder``."""
    try:
        old = _read_settings(yaml.safe_load((folder / CONFIG).read_text(encoding="utf-8")))
    except (OSError, ValueError, yaml.YAMLError):
        return False
    return _setting_difference(_comparable(old), _comparable(settings)) is None


def _read_settings(values: object) -> TrainingSettings:
    try:
        settings: TrainingSettings = build_value(TrainingSettings, values, "")
    except ValueError as error:
        raise ValueError(f"its settings are not valid here ({error})") from None
    return settings


def _read(path: Path) -> State:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        if DESCRIPTION not in state:
            raise ValueError("res3d did not write it")
    except Exception as error:  # a damaged file can break in any way
        raise WeightsError(f"{path}: not a checkpoint of a run, or a damaged one ({error})") from None
    return dict(state)


def _comparable(settings: TrainingSettings) -> dict[str, object]:
    """Return the settings that a run must not change as plain values, with all defaults written out."""
    values = {name: value for name, value in settings.to_plain().items() if name not in FREE}
    for name in ("optimizer", "schedule"):
        if isinstance(values[name], str):
            values[name] = {"kind": values[name]}
    return {**values, "model": _variant(settings.model), "train": _variant(settings.train)}


def _variant(variant: Variant[object] | None) -> object:
    """Return a member of a tagged union as plain values, with its defaults."""
    if variant is None:
        return None
    defaults = {s.name: s.default for s in settings_of(variant.kind) if s.default is not MISSING}
    return plain({"kind": variant.tag, **defaults, **variant.arguments})


def _text_difference(old: str, new: str) -> str | None:
    """Return the first line that differs between two YAML texts; None where they mean the same."""
    if old == new or yaml.safe_load(old) == yaml.safe_load(new):
        return None
    before, after = old.splitlines(), new.splitlines()
    for a, b in zip(before, after, strict=False):
        if a != b:
            return f"{a.strip()!r} there, {b.strip()!r} here"
    longer, where = (before, "there") if len(before) > len(after) else (after, "here")
    return f"{longer[min(len(before), len(after))].strip()!r} {where} only"


def _setting_difference(old: Mapping[str, object], new: Mapping[str, object], prefix: str = "") -> str | None:
    """Name the first setting that differs; one that is not given is null."""
    for name in [*new, *(key for key in old if key not in new)]:
        a, b = old.get(name), new.get(name)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            if difference := _setting_difference(a, b, f"{prefix}{name}."):
                return difference
        elif a != b:
            return f"{prefix}{name} is {a!r} there and {b!r} here"
    return None
