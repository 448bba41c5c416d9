"""The report of a successful load, and the error of a failed one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


class WeightsError(ValueError):
    """Weights that cannot be read or do not fit the model; the message names the source and the first mismatch."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadReport:
    """Result of a load for each tensor of the checkpoint and of the model.

    ``loaded``, ``inflated``, ``initialized`` and ``missing`` list keys of the model, and no key is in two of them.
    ``unexpected`` and ``ignored`` list keys of the checkpoint.
    """

    source: str
    """The registered name, the path, or "a state dict"."""
    layout: str
    """Name of the checkpoint's layout: the library whose tensor names it has."""
    channel_order: str
    """"rgb" or "bgr": channel order of the clips or images that the checkpoint was trained on."""
    norm_eps: float
    """Eps of the model's norms after the load. Most checkpoints do not contain the eps that they were trained with."""
    loaded: tuple[str, ...]
    """Tensors copied from the checkpoint."""
    inflated: tuple[str, ...]
    """Kernels computed from a kernel with fewer frames or with other input channels."""
    initialized: tuple[str, ...]
    """Tensors without a counterpart in the checkpoint, set such that the network computes the same function."""
    missing: tuple[str, ...]
    """Tensors without a counterpart in the checkpoint, left unchanged."""
    unexpected: tuple[str, ...]
    """Checkpoint tensors of a stage of the model that the model lacks, or with a name that the layout does not have."""
    ignored: tuple[str, ...]
    """Checkpoint tensors that the model does not need: other heads, stages beyond the body, optimizer state."""

    def __str__(self) -> str:
        order = "" if self.channel_order == "rgb" else f", trained on {self.channel_order.upper()} input"
        lines = [f"{self.source}: layout {self.layout}{order}; norm eps {self.norm_eps:g}"]
        for name in ("loaded", "inflated", "initialized", "missing", "unexpected", "ignored"):
            keys: tuple[str, ...] = getattr(self, name)
            if keys:
                lines.append(f"  {name:<11} {len(keys):>4}  {', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''}")
        return "\n".join(lines)


def describe_misfits(names: Mapping[str, Sequence[str]]) -> str:
    """Return a summary such as "3 missing, first 'a'; 1 unexpected, first 'b'" of tensor names by category."""
    return "; ".join(f"{len(keys)} {word}, first {keys[0]!r}" for word, keys in names.items() if keys)
