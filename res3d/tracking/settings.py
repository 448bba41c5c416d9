"""Settings of linking."""

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
    """How detections are linked; the defaults track whatever moves smoothly.

    Raises:
        ValueError: a value out of its range, or that contradicts another.
    """

    min_score: Annotated[float, Range(0, 1)] = 0.1
    """Score below which detections are ignored."""
    high_score: Annotated[float, Range(0, 1)] = 0.5
    """Score from which detections are matched first; those below only continue tracks."""
    new_score: Annotated[float, Range(0, 1)] = 0.6
    """Score from which a detection that matches no track starts one."""
    min_area: Annotated[float, Range(0, unit="pixels²")] = 0.0
    """Area in pixels² below which boxes are ignored."""
    visible_score: Annotated[float, Range(0, 1)] = 0.5
    """Probability from which a tube's object counts as seen in a frame."""

    costs: tuple[CostTerm, ...] = (CostTerm("overlap", gate=0.8),)
    """Cost of matching a detection with a track: a weighted mean of terms, each with a gate."""
    low_overlap: Annotated[float, Range(0, 1)] = 0.5
    """IoU that a detection below high_score needs to continue a track."""
    class_overlap: Annotated[float | None, Range(0, 1, above=True)] = 0.7
    """IoU from which detections of two classes are taken for one object; none: never."""
    lost_reach: Annotated[float, Range(0, unit="sizes of a box")] = 1.0
    """Distance within which a lost track may reappear, in sizes of its box (square root of the area)."""
    assignment: Annotated[str, Choice(ASSIGNMENTS)] = "hungarian"
    """How pairs are chosen: hungarian (least total cost) or greedy (cheapest pair first)."""
    motion: Annotated[str, Choice(MOTIONS)] = "velocity"
    """Where single frames expect a track: velocity (moving on at its speed) or none (where it was)."""

    max_tracks: Annotated[int | None, Range(1)] = None
    """Number of objects, if known: there are never more ids, and tracks with one are never dropped."""
    max_lost: Annotated[int, Range(0)] = 30
    """Frames without a detection after which a track ends, unless max_tracks is given."""
    fill_gaps: Annotated[int, Range(0)] = 20
    """Longest gap in frames that is filled by interpolation, with score 0."""
    min_length: Annotated[int, Range(1)] = 3
    """Frames in which a track must be seen; shorter ones are dropped."""

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
        """Terms that accept detections of two classes as one object; none where that never happens."""
        return () if self.class_overlap is None else _overlap_terms(self.class_overlap)

    @property
    def low_costs(self) -> tuple[CostTerm, ...]:
        """Terms of detections below ``high_score``."""
        return _overlap_terms(self.low_overlap)

    @property
    def needed_fields(self) -> tuple[str, ...]:
        """Fields of detections that the costs compare, besides boxes."""
        return _needed_fields(self.costs)

    @classmethod
    def of(cls, settings: "LinkSettings | str", changes: Mapping[str, Any]) -> "LinkSettings":
        """Return settings, or the entry of ``PRESETS`` with that name, with changes.

        Raises:
            ValueError: an unknown name, or a value that is not accepted.
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
def _overlap_terms(least: float) -> tuple[CostTerm, ...]:
    """Terms that accept boxes with an IoU of at least ``least``."""
    return (CostTerm("overlap", gate=1 - least),)


PRESETS: Mapping[str, LinkSettings] = {
    "default": LinkSettings(),
    # Detect-and-Track's own: one frame to the next, by overlap alone, every pair accepted, nothing lost comes back
    # (tracking_engine.py; its ids start again at 999, ours do not).
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
