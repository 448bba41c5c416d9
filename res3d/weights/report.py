"""What loading weights did, key by key, and the error when it cannot be done."""

from dataclasses import dataclass


class WeightsError(ValueError):
    """Weights that cannot be read, or do not belong to the model; the message names the file and the first culprit."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadReport:
    """Where each tensor of a checkpoint went. ``loaded`` and ``missing`` are our names, the others the checkpoint's."""

    source: str
    loaded: tuple[str, ...]
    missing: tuple[str, ...]  # the model's, not in the checkpoint
    unexpected: tuple[str, ...]  # the checkpoint's, with no place in the model
    ignored: tuple[str, ...]  # known and not needed: other heads, stages beyond the body, counts of batches

    def __str__(self) -> str:
        parts = [f"{len(self.loaded)} tensors loaded from {self.source}"]
        for name in ("missing", "unexpected", "ignored"):
            keys: tuple[str, ...] = getattr(self, name)
            if keys:
                parts.append(f"{len(keys)} {name} ({', '.join(keys[:3])}{', ...' if len(keys) > 3 else ''})")
        return "; ".join(parts)
