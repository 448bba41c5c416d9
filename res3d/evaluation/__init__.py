"""Scores of tracks against ground truth: AP, HOTA, MOTA, IDF1, PCK, by the field's own tools."""

from res3d.evaluation.evaluate import evaluate
from res3d.evaluation.report import KindReport, Report
from res3d.evaluation.switches import Switch

__all__ = ["KindReport", "Report", "Switch", "evaluate"]
