"""What an RoI task besides boxes has to bring: a spec that is a field of ``DetectorSpec``, and a head."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from res3d.detection.detections import Detections
from res3d.detection.matching import Samples
from res3d.ops.masks import BoxMasks


class TaskHead(nn.Module, ABC):
    """Learns from the positive samples of the box head and adds to its detections.

    A new task is a module with its spec and head, and one field of ``DetectorSpec``.
    """

    field: ClassVar[str]  # of the targets
    loss_name: ClassVar[str]
    score_name: ClassVar[str | None] = None
    """The score of ``TubeScores`` that measures the head, higher is better; it counts in a training run's quality."""
    shape: str  # of that field, like "N T H W"
    roi_size: int  # side of the features of each box; heads of one size share them

    @staticmethod
    @abstractmethod
    def resize(truth: Tensor, old: tuple[int, int], new: tuple[int, int]) -> Tensor:
        """The field's value [G, T, ...] for frames resized from ``old`` to ``new`` (height, width)."""

    @abstractmethod
    def loss(self, features: Tensor, positives: Sequence[Samples]) -> Tensor:
        """What is learned from the positive samples of each clip, of which there is at least one.

        ``features``: [R, C, T, s, s] of all clips' samples.
        """

    @abstractmethod
    def predict(self, features: Tensor, detections: Sequence[Detections]) -> list[dict[str, Tensor]]:
        """For each clip what its D detections have, in the coordinates of the network's input."""

    @staticmethod
    @abstractmethod
    def restore(
        prediction: dict[str, Tensor], boxes: Tensor, old: tuple[int, int], new: tuple[int, int]
    ) -> dict[str, Tensor | BoxMasks]:
        """A prediction in the coordinates of the frames as given; ``boxes`` [D, T, 4] are in them already."""


class TaskSpec(ABC):
    """Says what a task's head is made of."""

    __slots__ = ()

    @abstractmethod
    def build(self, channels: int, num_classes: int) -> TaskHead:
        """The head, for maps of so many channels."""
