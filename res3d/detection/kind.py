"""What weight files need to know of a detector."""

from dataclasses import replace

from res3d.backbone import BackboneSpec
from res3d.detection.layouts import DETECTOR_LAYOUTS
from res3d.detection.mask_rcnn import MaskRCNN3d
from res3d.detection.settings import DetectorSettings
from res3d.detection.spec import DetectorSpec
from res3d.settings import dump_dataclass, parse_dataclass
from res3d.weights.kinds import Metadata, ModelKind


def _describe(model: MaskRCNN3d) -> dict[str, object]:
    return {"spec": model.spec.to_yaml(), "settings": dump_dataclass(model.settings)}


def _build(metadata: Metadata) -> MaskRCNN3d:
    spec = DetectorSpec.from_yaml(str(metadata["spec"]))
    return MaskRCNN3d(spec, parse_dataclass(DetectorSettings, str(metadata["settings"]), root="settings"))


def _whole_backbone(spec: DetectorSpec) -> BackboneSpec:
    """The body with the stages of the box head behind it."""
    return replace(spec.backbone, stages=(*spec.backbone.stages, *spec.box.stages))


# What changes a detector's function and no tensor's shape.
_CONVENTIONS = ("box_offset", "channel_order", "proposals", "box", "mask", "keypoints")


def _check_saved(model: MaskRCNN3d, metadata: Metadata) -> None:
    saved = DetectorSpec.from_yaml(str(metadata["spec"]))
    for name in _CONVENTIONS:
        theirs, ours = getattr(saved, name), getattr(model.spec, name)
        if name == "box" and theirs is not None:  # the stages are compared with the backbone's
            theirs, ours = replace(theirs, stages=()), replace(ours, stages=())
        if theirs is not None and ours is not None and theirs != ours:
            raise ValueError(
                f"was saved with {name} = {theirs}, not {ours} (res3d.detection.load_detector rebuilds it)"
            )
    settings = parse_dataclass(DetectorSettings, str(metadata["settings"]), root="settings")
    for name in ("image_mean", "image_std", "bbox_reg_weights"):
        theirs, ours = getattr(settings, name), getattr(model.settings, name)
        if theirs != ours:
            raise ValueError(
                f"was saved with {name} = {theirs}, not {ours} (res3d.detection.load_detector rebuilds it)"
            )


DETECTOR = ModelKind(
    name="detector",
    model=MaskRCNN3d,
    describe=_describe,
    build=_build,
    backbone_spec=lambda model: _whole_backbone(model.spec),
    saved_spec=lambda metadata: _whole_backbone(DetectorSpec.from_yaml(str(metadata["spec"]))),
    set_norm_eps=MaskRCNN3d.set_norm_eps,
    prefixes=("backbone.", "box_head.stages."),
    layouts=DETECTOR_LAYOUTS,
    check_saved=_check_saved,
)
