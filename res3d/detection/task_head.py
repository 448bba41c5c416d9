"""RoI heads besides the box head: each is a spec that is a field of ``DetectorSpec``, and a module."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar, TypeAlias

from torch import Tensor, nn

from res3d.detection.box_detections import BoxDetections
from res3d.detection.sampling import Samples
from res3d.detection.targets import TargetField, TargetValues
from res3d.ops.masks import BoxMasks

Size: TypeAlias = tuple[int, int]  # (height, width)


class TaskHead(nn.Module, ABC):
    """A head that learns from the positive samples of the box head and adds to its detections.

    A new one is a module with its spec and head, and a field of ``DetectorSpec``. Shapes are words of letters: N
    objects or D detections, T frames, H rows and W columns of the frames.
    """

    field: ClassVar[str]
    """Name of the target that is learned from."""
    shape: str
    """Shape of that target, like "N T H W"."""
    values: ClassVar[TargetValues]
    """Values of that target."""
    loss_name: ClassVar[str]
    """Name of the loss."""
    score_name: ClassVar[str | None] = None
    """The score of ``TubeScores`` that measures the head, the higher the better: it counts in a run's ``quality``."""
    results: Mapping[str, str]
    """Shapes of what the head adds to results, like {"masks": "D T 1 H W"}."""
    roi_size: int
    """Side of the features of each box; heads of one size share them."""

    @property
    def target(self) -> TargetField:
        """The target that the head learns from, as ``check_targets`` takes it."""
        return TargetField(self.shape, self.values)

    @staticmethod
    def resize(truth: Tensor, old: Size, new: Size) -> Tensor:
        """The target [G, ...] for frames resized from ``old`` to ``new``; as it is where it has no coordinates."""
        return truth

    @abstractmethod
    def loss(self, features: Tensor, positives: Sequence[Samples]) -> Tensor:
        """The loss of the positive samples of each clip, of which there is at least one.

        Args:
            features: [R, C, T, s, s] of all clips' samples.
            positives: the samples of each clip.
        """

    @abstractmethod
    def predict(self, features: Tensor, detections: Sequence[BoxDetections]) -> list[dict[str, Tensor]]:
        """``results`` of each clip's D detections, in the coordinates of the network's input.

        Args:
            features: [R, C, T, s, s] of all clips' detections.
            detections: those of each clip.
        """

    @staticmethod
    def restore(prediction: dict[str, Tensor], boxes: Tensor, old: Size, new: Size) -> Mapping[str, Tensor | BoxMasks]:
        """A prediction in the coordinates of the frames as given; as it is where it has no coordinates.

        Args:
            prediction: from ``predict``, in frames of size ``old``.
            boxes: [D, T, 4] in frames of size ``new``.
        """
        return prediction


class TaskSpec(ABC):
    """The layers of a head, as data."""

    __slots__ = ()

    @abstractmethod
    def build(self, channels: int, num_classes: int) -> TaskHead:
        """The head, for maps of so many channels."""
