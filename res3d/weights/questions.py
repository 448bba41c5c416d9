"""Functions of res3d 0.1.0 that later versions replace by attributes of ``open_weights(weights)``."""

from pathlib import Path

from res3d.backbone import BackboneSpec
from res3d.clips import ClipSpec
from res3d.weights.source import open_weights


def backbone_of(weights: str | Path) -> BackboneSpec | None:
    """Return ``open_weights(weights).spec``."""
    return open_weights(weights).spec


def input_of(weights: str | Path) -> ClipSpec | None:
    """Return ``open_weights(weights).clip``."""
    return open_weights(weights).clip


def head_classes(weights: str | Path) -> int | None:
    """Return ``open_weights(weights).num_classes``."""
    return open_weights(weights).num_classes
