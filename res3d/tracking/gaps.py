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
    """Interpolate one object between two frames.

    Args:
        frames: numbers of the last frame before the gap and the first frame after it.
        before: fields of the object in the first of these frames, by name: boxes [4] xyxy pixels, and optionally others
            such as keypoints [K, 3].
        after: fields of the object in the second frame. Fields that only one of the two frames has, or that ``RULES``
            does not interpolate, are left out.

    Yields:
        (frame number, row of the object) for every frame in between. The score is 0.
    """
    functions = {name: rule.interpolate for name, rule in RULES.items() if name in before and name in after}
    for frame in range(frames[0] + 1, frames[1]):
        fraction = (frame - frames[0]) / (frames[1] - frames[0])
        values: dict[str, Any] = {
            name: interpolate(before[name], after[name], fraction)[None].astype(np.float32)
            for name, interpolate in functions.items()
            if interpolate is not None
        }
        yield frame, FrameRows(scores=np.zeros(1, np.float32), **values)
