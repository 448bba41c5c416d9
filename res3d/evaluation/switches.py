"""``find_switches``: the identity switches that the CLEAR metrics count, as a list."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from res3d.evaluation.sequence import MATCH_THRESHOLD, FramePair

SAME_ID_BONUS = 1000
"""Added to the similarity of a pair that matched in the previous frame, as in TrackEval."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Switch:
    """Identity switch: a ground-truth object matches another track than at its previous match."""

    frame: int
    """Frame number of the new match, from 0."""
    id: int
    """Id of the object in the ground truth."""
    before: int
    """Track id of the previous match."""
    after: int
    """Track id of the new match."""


def find_switches(pairs: Sequence[FramePair]) -> list[Switch]:
    """Return the identity switches of one class in one video, in temporal order.

    Objects are matched as in CLEAR (Bernardin and Stiefelhagen 2008, as TrackEval computes it): a match needs a
    similarity of at least 0.5, and pairs that matched in the previous frame have priority.
    """
    switches: list[Switch] = []
    last_match: dict[int, int] = {}  # track id by ground-truth id
    previous_frame: dict[int, int] = {}  # the same for matches in the previous frame only
    for pair in pairs:
        if not len(pair.truth) or not len(pair.predictions):
            continue
        truth_ids, track_ids = pair.truth.ids.tolist(), pair.predictions.ids.tolist()
        same = np.array([[previous_frame.get(a) == b for b in track_ids] for a in truth_ids])
        is_match = pair.similarity >= MATCH_THRESHOLD - np.finfo(float).eps
        score = np.where(is_match, SAME_ID_BONUS * same + pair.similarity, 0)
        rows, columns = linear_sum_assignment(-score)
        previous_frame = {}
        for row, column in zip(rows, columns, strict=True):
            if score[row, column] > 0:
                identity, after = truth_ids[row], track_ids[column]
                before = last_match.setdefault(identity, after)
                if before != after:
                    switches.append(Switch(frame=pair.truth.frame, id=identity, before=before, after=after))
                last_match[identity] = previous_frame[identity] = after
    return switches
