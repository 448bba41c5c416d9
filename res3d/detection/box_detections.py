"""Detections of the box head in one clip, without the results of the other heads."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, kw_only=True, slots=True)
class BoxDetections:
    """D detected tubes over T frames, best first."""

    boxes: Tensor
    """[D, T, 4] xyxy in pixels of the network's input."""
    visible: Tensor
    """[D, T] probability that the object is visible in a frame."""
    scores: Tensor
    """[D] in 0..1."""
    labels: Tensor
    """[D] int64 from 1."""
    embeddings: Tensor
    """[D, E], normalized to length 1."""
