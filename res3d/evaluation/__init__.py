"""Scores: average precision of tubes."""

from res3d.evaluation.tube_ap import TubeScores, score_tubes

__all__ = ["TubeScores", "score_tubes"]
