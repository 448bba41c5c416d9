"""Interpolation of tracks over frames without detections."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from res3d.tracking.field_rules import RULES
from res3d.tracking.objects import Array
from res3d.tracking.timeline import FrameRows


def fill_gap(
    frames: tuple[int, int], before: Mapping[str, Array], after: Mapping[str, Array]
) -> Iterator[tuple[int, FrameRows]]:
    """Interpolate one object between two frames; its score there is 0.

    Args:
        frames: numbers of the two frames in which it was seen.
        before: its fields in the first, by name: boxes [4] xyxy, and optionally others as keypoints [K, 3].
        after: its fields in the second. Fields that only one side has, or that no rule interpolates, are left out.

    Yields:
        (number of a frame between them, the object's row in it).
    """
    ways = {name: rule.interpolate for name, rule in RULES.items() if name in before and name in after}
    for frame in range(frames[0] + 1, frames[1]):
        share = (frame - frames[0]) / (frames[1] - frames[0])
        values: dict[str, Any] = {
            name: interpolate(before[name], after[name], share)[None].astype(np.float32)
            for name, interpolate in ways.items()
            if interpolate is not None
        }
        yield frame, FrameRows(scores=np.zeros(1, np.float32), **values)
