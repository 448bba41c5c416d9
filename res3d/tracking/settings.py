"""How detections are linked, as data."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from res3d.settings import did_you_mean
from res3d.tracking.assignment import ASSIGNMENTS
from res3d.tracking.mixed_cost import CostTerm


@dataclass(frozen=True, kw_only=True, slots=True)
class LinkSettings:
    """Every choice of a linker; the defaults track what moves smoothly, whatever it is.

    Raises:
        ValueError: a value out of its range, or that does not go with another.
    """

    # What is looked at
    min_score: float = 0.1  # detections below it are not
    high_score: float = 0.5  # from it on, detections are matched first; those below can only go on with a track
    new_score: float = 0.6  # from it on, a detection that nothing explains starts a track
    min_area: float = 0.0  # boxes of fewer pixels² are not looked at
    visible_score: float = 0.5  # of tubes: from this probability on, the object is seen in a frame

    # What matches
    costs: tuple[CostTerm, ...] = (CostTerm("overlap", gate=0.8),)
    low_overlap: float = 0.5  # IoU that a detection of low score needs to go on with a track
    class_overlap: float | None = 0.7  # IoU from which on detections of two classes are of one object; None: never
    lost_reach: float = 1.0  # how far from where it was last seen a track may turn up again, in sizes of its box
    assignment: str = "hungarian"  # or "greedy"
    motion: Literal["velocity", "none"] = "velocity"  # where a track is looked for: moving on, or where it was

    # What becomes of tracks
    max_tracks: int | None = None  # the number of objects, where it is known: there are never more ids than that
    max_lost: int = 30  # frames that a track is kept without being seen; with max_tracks it is kept for good
    fill_gaps: int = 20  # gaps of up to so many frames are filled in a straight line, with score 0
    min_length: int = 3  # tracks that are seen in fewer frames are dropped

    def __post_init__(self) -> None:
        for name in ("min_score", "high_score", "new_score", "visible_score", "low_overlap"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be in 0..1, not {getattr(self, name)!r}")
        if self.class_overlap is not None and not 0 < self.class_overlap <= 1:
            raise ValueError(f"class_overlap must be in (0, 1] or None, not {self.class_overlap!r}")
        if not self.min_score <= self.high_score <= self.new_score:
            raise ValueError(
                f"scores must be min_score ≤ high_score ≤ new_score, not {self.min_score}, {self.high_score}, "
                f"{self.new_score}"
            )
        least = {"max_lost": 0, "fill_gaps": 0, "min_length": 1} | (
            {} if self.max_tracks is None else {"max_tracks": 1}
        )
        for name, smallest in least.items():
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < smallest:
                raise ValueError(f"{name} must be a whole number ≥ {smallest}, not {value!r}")
        for name, unit in (("min_area", "pixels²"), ("lost_reach", "sizes of a box")):
            if not 0 <= getattr(self, name) < float("inf"):
                raise ValueError(f"{name} must be ≥ 0 {unit}, not {getattr(self, name)!r}")
        if self.assignment not in ASSIGNMENTS:
            raise ValueError(f"assignment must be one of {', '.join(ASSIGNMENTS)}, not {self.assignment!r}")
        if self.motion not in ("velocity", "none"):
            raise ValueError(f"motion must be 'velocity' or 'none', not {self.motion!r}")
        if not self.costs or not sum(term.weight for term in self.costs) > 0:
            raise ValueError(f"costs must have a weight together, not {self.costs!r}")

    @property
    def same_place(self) -> tuple[CostTerm, ...]:
        """The cost of taking detections of two classes for one object; nothing where that never is."""
        return () if self.class_overlap is None else (CostTerm("overlap", gate=1 - self.class_overlap),)

    def needs(self, cost: str) -> bool:
        """Whether that cost has a say."""
        return any(term.name == cost for term in self.costs)

    @property
    def needs_poses(self) -> bool:
        """Whether a cost compares keypoints."""
        return self.needs("oks") or self.needs("pck")

    @classmethod
    def of(cls, settings: "LinkSettings | str", changes: Mapping[str, Any]) -> "LinkSettings":
        """Settings, or those of a name in ``PRESETS``, with changes.

        Raises:
            ValueError: an unknown name.
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
