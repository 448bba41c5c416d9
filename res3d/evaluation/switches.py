"""List of the identity switches that CLEAR counts."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from res3d.evaluation.sequence import MATCH, FramePair

KEEP = 1000
"""Score of keeping an identity, in similarities, as in TrackEval."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Switch:
    """Identity switch: in ``frame`` (from 0) the true object ``id`` matches ``after``, at its last match ``before``."""

    frame: int
    id: int
    before: int
    after: int


def find_switches(pairs: Sequence[FramePair]) -> list[Switch]:
    """Return the identity switches of one class in one video, in order.

    Objects are matched as in CLEAR (Bernardin and Stiefelhagen 2008, in TrackEval's form): at a similarity of 0.5 or
    more, those first that were matched in the frame before.
    """
    switches: list[Switch] = []
    last: dict[int, int] = {}  # true id: the id it was last found as
    previous: dict[int, int] = {}  # the same, of the frame before only
    for pair in pairs:
        if not len(pair.truth) or not len(pair.found):
            continue
        truth, found = pair.truth.ids, pair.found.ids
        kept = np.array([[previous.get(a) == b for b in found.tolist()] for a in truth.tolist()])
        score = np.where(pair.similarity >= MATCH - np.finfo(float).eps, KEEP * kept + pair.similarity, 0)
        rows, columns = linear_sum_assignment(-score)
        previous = {}
        for row, column in zip(rows, columns, strict=True):
            if score[row, column] > 0:
                identity, now = int(truth[row]), int(found[column])
                if last.setdefault(identity, now) != now:
                    switches.append(Switch(frame=pair.truth.frame, id=identity, before=last[identity], after=now))
                last[identity] = previous[identity] = now
    return switches
