"""``load_detector``: a detector from its weights alone, written by res3d or another library."""

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

DEMO_WEIGHTS = Path(__file__).with_name("demo_sprites.safetensors")
"""Weights of a small detector of the shapes in ``SyntheticVideo``, for demonstrations (configs/demo_sprites.yaml)."""


def load_detector(
    weights: Source,
    *,
    backbone: str | Path | BackboneSpec | None = None,
    norm_eps: float | None = None,
    **settings: Value,
) -> MaskRCNN3d:
    """Build the detector that fits the weights and load them. They define its classes, heads and neck.

    torchvision's image detectors stay 2D (``temporal_kernel=1``). Inflated to 3D by ``mask_rcnn_3d`` with "center",
    they give the same results at a higher cost.

    Args:
        weights: a registered name (``torchvision/maskrcnn_resnet50_fpn.coco``), a detector file that ``save_weights``
            wrote, a file or state dict of torchvision's Faster, Mask or Keypoint R-CNN or of Detect-and-Track, or the
            result of ``open_weights`` for one of these.
        backbone: as for ``create_backbone``. None: the backbone that the file defines, ResNet-50 for torchvision's.
        norm_eps: eps of all norms. None: the eps that the file or the registry defines (0 for torchvision's v1
            detectors of COCO, by registered name), else the eps of the backbone's spec.
        settings: fields of ``DetectorSettings`` to change, under torchvision's names.

    Raises:
        FileNotFoundError: no such file.
        WeightsError: the weights contain no detector, or do not fit the backbone.
        ValueError: an unknown setting; no ``backbone`` for weights that do not define it; or ``backbone`` or
            ``norm_eps`` for a file that res3d wrote, which defines both.
    """
    check_settings(settings)
    source = open_weights(weights)
    if source.is_saved:
        if backbone is not None or norm_eps is not None:
            raise ValueError(f"{source.name} defines its backbone and norms: backbone and norm_eps must be None")
        return _load_saved(source, settings)
    layout = source.recognise(DETECTOR_LAYOUTS)
    shapes = {name: tensor.shape for key, tensor in source.tensors.items() if (name := layout.rename(key))}
    if "box_head.classes.weight" not in shapes:
        raise WeightsError(f"{source.name}: {layout.name} weights without a detector")
    is_3d = layout.name == DETECT_AND_TRACK.name
    if backbone is None and is_3d:
        raise ValueError(f"{source.name} does not define its backbone: pass it, like backbone='resnet18_3d'")
    classes = shapes["box_head.classes.weight"][0]
    keypoints = shapes["keypoints_head.upsample.weight"][1] if "keypoints_head.upsample.weight" in shapes else None
    return mask_rcnn_3d(
        backbone or "resnet50_3d",
        classes,
        weights=source,
        neck="fpn" if any(name.startswith("neck.") for name in shapes) else "c4",
        mask="mask_head.masks.weight" in shapes,
        keypoints=keypoints,
        temporal_kernel=None if is_3d else 1,
        categories=_categories(source, classes, keypoints),
        norm_eps=norm_eps,
        **settings,
    )


def _load_saved(source: WeightsSource, settings: Mapping[str, Value]) -> MaskRCNN3d:
    """Return the detector of a file that res3d wrote, with some settings changed."""
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
    """Return the categories of the weights, empty if unknown.

    A detector of one class with COCO's number of keypoints, 17, is taken for a detector of COCO's persons.
    """
    if keypoints == len(COCO_KEYPOINTS) and classes == 2:
        return (COCO_PERSON,)
    return tuple(Category(name=name) for name in source.categories)
