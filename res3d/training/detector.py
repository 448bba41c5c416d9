"""Training of ``MaskRCNN3d``."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from torch import Tensor

from res3d.data import DatasetInfo
from res3d.detection import MaskRCNN3d, mask_rcnn_3d
from res3d.evaluation import score_tubes
from res3d.settings import change_dataclass
from res3d.training.packed import PackedMasks
from res3d.training.tasks import Maps, Options, Samples, Task

AIMS = ("box_ap", "mask_ap", "pck")  # whose mean, of the heads that there are, says which weights are best
ALWAYS = ("boxes", "visible", "labels", "track_ids")  # of a target


def build_detector(options: Options, info: DatasetInfo) -> MaskRCNN3d:
    """``mask_rcnn_3d(**options)``; classes and their names are the data's.

    ``options["spec"]`` changes what that makes: a mapping shaped like ``DetectorSpec``, with only what is to differ.

    Raises:
        ValueError: options that do not fit.
        WeightsError: weights that do not.
    """
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}
    keywords: dict[str, Any] = {"num_classes": info.num_classes, "categories": info.categories, **given}
    changes = keywords.pop("spec", None)
    model = mask_rcnn_3d(**keywords)
    if changes is None:
        return model
    if keywords.get("weights") is not None:
        raise ValueError("model.spec changes a detector without weights; those of a backbone are weights_backbone")
    stages = keywords.get("checkpoint_stages", ())
    spec = change_dataclass(model.spec, changes, root="model.spec")
    changed = MaskRCNN3d(spec, model.settings, checkpoint_stages=stages)
    if keywords.get("weights_backbone") is not None:
        changed.backbone.load_state_dict(model.backbone.state_dict())
        changed.box_head.stages.load_state_dict(model.box_head.stages.state_dict())
    return changed


def _needs(model: MaskRCNN3d) -> dict[str, str]:
    return {task.field: task.shape for task in model.tasks.values()}


def _losses(model: MaskRCNN3d, samples: Samples, maps: Maps | None) -> dict[str, Tensor]:
    used = (*ALWAYS, *_needs(model))
    device = next(model.parameters()).device
    targets = [{name: value.to(device) for name, value in t.items() if name in used} for _, t in samples]
    if maps is None:
        losses = model([clip.to(device) for clip, _ in samples], targets)
    else:
        losses = model.resume(maps, [(clip.shape[1], clip.shape[2], clip.shape[3]) for clip, _ in samples], targets)
    assert isinstance(losses, dict)
    return losses


def _pixels(model: MaskRCNN3d, clip: Tensor) -> Tensor:
    if isinstance(model.settings.min_size, tuple):
        raise ValueError(
            f"a cache needs frames of one size: model.min_size must be a number, not {model.settings.min_size}"
        )
    pixels: Tensor = model.transform([clip]).pixels
    return pixels


def _predict(model: MaskRCNN3d, samples: Samples) -> list[PackedMasks]:
    device = next(model.parameters()).device
    found: list[dict[str, Tensor]] = model([clip.to(device) for clip, _ in samples])
    for result in found:
        if "masks" in result:  # as bits they are a quarter to move
            result["masks"] = result["masks"] > 0.5
    return [PackedMasks({name: value.cpu() for name, value in r.items() if name != "embeddings"}) for r in found]


def _score(results: Sequence[Any], truths: Sequence[Any]) -> dict[str, float]:
    scores = asdict(score_tubes(results, truths))
    del scores["by_class"]
    known = {name: float(value) for name, value in scores.items() if value is not None}
    aims = [known[name] for name in AIMS if name in known]
    return {"quality": sum(aims) / max(1, len(aims)), **known}


DETECTOR = Task(
    build=build_detector,
    needs=_needs,
    losses=_losses,
    pixels=_pixels,
    predict=_predict,
    truth=PackedMasks,
    score=_score,
    best="quality",
    normalizes=True,
    note_input=lambda model, settings, info: None,  # a detector brings its own sizes, and its classes' names
    scored_alone=True,
)
