"""HOTA, CLEAR (MOTA) and identity (IDF1) scores, by TrackEval, from memory: any class, boxes, masks or poses."""

import functools
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from res3d.evaluation.sequence import FramePair

# our name: (TrackEval's metric, its field). HOTA's are means over its thresholds, 0.05 to 0.95.
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

MetricScores = Mapping[str, float | NDArray[np.floating]]  # by TrackEval's field
RawScores = Mapping[str, MetricScores]  # TrackEval's own results, by metric


class Metric(Protocol):
    """A metric of TrackEval."""

    def eval_sequence(self, data: dict[str, object]) -> MetricScores:
        """Return the results for one class in one video."""

    def combine_sequences(self, all_res: dict[int, MetricScores]) -> MetricScores:
        """Return the results over several videos."""


def score_sequence(pairs: Sequence[FramePair]) -> RawScores:
    """Return TrackEval's results for one class in one video, for ``combine`` and ``summarize``."""
    data = _as_trackeval(pairs)
    return {name: metric.eval_sequence(data) for name, metric in _metrics().items()}


def combine(parts: Sequence[RawScores]) -> RawScores:
    """Return the results over several videos or classes as if they were one (TrackEval's ``combine_sequences``)."""
    numbered = dict(enumerate(parts))
    return {
        name: metric.combine_sequences({n: part[name] for n, part in numbered.items()})
        for name, metric in _metrics().items()
    }


def summarize(scores: RawScores) -> dict[str, float]:
    """Return scores from 0 to 1 (MOTA can be negative) and counts by the names of ``FIELDS``."""
    values = {name: float(np.mean(scores[metric][field])) for name, (metric, field) in FIELDS.items()}
    return {name: int(value) if name in COUNTS else value for name, value in values.items()}


def _as_trackeval(pairs: Sequence[FramePair]) -> dict[str, object]:
    truth, found = [pair.truth.ids for pair in pairs], [pair.found.ids for pair in pairs]
    gt_ids, num_gt_ids = _numbered(truth)
    tracker_ids, num_tracker_ids = _numbered(found)
    return {
        "gt_ids": gt_ids,
        "tracker_ids": tracker_ids,
        "similarity_scores": [pair.similarity for pair in pairs],
        "num_timesteps": len(pairs),
        "num_gt_ids": num_gt_ids,
        "num_tracker_ids": num_tracker_ids,
        "num_gt_dets": sum(len(ids) for ids in truth),
        "num_tracker_dets": sum(len(ids) for ids in found),
    }


def _numbered(ids: Sequence[NDArray[np.int64]]) -> tuple[list[NDArray[np.int64]], int]:
    """Return the ids of each frame as numbers from 0, and the number of different ids."""
    known = np.unique(np.concatenate([*ids, np.zeros(0, np.int64)]))
    return [np.searchsorted(known, own) for own in ids], len(known)


@functools.cache
def _metrics() -> Mapping[str, Metric]:
    try:
        from trackeval.metrics import CLEAR, HOTA, Identity
    except ImportError:
        raise ImportError("tracking scores need trackeval: pip install trackeval") from None
    quiet = {"PRINT_CONFIG": False}
    return {"HOTA": HOTA(), "CLEAR": CLEAR(dict(quiet)), "Identity": Identity(dict(quiet))}
