"""Scores against ground truth: AP, HOTA, MOTA, IDF1 and PCK of tracks, by the field's own tools; AP of tubes."""

from res3d.evaluation.evaluate import evaluate
from res3d.evaluation.score_report import KindReport, Report
from res3d.evaluation.switches import Switch
from res3d.evaluation.tube_ap import TubeScores, score_tubes

__all__ = ["KindReport", "Report", "Switch", "TubeScores", "evaluate", "score_tubes"]
