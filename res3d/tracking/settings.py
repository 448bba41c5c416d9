"""Settings of linking, and presets of them."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import cache
from typing import Annotated, Any

from res3d.settings import Choice, Range, check_fields, did_you_mean
from res3d.tracking.assignment import ASSIGNMENTS
from res3d.tracking.costs import COSTS
from res3d.tracking.mixed_cost import CostTerm
from res3d.tracking.motion import MOTIONS


@dataclass(frozen=True, kw_only=True, slots=True)
class LinkSettings:
    """Settings of linking. The defaults suit objects that move smoothly.

    Raises:
        ValueError: a value that is out of its range or contradicts another one.
    """

    min_score: Annotated[float, Range(0, 1)] = 0.1
    """Lowest score of detections that are used."""
    high_score: Annotated[float, Range(0, 1)] = 0.5
    """Lowest score of detections that are matched first; detections below it only continue tracks."""
    new_score: Annotated[float, Range(0, 1)] = 0.6
    """Lowest score with which a detection that matches no track starts a new one."""
    min_area: Annotated[float, Range(0, unit="pixels²")] = 0.0
    """Smallest box area in pixels² of detections that are used."""
    visible_score: Annotated[float, Range(0, 1)] = 0.5
    """Lowest probability with which the object of a tube counts as visible in a frame."""

    costs: tuple[CostTerm, ...] = (CostTerm("overlap", gate=0.8),)
    """Cost of matching a detection with a track: a weighted mean of terms, each with a gate."""
    low_overlap: Annotated[float, Range(0, 1)] = 0.5
    """Lowest IoU with which a detection below high_score continues a track."""
    class_overlap: Annotated[float | None, Range(0, 1, above=True)] = 0.7
    """Lowest IoU with which detections of different classes count as one object; none: they never do."""
    lost_reach: Annotated[float, Range(0, unit="sizes of a box")] = 1.0
    """Largest distance at which a lost track may reappear, in sizes of its box (square root of the area)."""
    assignment: Annotated[str, Choice(ASSIGNMENTS)] = "hungarian"
    """Assignment algorithm: hungarian (least total cost) or greedy (cheapest pair first)."""
    motion: Annotated[str, Choice(MOTIONS)] = "velocity"
    """Motion model for single frames: velocity (Kalman filter of constant velocity) or none (the last box)."""

    max_tracks: Annotated[int | None, Range(1)] = None
    """Number of objects, if fixed: there are never more track ids, and no track with an id ends."""
    max_lost: Annotated[int, Range(0)] = 30
    """Frames without a detection after which a track ends; unused if max_tracks is set."""
    fill_gaps: Annotated[int, Range(0)] = 20
    """Longest gap, in frames, that is filled by interpolation, with score 0."""
    min_length: Annotated[int, Range(1)] = 3
    """Frames with a detection that a track needs; shorter tracks are dropped."""

    def __post_init__(self) -> None:
        check_fields(self)
        if not self.min_score <= self.high_score <= self.new_score:
            raise ValueError(
                f"scores must be min_score ≤ high_score ≤ new_score, not {self.min_score}, {self.high_score}, "
                f"{self.new_score}"
            )
        if not self.costs or not sum(term.weight for term in self.costs) > 0:
            raise ValueError(f"costs must have a total weight > 0, not {self.costs!r}")

    @property
    def same_object(self) -> tuple[CostTerm, ...]:
        """Cost terms whose gate accepts detections of different classes as one object; empty without class_overlap."""
        return () if self.class_overlap is None else _overlap_terms(self.class_overlap)

    @property
    def low_costs(self) -> tuple[CostTerm, ...]:
        """Cost terms for detections below ``high_score``."""
        return _overlap_terms(self.low_overlap)

    @property
    def needed_fields(self) -> tuple[str, ...]:
        """Fields of detections besides boxes that the costs need."""
        return _needed_fields(self.costs)

    @classmethod
    def of(cls, settings: "LinkSettings | str", changes: Mapping[str, Any]) -> "LinkSettings":
        """Return settings with changes.

        Args:
            settings: settings, or the name of an entry of ``PRESETS``.
            changes: new values by the name of the setting.

        Raises:
            ValueError: an unknown name, or an invalid value.
        """
        if isinstance(settings, str):
            if settings not in PRESETS:
                raise ValueError(f"unknown settings {settings!r} (accepted: {', '.join(PRESETS)})")
            settings = PRESETS[settings]
        names = [field.name for field in fields(cls)]
        for name in changes:
            if name not in names:
                hint = did_you_mean(name, names)
                raise ValueError(f"unknown setting {name!r}{hint} (accepted: {', '.join(names)})")
        return replace(settings, **changes)


@cache
def _needed_fields(terms: tuple[CostTerm, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for term in terms for name in COSTS[term.name].needs))


@cache
def _overlap_terms(min_iou: float) -> tuple[CostTerm, ...]:
    """Return cost terms that accept pairs of boxes with an IoU of at least ``min_iou``."""
    return (CostTerm("overlap", gate=1 - min_iou),)


PRESETS: Mapping[str, LinkSettings] = {
    "default": LinkSettings(),
    # Linking of Detect-and-Track (tracking_engine.py): from one frame to the next, by overlap alone, without a gate;
    # lost tracks never return. There, track ids start again after 999; here they do not.
    "detect_and_track": LinkSettings(
        min_score=0.95,
        high_score=0.95,
        new_score=0.95,
        min_area=50.0,
        costs=(CostTerm("overlap"),),
        motion="none",
        class_overlap=None,
        lost_reach=0.0,
        max_lost=0,
        fill_gaps=0,
        min_length=1,
    ),
}
