"""Whether a folder holds a run that can be gone on with."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
import yaml

from res3d.training.plan import Plan
from res3d.training.settings import TrainingSettings
from res3d.weights import WeightsError
from res3d.weights.kinds import kind_of

CONFIG = "config.yaml"  # the settings of a run, as ``res3d train --config`` reads them
LAST = "last.ckpt"  # to go on from
BEST = "best.safetensors"  # of the best score
FINAL = "last.safetensors"
KEY = "res3d"  # of ``describe_run`` in a checkpoint

# Settings that a run may change when it is gone on with; all others decide what it learns.
FREE = (
    *("out", "epochs", "validate", "early_stopping", "validate_every", "checkpoint_every", "log_every"),
    *("accelerator", "devices", "nodes", "workers", "cache", "cache_gigabytes"),
)

Run = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Checkpoint:
    """What is known of a run that is to go on."""

    path: Path
    step: int
    best: float | None  # score
    stopped: int | None  # the ``early_stopping`` that ended it
    comparable: bool  # whether its scores are of the data that the run validates on now

    def stops(self, settings: TrainingSettings) -> bool:
        """Whether ``early_stopping`` has ended the run, and would again."""
        patience = settings.early_stopping
        return self.comparable and self.stopped is not None and patience is not None and patience <= self.stopped

    @property
    def exported(self) -> bool:
        """Whether its weights have been written since; the run may have been killed before that."""
        final = self.path.with_name(FINAL)
        return final.exists() and final.stat().st_mtime_ns >= self.path.stat().st_mtime_ns


def describe_run(plan: Plan) -> Run:
    """What a checkpoint says of its run: plain values, by which one that goes on knows that it is the same."""
    kind = kind_of(plan.model)
    return {
        "kind": kind.name,
        "model": kind.describe(plan.model),
        "settings": asdict(plan.settings),
        "clips": len(plan.data),
    }


def find_checkpoint(folder: Path, run: Run) -> Checkpoint | None:
    """The checkpoint in ``folder``, which is of ``run``; None where no run was begun, or none came so far.

    Raises:
        ValueError: another run: of other settings, or of another model; names what differs.
        WeightsError: a checkpoint that cannot be read.
    """
    path = folder / LAST
    if not path.exists():
        found = [name for name in (FINAL, BEST) if (folder / name).exists()]
        if found and (found[0] == FINAL or not _is_begun(folder, run)):  # the best may come before the checkpoint
            raise ValueError(f"{folder} holds {found[0]} but no {LAST}: it is no run to go on with; name another out")
        return None
    state = _read(path)
    there = state[KEY]
    where = f"{path} is of another run: "
    if there["kind"] != run["kind"]:
        raise ValueError(f"{where}it has a {there['kind']}, and this is of a {run['kind']}; name another out")
    for name, text in run["model"].items():
        if difference := _difference(str(there["model"].get(name)), str(text)):
            raise ValueError(f"{where}its {run['kind']} has another architecture ({difference}); name another out")
    if difference := _changed_setting(there["settings"], run["settings"]):
        raise ValueError(f"{where}{difference}; name another out")
    if (clips := there.get("clips", run["clips"])) != run["clips"]:  # older checkpoints do not say
        raise ValueError(
            f"{where}its data had {clips} clips to train on, and now have {run['clips']}; name another out"
        )
    facts = state["callbacks"]["Checkpoints"]
    scored, scores = (dict(one["settings"].get("validate") or {}) for one in (there, run))
    return Checkpoint(
        path=path,
        step=state["global_step"],
        best=facts["best"],
        stopped=facts["stopped"],
        comparable=_changed_setting(scored, scores, "validate.") is None,
    )


def _is_begun(folder: Path, run: Run) -> bool:
    """Whether a run of the same settings was begun in ``folder``."""
    try:
        settings = yaml.safe_load((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return False
    return isinstance(settings, Mapping) and _changed_setting(settings, run["settings"]) is None


def _read(path: Path) -> dict[str, Any]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
        if KEY not in state:
            raise ValueError("res3d did not write it")
    except Exception as error:  # a damaged file can break in any way
        raise WeightsError(f"{path}: not a checkpoint of a run, or a damaged one ({error})") from None
    found: dict[str, Any] = state
    return found


def _difference(old: str, new: str) -> str | None:
    """The first line that differs between two texts."""
    if old == new:
        return None
    before, after = old.splitlines(), new.splitlines()
    for a, b in zip(before, after, strict=False):
        if a != b:
            return f"{a.strip()!r} there, {b.strip()!r} here"
    longer, where = (before, "there") if len(before) > len(after) else (after, "here")
    return f"{longer[min(len(before), len(after))].strip()!r} {where} only"


def _changed_setting(old: Mapping[str, Any], new: Mapping[str, Any], prefix: str = "") -> str | None:
    """The first that differs; one that is not given is null."""
    for name in [*new, *(key for key in old if key not in new)]:
        a, b = _as_lists(old.get(name)), _as_lists(new.get(name))
        if not prefix and name in FREE:
            continue
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            if difference := _changed_setting(a, b, f"{prefix}{name}."):
                return difference
        elif a != b:
            return f"{prefix}{name} is {a!r} there and {b!r} here"
    return None


def _as_lists(value: Any) -> Any:
    """Without tuples, which YAML does not have."""
    return [_as_lists(item) for item in value] if isinstance(value, list | tuple) else value
