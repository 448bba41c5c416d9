"""Scores of predictions against ground truth.

``evaluate`` scores tracks: HOTA, MOTA and IDF1 by TrackEval, AP by pycocotools, and PCK. ``score_tubes`` scores a
detector's tubes.
"""

from res3d.evaluation.evaluate import evaluate
from res3d.evaluation.score_report import KindReport, Report
from res3d.evaluation.switches import Switch
from res3d.evaluation.tube_ap import TubeScores, score_tubes

__all__ = ["KindReport", "Report", "Switch", "TubeScores", "evaluate", "score_tubes"]
