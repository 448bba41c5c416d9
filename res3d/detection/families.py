"""Table of detector families: the layers of their necks and heads, and their conventions.

A new family is an entry of ``FAMILIES`` and a layout in ``res3d.detection.layouts``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from res3d.backbone import NormSpec
from res3d.detection.layouts import DETECT_AND_TRACK, TORCHVISION_DETECTOR, TORCHVISION_DETECTOR_V2
from res3d.settings.types import Value
from res3d.weights import Layout


@dataclass(frozen=True, kw_only=True, slots=True)
class DetectorFamily:
    """A family of detectors. Widths are multiples of the neck's width, which is 256 in all published detectors."""

    layout: Layout
    """Layout of the family's checkpoints, by which they are recognised."""
    necks: tuple[Literal["fpn", "c4"], ...] = ("fpn", "c4")
    """Accepted values of ``mask_rcnn_3d(neck=)``."""
    conv5_kernel: int | None = None
    """Largest temporal kernel of conv5 in the box head (C4); None: no limit."""
    norm: NormSpec | None = None
    """Norm of the neck and the box head; None: biases instead."""
    proposal_depth: int = 1
    """Number of convolutions of the tube proposal network."""
    box_convs: tuple[int, ...] = ()
    """Widths of the box head's convolutions with a pyramid. The C4 box head uses conv5 instead."""
    box_fcs: tuple[int, ...] = (4, 4)
    """Widths of the box head's linear layers with a pyramid."""
    heads: Mapping[str, Mapping[str, Value]] = field(default_factory=dict)
    """Fields of the other heads' specs that differ from the heads' defaults, by field of ``DetectorSpec``."""
    anchor_sizes: tuple[int, ...] = (32, 64, 128, 256, 512)
    """Sides in pixels: one per level of a pyramid, or all on the single level of C4."""
    anchor_placement: Literal["corner", "cell"] = "corner"
    """See ``AnchorSpec.placement``."""
    box_offset: Literal[0, 1] = 0
    """See ``DetectorSpec.box_offset``."""
    channel_order: Literal["rgb", "bgr"] = "rgb"
    """Channel order of the backbone's input."""
    settings: Mapping[str, Value] = field(default_factory=dict)
    """Fields of ``DetectorSettings`` that differ from its defaults."""


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
