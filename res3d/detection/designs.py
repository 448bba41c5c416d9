"""Families of detectors as rows: what their necks and heads are made of. A new family is a row here and a layout."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from res3d.backbone import NormSpec
from res3d.detection.layouts import DETECT_AND_TRACK, TORCHVISION_DETECTOR, TORCHVISION_DETECTOR_V2
from res3d.weights.layouts import Layout


@dataclass(frozen=True, kw_only=True, slots=True)
class Design:
    """One family. Widths are multiples of the neck's, 256 in all of them."""

    layout: Layout  # of its checkpoints, which it is recognised by
    necks: tuple[Literal["fpn", "c4"], ...] = ("fpn", "c4")
    conv5_kernel: int | None = None  # in time, of conv5 as a box head (C4); None: the backbone's own
    norm: NormSpec | None = None  # of neck, box head and mask head
    proposal_depth: int = 1  # convolutions of the tube proposal network
    box_convs: tuple[int, ...] = ()
    box_fcs: tuple[int, ...] = (4, 4)  # on a pyramid; without one, the backbone's last stage takes their place
    keypoint_border: Literal["replicate", "zeros"] = "replicate"
    anchor_sizes: tuple[int, ...] = (32, 64, 128, 256, 512)  # one a level of a pyramid, or all on a single one
    anchor_placement: Literal["corner", "cell"] = "corner"
    box_offset: Literal[0, 1] = 0
    channel_order: Literal["rgb", "bgr"] = "rgb"
    settings: Mapping[str, Any] = field(default_factory=dict)  # of ``DetectorSettings``, where its defaults differ


DESIGNS = {
    "torchvision": Design(layout=TORCHVISION_DETECTOR),
    "torchvision_v2": Design(  # Li et al. 2021, "Benchmarking Detection Transfer Learning with Vision Transformers"
        layout=TORCHVISION_DETECTOR_V2, norm=NormSpec(), proposal_depth=2, box_convs=(1, 1, 1, 1), box_fcs=(4,)
    ),
    "detect_and_track": Design(
        layout=DETECT_AND_TRACK,
        necks=("c4",),
        conv5_kernel=1,
        keypoint_border="zeros",
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

MASK_CONVS = (1, 1, 1, 1)
KEYPOINT_CONVS = (2,) * 8
# Temporal kernels of the parts, Detect-and-Track's: what moves is seen by the backbone, and told apart by proposals and
# poses; its box head sees single frames.
TEMPORAL_KERNELS = {"neck": 1, "proposals": 3, "box": 1, "mask": 1, "keypoints": 3}
