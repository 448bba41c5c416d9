"""The interface between a training run and the kind of model that it trains."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Generic, TypeAlias, TypeVar

from torch import Tensor, nn

from res3d.backbone import ResNet3d
from res3d.clips import ClipSpec
from res3d.data import DatasetInfo
from res3d.settings.types import Value

Target: TypeAlias = int | Mapping[str, Tensor]
"""The class of a clip, or the targets of a detector."""
Sample: TypeAlias = tuple[Tensor, Target]
"""A clip [C, T, H, W] and its target."""
FeatureMaps: TypeAlias = Mapping[str, Tensor]
"""Feature maps by stage: [N, C, T, H, W] of a batch, [C, T, H, W] of one clip."""

Options: TypeAlias = Mapping[str, Value]
"""The keys of a config's ``model`` that are given, besides ``kind``."""

Model = TypeVar("Model", bound=nn.Module)
Result = TypeVar("Result")
Truth = TypeVar("Truth")


class Task(ABC, Generic[Model, Result, Truth]):
    """What training does with a kind of model. ``Result`` and ``Truth`` are what scores are computed from, per clip.

    Args:
        model: the model, which has a ``backbone``.
    """

    options: ClassVar[type]
    """A dataclass of the keys of a config's ``model``, besides ``kind``."""
    best_score: ClassVar[str]
    """Name of the score that chooses the best weights: the higher, the better. ``score`` always returns it."""
    normalizes: ClassVar[bool]
    """Whether the model normalizes clips in 0..1 itself, so that ``mean`` and ``std`` are not for it."""
    scores_one_by_one: ClassVar[bool]
    """Whether clips are scored one by one, as padding them to one size would change the results."""

    def __init__(self, model: Model) -> None:
        self.model = model

    @classmethod
    @abstractmethod
    def build(cls, options: Options, info: DatasetInfo) -> "Task[Model, Result, Truth]":
        """Build a model with nothing frozen.

        Args:
            options: fields of ``options``.
            info: metadata of the training data.

        Raises:
            ValueError: options that are invalid or do not fit the data.
            WeightsError: weights that do not fit the model.
        """

    def record_clips(self, clip: ClipSpec, categories: Sequence[str]) -> None:
        """Keep with the model what clips it is trained on and the names of their classes, so that weights have both.

        Models that record neither ignore it.
        """

    @property
    def backbone(self) -> ResNet3d:
        """The backbone of the model."""
        backbone = self.model.backbone
        assert isinstance(backbone, ResNet3d)
        return backbone

    @property
    def target_shapes(self) -> Mapping[str, str]:
        """Shapes of the targets that the model needs besides those of every dataset of its kind, by name."""
        return {}

    @abstractmethod
    def losses(self, samples: Sequence[Sample], maps: FeatureMaps | None = None) -> dict[str, Tensor]:
        """Return the losses by name; their sum is minimized.

        Args:
            samples: the clips and targets of a batch, on any device.
            maps: maps of the leading stages [N, C, T, H, W], where they are known; only the sizes of the clips are
                used then.
        """

    @abstractmethod
    def backbone_input(self, clip: Tensor) -> Tensor:
        """Return what the backbone takes for one clip [C, T, H, W]: [1, C, T, H', W']."""

    @abstractmethod
    def predict(self, samples: Sequence[Sample]) -> list[Result]:
        """Return one result per clip, on the CPU. Targets are not used."""

    @staticmethod
    @abstractmethod
    def truth(target: Target) -> Truth:
        """Return what ``score`` compares a result with."""

    @abstractmethod
    def score(self, results: Sequence[Result], truths: Sequence[Truth]) -> dict[str, float]:
        """Return the scores of all clips of a dataset, by name."""


AnyTask: TypeAlias = Task[Any, Any, Any]
