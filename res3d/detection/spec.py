"""``DetectorSpec``: the architecture of a detector as data. ``MaskRCNN3d(spec)`` builds it."""

from dataclasses import dataclass, field, fields, replace
from typing import Literal, get_args, get_type_hints

from res3d.backbone import BackboneSpec
from res3d.detection.box_head import BoxHeadSpec
from res3d.detection.keypoint_head import KeypointHeadSpec
from res3d.detection.mask_head import MaskHeadSpec
from res3d.detection.neck import NeckSpec
from res3d.detection.proposals import ProposalSpec
from res3d.detection.task_head import TaskSpec
from res3d.settings import dump_dataclass, parse_dataclass
from res3d.structures import Category


@dataclass(frozen=True, kw_only=True, slots=True)
class DetectorSpec:
    """Architecture of a detector.

    Fields whose type is a ``TaskSpec`` are the heads besides the box head. A new head is a new field.

    Raises:
        ValueError: an invalid value, or parts that do not fit together.
    """

    name: str
    """Name for messages."""
    num_classes: int
    """Number of classes, including the background, which is class 0."""
    backbone: BackboneSpec
    """Body of the detector."""
    neck: NeckSpec | None = field(default_factory=NeckSpec)
    """Feature pyramid over the stages after the stem; None: the heads use the backbone's last feature map (C4)."""
    proposals: ProposalSpec = field(default_factory=ProposalSpec)
    """Tube proposal network."""
    box: BoxHeadSpec = field(default_factory=BoxHeadSpec)
    """Box head."""
    mask: MaskHeadSpec | None = None
    """Mask head; None: no masks."""
    keypoints: KeypointHeadSpec | None = None
    """Keypoint head; None: no keypoints."""
    box_offset: Literal[0, 1] = 0
    """Pixel convention. 0: boxes are x2 - x1 wide. 1: x2 is the last pixel, boxes are x2 - x1 + 1 wide (Detectron)."""
    channel_order: Literal["rgb", "bgr"] = "rgb"
    """Channel order of the backbone's input. Clips are RGB; the detector converts them."""
    categories: tuple[Category, ...] = ()
    """Categories of the labels 1, 2, ...; empty if unknown."""

    def __post_init__(self) -> None:
        if not isinstance(self.num_classes, int) or self.num_classes < 2:
            raise ValueError(
                f"num_classes must be ≥ 2, the background and at least one class, not {self.num_classes!r}"
            )
        if len(self.categories) not in (0, self.num_classes - 1):
            accepted = f"none or {self.num_classes - 1}, one per class besides the background"
            raise ValueError(f"categories must be {accepted}, not {len(self.categories)}")
        if self.box_offset not in (0, 1):
            raise ValueError(f"box_offset must be 0 or 1, not {self.box_offset!r}")
        if self.channel_order not in ("rgb", "bgr"):
            raise ValueError(f"channel_order must be 'rgb' or 'bgr', not {self.channel_order!r}")
        if len(self.proposals.anchors.sizes) != len(self.strides):
            count = len(self.proposals.anchors.sizes)
            raise ValueError(f"anchor sizes must have {len(self.strides)} feature levels, not {count}")
        for name in self.map_names:
            _, y, x = self.backbone.feature_info[name].stride
            if y != x or y & (y - 1):
                raise ValueError(f"strides in y and x must be equal powers of 2, not {y} and {x} as in {name}")

    @property
    def map_names(self) -> tuple[str, ...]:
        """Backbone stages whose feature maps the detector uses, finest first."""
        stages = self.backbone.stage_names[1:]
        return stages if self.neck is not None else stages[-1:]

    @property
    def strides(self) -> tuple[int, ...]:
        """Pixels per location of each feature level that proposals are predicted on, finest first."""
        strides = tuple(self.backbone.feature_info[name].stride[1] for name in self.map_names)
        return strides if self.neck is None else (*strides, 2 * strides[-1])

    @property
    def channels(self) -> int:
        """Channels of every feature level."""
        if self.neck is not None:
            return self.neck.channels
        return self.backbone.feature_info[self.map_names[-1]].channels

    @property
    def tasks(self) -> dict[str, TaskSpec]:
        """Specs of the heads besides the box head, by field."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, TaskSpec)}

    def with_temporal_kernel(self, frames: int) -> "DetectorSpec":
        """Return a copy whose neck, proposal network and heads have convolutions that span ``frames``."""
        parts = {f.name: getattr(self, f.name) for f in fields(self)}
        changed = {
            name: replace(part, temporal_kernel=frames)
            for name, part in parts.items()
            if hasattr(part, "temporal_kernel")
        }
        return replace(self, **changed)

    def to_yaml(self) -> str:
        """Return this spec as YAML, without the fields that have their default."""
        return dump_dataclass(self)

    @classmethod
    def from_yaml(cls, text: str) -> "DetectorSpec":
        """Read a spec in the format of ``to_yaml``.

        Raises:
            ValueError: an unknown key, a wrong type or an invalid value; the message names its path in the spec.
        """
        return parse_dataclass(cls, text, root="spec")


def _task_fields() -> dict[str, type[TaskSpec]]:
    """Return the classes of the fields of ``DetectorSpec`` whose type is a ``TaskSpec``, or None."""
    hints = {name: get_args(hint) or (hint,) for name, hint in get_type_hints(DetectorSpec).items()}
    return {
        name: kind
        for name, kinds in hints.items()
        for kind in kinds
        if isinstance(kind, type) and issubclass(kind, TaskSpec)
    }


TASKS = _task_fields()
"""Spec classes of the heads besides the box head, by field of ``DetectorSpec``."""
