"""Base classes of RoI heads besides the box head: ``TaskSpec`` (a field of ``DetectorSpec``) and ``TaskHead``."""

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
    """A head that is trained on the positive samples of the box head and predicts more for its detections.

    A new head is a file with its spec and its module, and a field of ``DetectorSpec``. Letters of shapes: N objects or
    D detections, T frames, H rows and W columns of the frames.
    """

    field: ClassVar[str]
    """Name of the target tensor that the head is trained on."""
    shape: str
    """Shape of the target tensor, like "N T H W"."""
    values: ClassVar[TargetValues]
    """Values of the target tensor."""
    loss_name: ClassVar[str]
    """Key of the head's loss in the dict of losses."""
    score_name: ClassVar[str | None] = None
    """Field of ``TubeScores`` that measures the head, higher is better. It is part of the ``quality`` of a training
    run. None: no score."""
    results: Mapping[str, str]
    """Shapes of the tensors that the head adds to results, like {"masks": "D T 1 H W"}."""
    roi_size: int
    """Side of the pooled features of each box. Heads of equal size share the features."""

    @property
    def target(self) -> TargetField:
        """Description of the target tensor, for ``check_targets``."""
        return TargetField(self.shape, self.values)

    @staticmethod
    def resize(truth: Tensor, old: Size, new: Size) -> Tensor:
        """Return the target tensor [G, ...] for frames that are resized from ``old`` to ``new``.

        The default returns it unchanged, for targets without coordinates or pixels.
        """
        return truth

    @abstractmethod
    def loss(self, features: Tensor, positives: Sequence[Samples]) -> Tensor:
        """Return the loss of positive samples, at least one in all clips together.

        Args:
            features: [R, C, T, s, s] of the samples of all clips.
            positives: the samples of each clip.
        """

    @abstractmethod
    def predict(self, features: Tensor, detections: Sequence[BoxDetections]) -> list[dict[str, Tensor]]:
        """Return the tensors of ``results`` for each clip, with coordinates in pixels of the network's input.

        Args:
            features: [R, C, T, s, s] of the detections of all clips.
            detections: the detections of each clip.
        """

    @staticmethod
    def restore(prediction: dict[str, Tensor], boxes: Tensor, old: Size, new: Size) -> Mapping[str, Tensor | BoxMasks]:
        """Return the prediction for one clip with coordinates in pixels of the input frames.

        The default returns it unchanged, for predictions without coordinates or pixels.

        Args:
            prediction: the result of ``predict`` for the clip, in frames of size ``old``.
            boxes: [D, T, 4] in frames of size ``new``.
            old: (height, width) of the network's input.
            new: (height, width) of the input frames.
        """
        return prediction


class TaskSpec(ABC):
    """Spec of a head: its layers as data."""

    __slots__ = ()

    @abstractmethod
    def build(self, channels: int, num_classes: int) -> TaskHead:
        """Build the head for feature maps with ``channels``. ``num_classes`` includes the background."""
