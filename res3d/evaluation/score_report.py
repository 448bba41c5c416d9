"""Scores of an evaluation, as text for people and as JSON for programs."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from res3d.evaluation.switches import Switch
from res3d.evaluation.tracking_scores import COUNTS
from res3d.files import write_whole
from res3d.settings.types import Json

Scores = Mapping[str, float]

SHOWN = {  # column of the text table: score
    "HOTA": "HOTA",
    "DetA": "DetA",
    "AssA": "AssA",
    "MOTA": "MOTA",
    "IDF1": "IDF1",
    "switches": "switches",
    "misses": "misses",
    "false pos": "false_positives",
    "AP": "AP",
    "AP50": "AP50",
    "PCK": "PCK",
}


@dataclass(frozen=True, kw_only=True)
class KindReport:
    """Scores by one kind of similarity: 0 to 1 (MOTA can be negative), and counts; NaN where a score is undefined."""

    videos: Mapping[str, Scores]
    classes: Mapping[str, Scores]
    total: Scores
    joints: Mapping[str, float]
    """PCK by "class: joint"; only for poses."""
    switches: Sequence[tuple[str, str, Switch]]
    """(video, class, identity switch)"""


@dataclass(frozen=True, kw_only=True)
class Report:
    """Scores by kind of similarity ("box", "mask", "pose")."""

    kinds: Mapping[str, KindReport]
    notes: Sequence[str] = ()
    """Predictions that were left out, for people to read."""

    def to_dict(self) -> Json:
        """Return plain values for JSON, with None in place of NaN."""
        made: Json = {"notes": list(self.notes)}
        for kind, report in self.kinds.items():
            made[kind] = {
                "total": _plain(report.total),
                "classes": {name: _plain(scores) for name, scores in report.classes.items()},
                "videos": {name: _plain(scores) for name, scores in report.videos.items()},
                "joints": _plain(report.joints),
                "switches": [
                    {"video": video, "class": name, **asdict(switch)} for video, name, switch in report.switches
                ],
            }
        return made

    def to_json(self, path: str | Path) -> None:
        """Write ``to_dict``, whole or not at all."""
        write_whole(path, json.dumps(self.to_dict(), indent=1))

    def table(self, most_switches: int = 20) -> str:
        """Return the scores as text: per cent, counts, and the first ``most_switches`` switches of each kind."""
        return "\n\n".join([*(_kind_text(kind, r, most_switches) for kind, r in self.kinds.items()), *self.notes])


def _kind_text(kind: str, report: KindReport, most_switches: int) -> str:
    columns = {column: score for column, score in SHOWN.items() if score in report.total}
    rows = dict(report.videos) if len(report.videos) > 1 else {}
    if len(report.classes) > 1:
        rows |= {f"class {name}": scores for name, scores in report.classes.items()}
    rows["total"] = report.total
    width = max(map(len, [*rows, kind])) + 2
    lines = [kind.ljust(width) + "".join(column.rjust(max(8, len(column) + 2)) for column in columns)]
    for name, scores in rows.items():
        cells = [_cell(score, scores[score]).rjust(max(8, len(column) + 2)) for column, score in columns.items()]
        lines.append(name.ljust(width) + "".join(cells))
    if report.joints:
        lines += ["", *_joint_lines(report.joints)]
    if report.switches:
        lines.append("")
    for video, name, switch in report.switches[:most_switches]:
        lines.append(
            f"switch in {video}, frame {switch.frame}: {name} {switch.id} was {switch.before}, is {switch.after}"
        )
    if len(report.switches) > most_switches:
        lines.append(f"... and {len(report.switches) - most_switches} switches more")
    return "\n".join(lines)


def _joint_lines(joints: Scores) -> list[str]:
    """Return one line per class; joints are named CLASS: JOINT."""
    lines: dict[str, list[str]] = {}
    for name, value in joints.items():
        category, _, joint = name.rpartition(": ")
        lines.setdefault(category, []).append(f"{joint} {_cell('PCK', value)}")
    return [f"PCK@0.2 {category}: {', '.join(cells)}" for category, cells in lines.items()]


def _cell(name: str, value: float) -> str:
    if math.isnan(value):
        return "-"
    return str(int(value)) if name in COUNTS else f"{100 * value:.2f}"


def _plain(scores: Scores) -> dict[str, float | None]:
    return {name: None if math.isnan(value) else value for name, value in scores.items()}
