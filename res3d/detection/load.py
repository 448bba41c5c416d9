"""``load_detector``: a detector from weights alone, whoever trained them."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from torch import Tensor

from res3d.backbone import BackboneSpec
from res3d.detection.factory import check_settings, mask_rcnn_3d
from res3d.detection.layouts import DETECT_AND_TRACK, DETECTOR_LAYOUTS
from res3d.detection.mask_rcnn import MaskRCNN3d
from res3d.settings.types import Value
from res3d.structures import COCO_KEYPOINTS, COCO_PERSON, Category
from res3d.weights import Source, WeightsError, WeightsSource, load_model, open_weights

# A small detector of the shapes of ``SyntheticVideo``, for trying things out; configs/demo_sprites.yaml trains it.
DEMO_WEIGHTS = Path(__file__).with_name("demo_sprites.safetensors")


def load_detector(
    weights: Source,
    *,
    backbone: str | Path | BackboneSpec | None = None,
    norm_eps: float | None = None,
    **settings: Value,
) -> MaskRCNN3d:
    """The detector that weights belong to: its classes, heads and neck are read off them.

    torchvision's, which are of images, stay 2D (``temporal_kernel=1``): inflated by their center, as ``mask_rcnn_3d``
    does it, they find the same, at more cost.

    Args:
        weights: a registered name (``torchvision/maskrcnn_resnet50_fpn.coco``), a detector that ``save_weights`` wrote,
            a file or state dict of torchvision's Faster, Mask or Keypoint R-CNN or of Detect-and-Track, or what
            ``open_weights`` made of one of these.
        backbone: as for ``create_backbone``; by default what the weights say, ResNet-50 for torchvision's.
        norm_eps: of all norms; by default what is known of the weights (0 for torchvision's v1 of COCO, by name).
        settings: fields of ``DetectorSettings`` to set, under torchvision's names.

    Raises:
        FileNotFoundError: no such file.
        WeightsError: weights without a detector, or not of this backbone.
        ValueError: an unknown setting, or weights that do not say what their backbone is.
    """
    check_settings(settings)
    source = open_weights(weights)
    if source.is_saved:
        if backbone is not None or norm_eps is not None:
            raise ValueError(f"{source.name} says itself what its backbone and norms are")
        return _saved(source, settings)
    layout = source.recognise(DETECTOR_LAYOUTS)
    shapes = {name: tensor.shape for key, tensor in source.tensors.items() if (name := layout.rename(key))}
    if "box_head.classes.weight" not in shapes:
        raise WeightsError(f"{source.name}: {layout.name} weights without a detector")
    original = layout.name == DETECT_AND_TRACK.name
    if backbone is None and original:
        raise ValueError(f"{source.name} does not say what its backbone is; name it (backbone='resnet18_3d')")
    classes = shapes["box_head.classes.weight"][0]
    keypoints = shapes["keypoints_head.upsample.weight"][1] if "keypoints_head.upsample.weight" in shapes else None
    return mask_rcnn_3d(
        backbone or "resnet50_3d",
        classes,
        weights=source,
        neck="fpn" if any(name.startswith("neck.") for name in shapes) else "c4",
        mask="mask_head.masks.weight" in shapes,
        keypoints=keypoints,
        temporal_kernel=None if original else 1,
        categories=_categories(source, classes, keypoints),
        norm_eps=norm_eps,
        **settings,
    )


def _saved(source: WeightsSource, settings: Mapping[str, Value]) -> MaskRCNN3d:
    model = load_model(source)
    if not isinstance(model, MaskRCNN3d):
        raise WeightsError(f"{source.name}: holds a {type(model).__name__}, not a detector")
    if not settings:
        return model
    changed = MaskRCNN3d(model.spec, replace(model.settings, **settings))
    state: dict[str, Tensor] = model.state_dict()
    changed.load_state_dict(state)
    return changed


def _categories(source: WeightsSource, classes: int, keypoints: int | None) -> tuple[Category, ...]:
    """Names where they are known; a detector of people with COCO's seventeen keypoints is one of COCO's."""
    if keypoints == len(COCO_KEYPOINTS) and classes == 2:
        return (COCO_PERSON,)
    return tuple(Category(name=name) for name in source.categories)
