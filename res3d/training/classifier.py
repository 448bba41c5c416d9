"""Training of ``ClipClassifier``."""

from collections.abc import Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from res3d.backbone import ClipClassifier
from res3d.data import DatasetInfo
from res3d.training.settings import TrainingSettings
from res3d.training.tasks import Maps, Options, Samples, Task
from res3d.weights import create_classifier

TOP = 5  # classes, of the second accuracy that is scored


def build_classifier(options: Options, info: DatasetInfo) -> ClipClassifier:
    """``create_classifier(backbone, num_classes, ...)``; the number of classes is the data's.

    Raises:
        ValueError: options that do not fit.
        WeightsError: weights that do not.
    """
    keywords = dict(options)
    if "backbone" not in keywords:
        raise ValueError("model.backbone is missing: a name from res3d.list_backbones() or a YAML spec file")
    name, num_classes = keywords.pop("backbone"), keywords.pop("num_classes", info.num_classes)
    if isinstance(num_classes, int) and num_classes < info.num_classes:
        raise ValueError(f"model.num_classes must be ≥ {info.num_classes}, the data's, not {num_classes}")
    return create_classifier(name, num_classes, **keywords)


def _note_input(model: ClipClassifier, settings: TrainingSettings, info: DatasetInfo) -> None:
    clip = info.clip
    if clip is None:  # pictures or signals
        return
    names = tuple(category.name for category in info.categories)
    model.categories = names if len(names) == model.num_classes else ()
    if clip.crop is None and settings.validate is None:  # what is trained on is cropped at random
        clip = replace(clip, crop=settings.augment.get("crop"))
    mean, std = tuple(settings.mean) or clip.mean, tuple(settings.std) or clip.std
    model.trained_on = replace(clip, mean=mean, std=std)


def _needs(model: ClipClassifier) -> dict[str, str]:
    return {}


def _pixels(model: ClipClassifier, clip: Tensor) -> Tensor:
    return clip[None]


def _stack(model: ClipClassifier, samples: Samples) -> Tensor:
    shapes = {tuple(clip.shape) for clip, _ in samples}
    if len(shapes) > 1:
        raise ValueError(f"clips of one batch must have one size, not {sorted(shapes)}; crop or resize them to one")
    return torch.stack([clip for clip, _ in samples]).to(model.fc.weight.device)


def _losses(model: ClipClassifier, samples: Samples, maps: Maps | None) -> dict[str, Tensor]:
    logits = model(_stack(model, samples)) if maps is None else model.resume(maps)
    labels = torch.tensor([label for _, label in samples], device=logits.device)
    return {"loss_classifier": F.cross_entropy(logits.float(), labels)}


def _predict(model: ClipClassifier, samples: Samples) -> list[Tensor]:
    logits: Tensor = model(_stack(model, samples))
    return list(logits.float().cpu())


def _score(results: Sequence[Tensor], truths: Sequence[int]) -> dict[str, float]:
    """Of clips: accuracy, that of the five likeliest where there are more classes, and cross entropy."""
    logits, labels = torch.stack(list(results)), torch.tensor(list(truths))
    order = logits.argsort(dim=1, descending=True, stable=True)
    scores = {"accuracy": _share(order[:, :1], labels), "loss": float(F.cross_entropy(logits, labels))}
    if logits.shape[1] > TOP:
        scores[f"accuracy_top{TOP}"] = _share(order[:, :TOP], labels)
    return scores


def _share(guesses: Tensor, labels: Tensor) -> float:
    """Of labels [N] that are among guesses [N, k]."""
    return float((guesses == labels[:, None]).any(dim=1).double().mean())


CLASSIFIER = Task(
    build=build_classifier,
    needs=_needs,
    losses=_losses,
    pixels=_pixels,
    predict=_predict,
    truth=int,
    score=_score,
    best="accuracy",
    normalizes=False,
    note_input=_note_input,
    scored_alone=False,
)
