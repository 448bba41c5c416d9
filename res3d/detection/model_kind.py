"""The detector as a kind of model in weights files."""

from dataclasses import dataclass, fields, is_dataclass, replace

from res3d.backbone import BackboneSpec
from res3d.detection.layouts import DETECTOR_LAYOUTS
from res3d.detection.mask_rcnn import MaskRCNN3d
from res3d.detection.settings import DetectorSettings
from res3d.detection.spec import DetectorSpec
from res3d.settings import dump_dataclass, parse_dataclass
from res3d.weights import Metadata, ModelDescription, ModelKind


@dataclass(frozen=True, kw_only=True, slots=True)
class DetectorDescription(ModelDescription):
    """Description of the detector in a weights file."""

    detector: DetectorSpec
    settings: DetectorSettings


def _describe(model: MaskRCNN3d) -> dict[str, object]:
    return {"spec": model.spec.to_yaml(), "settings": dump_dataclass(model.settings)}


def _parse(metadata: Metadata) -> DetectorDescription:
    spec = DetectorSpec.from_yaml(str(metadata["spec"]))
    return DetectorDescription(
        spec=_whole_backbone(spec),
        categories=tuple(category.name for category in spec.categories),
        detector=spec,
        settings=parse_dataclass(DetectorSettings, str(metadata["settings"]), root="settings"),
    )


def _whole_backbone(spec: DetectorSpec) -> BackboneSpec:
    """The body with the stages of the box head behind it."""
    return replace(spec.backbone, stages=(*spec.backbone.stages, *spec.box.stages))


NOT_COMPARED = ("name", "categories", "backbone")
"""Fields of ``DetectorSpec``: the first two compute nothing, and the backbone is compared for all kinds of models."""
COMPARED_SETTINGS = ("image_mean", "image_std", "bbox_reg_weights")
"""Settings that weights were trained with; the others are the user's to choose."""


def _check_saved(model: MaskRCNN3d, saved: DetectorDescription) -> None:
    """Refuse another detector, which would compute something else; parts that only one of both has are not compared."""
    names = [field.name for field in fields(DetectorSpec) if field.name not in NOT_COMPARED]
    pairs = {name: (getattr(saved.detector, name), getattr(model.spec, name)) for name in names}
    pairs["box"] = (
        replace(saved.detector.box, stages=()),
        replace(model.spec.box, stages=()),
    )  # they are the backbone's
    pairs |= {name: (getattr(saved.settings, name), getattr(model.settings, name)) for name in COMPARED_SETTINGS}
    for name in sorted(pairs, key=lambda name: is_dataclass(pairs[name][0])):  # plain values are told most shortly
        theirs, ours = pairs[name]
        if theirs is not None and ours is not None and theirs != ours:
            raise ValueError(
                f"was saved with {name} = {theirs}, not {ours} (res3d.detection.load_detector rebuilds it)"
            )


DETECTOR = ModelKind(
    name="detector",
    model=MaskRCNN3d,
    describe=_describe,
    parse=_parse,
    build=lambda saved: MaskRCNN3d(saved.detector, saved.settings),
    backbone_spec=lambda model: _whole_backbone(model.spec),
    set_norm_eps=MaskRCNN3d.set_norm_eps,
    prefixes=("backbone.", "box_head.stages."),
    layouts=DETECTOR_LAYOUTS,
    check_saved=_check_saved,
)
