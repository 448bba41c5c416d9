"""Families of detectors as rows: what their necks and heads are made of. A new family is a row here and a layout."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from res3d.backbone import NormSpec
from res3d.detection.layouts import DETECT_AND_TRACK, TORCHVISION_DETECTOR, TORCHVISION_DETECTOR_V2
from res3d.settings.types import Value
from res3d.weights import Layout


@dataclass(frozen=True, kw_only=True, slots=True)
class DetectorFamily:
    """One family. Widths are multiples of the neck's, which is 256 in all published ones."""

    layout: Layout
    """Layout of its checkpoints, by which they are recognised."""
    necks: tuple[Literal["fpn", "c4"], ...] = ("fpn", "c4")
    conv5_kernel: int | None = None
    """Temporal kernel of conv5 as a box head (C4); None: the backbone's own."""
    norm: NormSpec | None = None
    """Norm of neck and box head."""
    proposal_depth: int = 1
    """Convolutions of the tube proposal network."""
    box_convs: tuple[int, ...] = ()
    """Widths of the box head's convolutions on a pyramid; without one, the backbone's last stage takes their place."""
    box_fcs: tuple[int, ...] = (4, 4)
    """Widths of the box head's linear layers on a pyramid."""
    heads: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)
    """Fields of the other heads' specs, by field of ``DetectorSpec``, where they differ from the heads' defaults."""
    anchor_sizes: tuple[int, ...] = (32, 64, 128, 256, 512)
    """Sides in pixels: one per level of a pyramid, or all on a single level."""
    anchor_placement: Literal["corner", "cell"] = "corner"
    box_offset: Literal[0, 1] = 0
    channel_order: Literal["rgb", "bgr"] = "rgb"
    settings: Mapping[str, Value] = field(default_factory=dict)
    """Fields of ``DetectorSettings``, where they differ from its defaults."""


FAMILIES = {
    "torchvision": DetectorFamily(layout=TORCHVISION_DETECTOR),
    # Li et al. 2021, "Benchmarking Detection Transfer Learning with Vision Transformers"
    "torchvision_v2": DetectorFamily(
        layout=TORCHVISION_DETECTOR_V2,
        norm=NormSpec(),
        proposal_depth=2,
        box_convs=(1, 1, 1, 1),
        box_fcs=(4,),
        heads={"mask": {"norm": NormSpec()}},
    ),
    "detect_and_track": DetectorFamily(
        layout=DETECT_AND_TRACK,
        necks=("c4",),
        conv5_kernel=1,
        heads={"keypoints": {"border": "zeros"}},
        anchor_sizes=(64, 128, 256, 512),
        anchor_placement="cell",
        box_offset=1,
        channel_order="bgr",
        settings={
            "image_mean": (102.9801 / 255, 115.9465 / 255, 122.7717 / 255),
            "image_std": (1 / 255, 1 / 255, 1 / 255),
        },
    ),
}
