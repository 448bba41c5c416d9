"""``DETECTOR``: how weights files describe detectors, and how checkpoints fill them, see ``res3d.weights.kinds``."""

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
    """Description of a detector in a weights file."""

    detector: DetectorSpec
    """Architecture of the detector."""
    settings: DetectorSettings
    """Settings that the detector was saved with."""


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
    """Return the spec of all backbone stages: those of the body, then those in the box head."""
    return replace(spec.backbone, stages=(*spec.backbone.stages, *spec.box.stages))


NOT_COMPARED = ("name", "categories", "backbone")
"""Fields of ``DetectorSpec`` that ``_check_saved`` skips: the first two change no result, and ``res3d.weights`` itself
compares the backbones of all kinds of models."""
COMPARED_SETTINGS = ("image_mean", "image_std", "bbox_reg_weights")
"""Settings that must be the same as in training; users may change the others."""


def _check_saved(model: MaskRCNN3d, saved: DetectorDescription) -> None:
    """Raise ValueError if ``model`` would compute something else than the saved detector with the same tensors.

    Parts that only one of the two has are not compared: loading reports their tensors as missing or unexpected.
    """
    names = [field.name for field in fields(DetectorSpec) if field.name not in NOT_COMPARED]
    pairs = {name: (getattr(saved.detector, name), getattr(model.spec, name)) for name in names}
    # The stages of the box head belong to the backbone, which is compared elsewhere.
    pairs["box"] = (replace(saved.detector.box, stages=()), replace(model.spec.box, stages=()))
    pairs |= {name: (getattr(saved.settings, name), getattr(model.settings, name)) for name in COMPARED_SETTINGS}
    for name in sorted(pairs, key=lambda name: is_dataclass(pairs[name][0])):  # plain values first: shorter messages
        old, new = pairs[name]
        if old is not None and new is not None and old != new:
            raise ValueError(
                f"was saved with {name} = {old}, not {new} (res3d.detection.load_detector rebuilds the saved detector)"
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
