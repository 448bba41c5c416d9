"""A detector as data: its architecture without weights. ``MaskRCNN3d(spec)`` builds it."""

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
    """A whole detector. Fields that hold a ``TaskSpec`` are its heads besides the box head; a new head is one more."""

    name: str
    num_classes: int
    """With background, which is class 0."""
    backbone: BackboneSpec
    neck: NeckSpec | None = field(default_factory=NeckSpec)
    """A feature pyramid over the stages after the stem; None: the heads see the backbone's last map (C4)."""
    proposals: ProposalSpec = field(default_factory=ProposalSpec)
    box: BoxHeadSpec = field(default_factory=BoxHeadSpec)
    mask: MaskHeadSpec | None = None
    keypoints: KeypointHeadSpec | None = None
    box_offset: Literal[0, 1] = 0
    """1: a box names its last pixel, and is x2 - x1 + 1 wide (Detectron)."""
    channel_order: Literal["rgb", "bgr"] = "rgb"
    """Channel order of the backbone's input; clips are given as RGB."""
    categories: tuple[Category, ...] = ()
    """Labels 1, 2, ..., where they are known."""

    def __post_init__(self) -> None:
        if not isinstance(self.num_classes, int) or self.num_classes < 2:
            raise ValueError(f"num_classes must be ≥ 2, background and one more, not {self.num_classes!r}")
        if len(self.categories) not in (0, self.num_classes - 1):
            raise ValueError(
                f"{self.num_classes - 1} classes besides background, and {len(self.categories)} categories"
            )
        if self.box_offset not in (0, 1):
            raise ValueError(f"box_offset must be 0 or 1, not {self.box_offset!r}")
        if self.channel_order not in ("rgb", "bgr"):
            raise ValueError(f"channel_order must be 'rgb' or 'bgr', not {self.channel_order!r}")
        if len(self.proposals.anchors.sizes) != len(self.strides):
            given = len(self.proposals.anchors.sizes)
            raise ValueError(f"anchor sizes must be given for {len(self.strides)} levels of maps, not {given}")
        for name in self.map_names:
            _, y, x = self.backbone.feature_info[name].stride
            if y != x or y & (y - 1):
                raise ValueError(f"maps need equal strides in y and x that are powers of 2; {name} has {y} and {x}")

    @property
    def map_names(self) -> tuple[str, ...]:
        """The backbone's stages whose maps are used, finest first."""
        stages = self.backbone.stage_names[1:]
        return stages if self.neck is not None else stages[-1:]

    @property
    def strides(self) -> tuple[int, ...]:
        """Pixels per position of every level of maps that proposals are made on, finest first."""
        of_stages = tuple(self.backbone.feature_info[name].stride[1] for name in self.map_names)
        return of_stages if self.neck is None else (*of_stages, 2 * of_stages[-1])

    @property
    def channels(self) -> int:
        """Channels of every level of maps."""
        if self.neck is not None:
            return self.neck.channels
        return self.backbone.feature_info[self.map_names[-1]].channels

    @property
    def tasks(self) -> dict[str, TaskSpec]:
        """The heads besides the box head, by field."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: value for name, value in values.items() if isinstance(value, TaskSpec)}

    def with_temporal_kernel(self, frames: int) -> "DetectorSpec":
        """The same with convolutions in neck, proposals and heads that span so many frames."""
        parts = {f.name: getattr(self, f.name) for f in fields(self)}
        changed = {
            name: replace(part, temporal_kernel=frames)
            for name, part in parts.items()
            if hasattr(part, "temporal_kernel")
        }
        return replace(self, **changed)

    def to_yaml(self) -> str:
        """This spec as YAML: fields at their default are left out."""
        return dump_dataclass(self)

    @classmethod
    def from_yaml(cls, text: str) -> "DetectorSpec":
        """The spec that ``to_yaml`` wrote, or that someone wrote by hand.

        Raises ValueError for a key, type or value that has no place in a spec, naming where it stands.
        """
        return parse_dataclass(cls, text, root="spec")


def _task_fields() -> dict[str, type[TaskSpec]]:
    hints = {name: get_args(hint) or (hint,) for name, hint in get_type_hints(DetectorSpec).items()}
    return {
        name: kind
        for name, kinds in hints.items()
        for kind in kinds
        if isinstance(kind, type) and issubclass(kind, TaskSpec)
    }


TASKS = _task_fields()
"""Spec classes of the heads besides the box head, by field of ``DetectorSpec``."""
