"""HOTA, CLEAR (MOTA) and identity (IDF1) scores, computed by TrackEval from arrays in memory."""

import functools
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from res3d.evaluation.sequence import FramePair

# (metric, field) of TrackEval by the name of our score. HOTA's fields are averaged over its thresholds 0.05 to 0.95.
FIELDS = {
    "HOTA": ("HOTA", "HOTA"),
    "DetA": ("HOTA", "DetA"),
    "AssA": ("HOTA", "AssA"),
    "LocA": ("HOTA", "LocA"),
    "MOTA": ("CLEAR", "MOTA"),
    "MOTP": ("CLEAR", "MOTP"),
    "IDF1": ("Identity", "IDF1"),
    "IDP": ("Identity", "IDP"),
    "IDR": ("Identity", "IDR"),
    "switches": ("CLEAR", "IDSW"),
    "fragments": ("CLEAR", "Frag"),
    "matches": ("CLEAR", "CLR_TP"),
    "misses": ("CLEAR", "CLR_FN"),
    "false_positives": ("CLEAR", "CLR_FP"),
    "mostly_tracked": ("CLEAR", "MT"),
    "mostly_lost": ("CLEAR", "ML"),
}
COUNTS = ("switches", "fragments", "matches", "misses", "false_positives", "mostly_tracked", "mostly_lost")
"""Scores that are counts; the others are fractions."""

MetricScores = Mapping[str, float | NDArray[np.floating]]  # by field of TrackEval
RawScores = Mapping[str, MetricScores]  # by metric of TrackEval


class Metric(Protocol):
    """Interface of TrackEval's metrics."""

    def eval_sequence(self, data: dict[str, object]) -> MetricScores:
        """Return the results for one class in one video."""

    def combine_sequences(self, all_res: dict[int, MetricScores]) -> MetricScores:
        """Return the results of several videos as if they were one."""


def score_sequence(pairs: Sequence[FramePair]) -> RawScores:
    """Return TrackEval's results for one class in one video. ``combine`` and ``summarize`` take them.

    Raises:
        ImportError: trackeval is not installed.
    """
    data = _as_trackeval(pairs)
    return {name: metric.eval_sequence(data) for name, metric in _metrics().items()}


def combine(parts: Sequence[RawScores]) -> RawScores:
    """Return the results of several videos or classes as if they were one (TrackEval's ``combine_sequences``)."""
    numbered = dict(enumerate(parts))
    return {
        name: metric.combine_sequences({n: part[name] for n, part in numbered.items()})
        for name, metric in _metrics().items()
    }


def summarize(scores: RawScores) -> dict[str, float]:
    """Return the scores of ``FIELDS``: fractions in 0..1 (MOTA can be negative) and counts."""
    values = {name: float(np.mean(scores[metric][field])) for name, (metric, field) in FIELDS.items()}
    return {name: int(value) if name in COUNTS else value for name, value in values.items()}


def _as_trackeval(pairs: Sequence[FramePair]) -> dict[str, object]:
    """Return the input of ``Metric.eval_sequence``."""
    truth_ids, predicted_ids = [pair.truth.ids for pair in pairs], [pair.predictions.ids for pair in pairs]
    gt_ids, num_gt_ids = _renumber(truth_ids)
    tracker_ids, num_tracker_ids = _renumber(predicted_ids)
    return {
        "gt_ids": gt_ids,
        "tracker_ids": tracker_ids,
        "similarity_scores": [pair.similarity for pair in pairs],
        "num_timesteps": len(pairs),
        "num_gt_ids": num_gt_ids,
        "num_tracker_ids": num_tracker_ids,
        "num_gt_dets": sum(len(ids) for ids in truth_ids),
        "num_tracker_dets": sum(len(ids) for ids in predicted_ids),
    }


def _renumber(ids: Sequence[NDArray[np.int64]]) -> tuple[list[NDArray[np.int64]], int]:
    """Return the ids of each frame renumbered from 0 without gaps, and the number of different ids."""
    unique_ids = np.unique(np.concatenate([*ids, np.zeros(0, np.int64)]))
    return [np.searchsorted(unique_ids, frame_ids) for frame_ids in ids], len(unique_ids)


@functools.cache
def _metrics() -> Mapping[str, Metric]:
    try:
        from trackeval.metrics import CLEAR, HOTA, Identity
    except ImportError:
        raise ImportError("tracking scores need trackeval: pip install trackeval") from None
    quiet = {"PRINT_CONFIG": False}
    return {"HOTA": HOTA(), "CLEAR": CLEAR(dict(quiet)), "Identity": Identity(dict(quiet))}
