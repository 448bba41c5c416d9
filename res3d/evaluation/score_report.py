"""``Report``: the scores of an evaluation, as a text table and as JSON."""

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

COLUMNS = {  # headings of the text table, and their scores
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
    """Scores by one kind of similarity: fractions in 0..1 (MOTA can be negative) and counts; NaN where undefined."""

    videos: Mapping[str, Scores]
    """Scores of each video, over all classes."""
    classes: Mapping[str, Scores]
    """Scores of each class, over all videos."""
    total: Scores
    """Scores over all videos and classes."""
    joints: Mapping[str, float]
    """PCK by "class: keypoint"; empty unless poses are compared."""
    switches: Sequence[tuple[str, str, Switch]]
    """Identity switches as (video, class, switch)."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """Result of ``evaluate``."""

    kinds: Mapping[str, KindReport]
    """Scores by kind of similarity: "box", "mask", "pose"."""
    notes: Sequence[str] = ()
    """Messages about predictions that were excluded."""

    def to_dict(self) -> Json:
        """Return the report as plain values for JSON, with None in place of NaN."""
        values: Json = {"notes": list(self.notes)}
        for kind, report in self.kinds.items():
            values[kind] = {
                "total": _plain(report.total),
                "classes": {name: _plain(scores) for name, scores in report.classes.items()},
                "videos": {name: _plain(scores) for name, scores in report.videos.items()},
                "joints": _plain(report.joints),
                "switches": [
                    {"video": video, "class": name, **asdict(switch)} for video, name, switch in report.switches
                ],
            }
        return values

    def to_json(self, path: str | Path) -> None:
        """Write ``to_dict`` to a JSON file. The file appears only when it is complete."""
        write_whole(path, json.dumps(self.to_dict(), indent=1))

    def table(self, most_switches: int = 20) -> str:
        """Return the scores as text: percentages, counts, and up to ``most_switches`` identity switches per kind."""
        return "\n\n".join([*(_kind_text(kind, r, most_switches) for kind, r in self.kinds.items()), *self.notes])


def _kind_text(kind: str, report: KindReport, most_switches: int) -> str:
    """Return the table and the identity switches of one kind. Videos and classes have rows if there are several."""
    columns = {column: score for column, score in COLUMNS.items() if score in report.total}
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
        lines.append(f"... and {len(report.switches) - most_switches} more switches")
    return "\n".join(lines)


def _joint_lines(joints: Scores) -> list[str]:
    """Return one line per class with the PCK of its keypoints. Names in ``joints`` are "class: keypoint"."""
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
