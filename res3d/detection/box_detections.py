"""Detections of the box head in one clip, before the other heads add to them."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class BoxDetections:
    """D tubes over T frames in the coordinates of the network's input, best first."""

    boxes: Tensor
    """[D, T, 4]."""
    visible: Tensor
    """[D, T] probability."""
    scores: Tensor
    """[D]."""
    labels: Tensor
    """[D] int64 from 1."""
    embeddings: Tensor
    """[D, E], of length 1."""
