"""Training of detectors."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import torch
from torch import Tensor

from res3d.data import DatasetInfo
from res3d.detection import DetectorSettings, MaskRCNN3d, mask_rcnn_3d
from res3d.evaluation import score_tubes
from res3d.settings import change_dataclass
from res3d.settings.types import Value
from res3d.training.options import Keyword, keywords_of, make_options, override_keywords
from res3d.training.packed_masks import PackedMasks
from res3d.training.task import FeatureMaps, Options, Sample, Target, Task

BASE_TARGETS = ("boxes", "visible", "labels", "track_ids")  # every dataset for detectors has these


DetectorOptions = make_options(
    "DetectorOptions",
    {
        **override_keywords(),
        **keywords_of(DetectorSettings),
        **keywords_of(mask_rcnn_3d),
        "spec": Keyword(dict[str, Value] | None),
        "tasks": Keyword(dict[str, Value] | None),
    },
    module=__name__,
)


class DetectorTask(Task[MaskRCNN3d, PackedMasks, PackedMasks]):
    """Training of a ``MaskRCNN3d``. The score ``quality`` selects the best weights."""

    options = DetectorOptions
    best_score = "quality"
    normalizes = True
    scores_one_by_one = True

    @classmethod
    def build(cls, options: Options, info: DatasetInfo) -> "DetectorTask":
        """Build a detector for the classes of the data with ``mask_rcnn_3d``.

        The option ``spec`` changes fields of the resulting ``DetectorSpec``; it is a mapping of the fields that differ.

        Raises:
            ValueError: options that ``mask_rcnn_3d`` refuses, or ``spec`` together with ``weights``.
            WeightsError: weights that do not fit the model.
        """
        keywords = {"num_classes": info.num_classes, "categories": info.categories, **options}
        changes = keywords.pop("spec", None)
        model = mask_rcnn_3d(**keywords)
        if changes is None:
            return cls(model)
        if keywords.get("weights") is not None:
            raise ValueError("model.spec cannot be combined with model.weights; use weights_backbone for a backbone")
        spec = change_dataclass(model.spec, changes, root="model.spec")
        changed = MaskRCNN3d(spec, model.settings, checkpoint_stages=keywords.get("checkpoint_stages", ()))
        if keywords.get("weights_backbone") is not None:
            changed.backbone.load_state_dict(model.backbone.state_dict())
            changed.box_head.stages.load_state_dict(model.box_head.stages.state_dict())
        return cls(changed)

    @property
    def target_shapes(self) -> Mapping[str, str]:
        return {head.field: head.shape for head in self.model.tasks.values()}

    def losses(self, samples: Sequence[Sample], maps: FeatureMaps | None = None) -> dict[str, Tensor]:
        used = (*BASE_TARGETS, *self.target_shapes)
        targets = [
            {name: value.to(self._device) for name, value in _mapping(target).items() if name in used}
            for _, target in samples
        ]
        if maps is None:
            losses = self.model([clip.to(self._device) for clip, _ in samples], targets)
        else:
            sizes = [(clip.shape[1], clip.shape[2], clip.shape[3]) for clip, _ in samples]
            losses = self.model.resume(maps, sizes, targets)
        assert isinstance(losses, dict)
        return losses

    def backbone_input(self, clip: Tensor) -> Tensor:
        if isinstance(self.model.settings.min_size, tuple):
            raise ValueError(
                f"the cache needs frames of one size: model.min_size must be a number, "
                f"not {self.model.settings.min_size}"
            )
        pixels: Tensor = self.model.transform([clip]).pixels
        return pixels

    def predict(self, samples: Sequence[Sample]) -> list[PackedMasks]:
        """Return the detections of each clip, without embeddings."""
        results: list[dict[str, Tensor]] = self.model([clip.to(self._device) for clip, _ in samples])
        for result in results:
            if "masks" in result:  # bool needs a quarter of the memory traffic of float32
                result["masks"] = result["masks"] > 0.5
        return [PackedMasks({name: value.cpu() for name, value in r.items() if name != "embeddings"}) for r in results]

    @staticmethod
    def truth(target: Target) -> PackedMasks:
        return PackedMasks(_mapping(target))

    def score(
        self, results: Sequence[Mapping[str, Tensor]], truths: Sequence[Mapping[str, Tensor]]
    ) -> dict[str, float]:
        """Return ``quality`` and those scores of ``score_tubes`` that are defined for the data.

        ``quality`` is the mean of the tube AP of boxes and the score of each other head, as far as they are defined; 0
        if none is defined.
        """
        scores = asdict(score_tubes(results, truths))
        del scores["by_class"]
        defined = {name: float(value) for name, value in scores.items() if value is not None}
        heads = ("box_ap", *(head.score_name for head in self.model.tasks.values()))
        parts = [defined[name] for name in heads if name in defined]
        return {"quality": sum(parts) / max(1, len(parts)), **defined}

    @property
    def _device(self) -> torch.device:
        return next(self.model.parameters()).device


def _mapping(target: Target) -> Mapping[str, Tensor]:
    assert isinstance(target, Mapping)
    return target
