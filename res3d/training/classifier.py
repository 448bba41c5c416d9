"""Training of clip classifiers."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from res3d.backbone import ClipClassifier
from res3d.clips import ClipSpec
from res3d.data import DatasetInfo
from res3d.training.options import keywords_of, make_options, override_keywords
from res3d.training.task import FeatureMaps, Options, Sample, Target, Task
from res3d.weights import create_backbone, create_classifier

TOP = 5  # k of the top-k accuracy

ClassifierOptions = make_options(
    "ClassifierOptions",
    {**override_keywords(), **keywords_of(create_backbone), **keywords_of(create_classifier)},
    module=__name__,
    renamed={"name": "backbone"},
    optional=("num_classes",),
)


class ClassifierTask(Task[ClipClassifier, Tensor, int]):
    """Training of a ``ClipClassifier`` with cross entropy. Accuracy selects the best weights."""

    options = ClassifierOptions
    best_score = "accuracy"
    normalizes = False
    scores_one_by_one = False

    @classmethod
    def build(cls, options: Options, info: DatasetInfo) -> "ClassifierTask":
        """Build a classifier with ``create_classifier``; by default it has the number of classes of the data.

        Raises:
            ValueError: fewer classes than the data have, or options that ``create_classifier`` refuses.
            WeightsError: weights that do not fit the model.
        """
        keywords = {"num_classes": info.num_classes, **options}
        if keywords["num_classes"] < info.num_classes:
            raise ValueError(
                f"model.num_classes must be ≥ {info.num_classes}, the classes of the data, "
                f"not {keywords['num_classes']}"
            )
        return cls(create_classifier(keywords.pop("backbone"), **keywords))

    def record_clips(self, clip: ClipSpec, categories: Sequence[str]) -> None:
        self.model.trained_on = clip
        self.model.categories = tuple(categories) if len(categories) == self.model.num_classes else ()

    def losses(self, samples: Sequence[Sample], maps: FeatureMaps | None = None) -> dict[str, Tensor]:
        logits = self.model(self._stack(samples)) if maps is None else self.model.resume(maps)
        labels = torch.tensor([self.truth(target) for _, target in samples], device=logits.device)
        return {"loss_classifier": F.cross_entropy(logits.float(), labels)}

    def backbone_input(self, clip: Tensor) -> Tensor:
        return clip[None]

    def predict(self, samples: Sequence[Sample]) -> list[Tensor]:
        """Return the logits [num_classes] of each clip."""
        logits: Tensor = self.model(self._stack(samples))
        return list(logits.float().cpu())

    @staticmethod
    def truth(target: Target) -> int:
        assert isinstance(target, int)
        return target

    def score(self, results: Sequence[Tensor], truths: Sequence[int]) -> dict[str, float]:
        """Return ``accuracy``, ``loss`` (mean cross entropy) and, with more than five classes, ``accuracy_top5``.

        Of classes with equal logits the first one counts as more likely.
        """
        logits, labels = torch.stack(list(results)), torch.tensor(list(truths))
        order = logits.argsort(dim=1, descending=True, stable=True)
        scores = {"accuracy": _hit_rate(order[:, :1], labels), "loss": float(F.cross_entropy(logits, labels))}
        if logits.shape[1] > TOP:
            scores[f"accuracy_top{TOP}"] = _hit_rate(order[:, :TOP], labels)
        return scores

    def _stack(self, samples: Sequence[Sample]) -> Tensor:
        """Stack clips into a batch [N, C, T, H, W] on the device of the model.

        Raises:
            ValueError: clips of different shapes.
        """
        shapes = {tuple(clip.shape) for clip, _ in samples}
        if len(shapes) > 1:
            raise ValueError(
                f"all clips of a batch must have the same shape, not {sorted(shapes)}; crop or resize them"
            )
        return torch.stack([clip for clip, _ in samples]).to(self.model.fc.weight.device)


def _hit_rate(predicted: Tensor, labels: Tensor) -> float:
    """Return the share of clips whose label [N] is among the k predicted classes [N, k]."""
    return float((predicted == labels[:, None]).any(dim=1).double().mean())
