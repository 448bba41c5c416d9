"""Interface between a training run and the model kind that it trains."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar

from torch import Tensor, nn

from res3d.backbone import ResNet3d
from res3d.clips import ClipSpec
from res3d.data import DatasetInfo
from res3d.settings.types import Value

Target: TypeAlias = int | Mapping[str, Tensor]
"""The label of a clip, or the target of a detector by name."""
Sample: TypeAlias = tuple[Tensor, Target]
"""A clip [C, T, H, W] and its target."""
FeatureMaps: TypeAlias = Mapping[str, Tensor]
"""Feature maps by stage: [N, C, T, H, W] for a batch, [C, T, H, W] for one clip."""

Options: TypeAlias = Mapping[str, Value]
"""The keys under ``model`` in a configuration, without ``kind``."""

Model = TypeVar("Model", bound=nn.Module)
Result = TypeVar("Result")
Truth = TypeVar("Truth")


class Task(ABC, Generic[Model, Result, Truth]):
    """Training of one model kind: building, losses, predictions and scores.

    ``Result`` is the prediction for one clip and ``Truth`` its ground truth; ``score`` compares them.

    Args:
        model: the model; it has an attribute ``backbone``.
    """

    options: ClassVar[type]
    """Dataclass of the keys under ``model`` in a configuration, without ``kind``."""
    best_score: ClassVar[str]
    """Name of the score that selects the best weights; higher is better. ``score`` always returns it."""
    normalizes: ClassVar[bool]
    """True if the model normalizes clips in 0..1 itself, so that ``mean`` and ``std`` do not apply to it."""
    scores_one_by_one: ClassVar[bool]
    """True if clips are scored one by one, because padding them to one size would change the results."""

    def __init__(self, model: Model) -> None:
        self.model = model

    @classmethod
    @abstractmethod
    def build(cls, options: Options, info: DatasetInfo) -> "Task[Model, Result, Truth]":
        """Build a model without frozen stages.

        Args:
            options: values for the fields of the class attribute ``options``.
            info: metadata of the training data.

        Raises:
            ValueError: options that are invalid or do not fit the data.
            WeightsError: weights that do not fit the model.
        """

    def record_clips(self, clip: ClipSpec, categories: Sequence[str]) -> None:
        """Store the clip spec and the class names of the data in the model, so that they are saved with the weights.

        The default does nothing.
        """

    @property
    def backbone(self) -> ResNet3d:
        """The backbone of the model."""
        backbone = self.model.backbone
        assert isinstance(backbone, ResNet3d)
        return backbone

    @property
    def target_shapes(self) -> Mapping[str, str]:
        """Shapes of the targets that the model needs besides those that every dataset of its kind has, by name."""
        return {}

    @abstractmethod
    def losses(self, samples: Sequence[Sample], maps: FeatureMaps | None = None) -> dict[str, Tensor]:
        """Return the losses by name; their sum is minimized.

        Args:
            samples: the clips and targets of a batch, on any device.
            maps: cached feature maps [N, C, T, H, W] of the first stages; with them, only the sizes of the clips are
                used. None computes all stages.
        """

    @abstractmethod
    def backbone_input(self, clip: Tensor) -> Tensor:
        """Return the input of the backbone, [1, C, T, H', W'], for one clip [C, T, H, W]."""

    @abstractmethod
    def predict(self, samples: Sequence[Sample]) -> list[Result]:
        """Return one prediction per clip, on the CPU. The targets are ignored."""

    @staticmethod
    @abstractmethod
    def truth(target: Target) -> Truth:
        """Return the ground truth of a target, for ``score``."""

    @abstractmethod
    def score(self, results: Sequence[Result], truths: Sequence[Truth]) -> dict[str, float]:
        """Return the scores over all clips of a dataset, by name."""


AnyTask: TypeAlias = Task[Any, Any, Any]
