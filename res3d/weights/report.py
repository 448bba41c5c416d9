"""The report of a load, key by key, and the error of one that fails."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


class WeightsError(ValueError):
    """Weights that cannot be read, or do not belong to the model; the message names the file and the first culprit."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadReport:
    """Account of every tensor of a checkpoint and of the model.

    ``loaded``, ``inflated``, ``initialized`` and ``missing`` are the model's names, each tensor in one of them;
    ``unexpected`` and ``ignored`` are the checkpoint's.
    """

    source: str
    layout: str
    """The library whose names the checkpoint has."""
    channel_order: str
    """"rgb" or "bgr": of the input that the checkpoint was trained on."""
    norm_eps: float
    """Eps of the model's norms; a checkpoint does not say what it was trained with."""
    loaded: tuple[str, ...]
    """Copied."""
    inflated: tuple[str, ...]
    """Made of a tensor with fewer frames, or with another number of input channels."""
    initialized: tuple[str, ...]
    """Not in the checkpoint and set so that the network computes what it did."""
    missing: tuple[str, ...]
    """Not in the checkpoint and left as they were."""
    unexpected: tuple[str, ...]
    """Without a use in the model, and not known to be without one."""
    ignored: tuple[str, ...]
    """Known and not needed: other heads, stages beyond the body, optimizer state."""

    def __str__(self) -> str:
        order = "" if self.channel_order == "rgb" else f", trained on {self.channel_order.upper()} input"
        lines = [f"{self.source}: layout {self.layout}{order}; norm eps {self.norm_eps:g}"]
        for name in ("loaded", "inflated", "initialized", "missing", "unexpected", "ignored"):
            keys: tuple[str, ...] = getattr(self, name)
            if keys:
                lines.append(f"  {name:<11} {len(keys):>4}  {', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''}")
        return "\n".join(lines)


def describe_misfits(names: Mapping[str, Sequence[str]]) -> str:
    """Return "3 missing, first 'a'; 1 unexpected, first 'b'" for names of tensors under those words."""
    return "; ".join(f"{len(keys)} {word}, first {keys[0]!r}" for word, keys in names.items() if keys)
